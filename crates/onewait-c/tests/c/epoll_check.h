/*
 * epoll_check.h - what the tests of epoll share on top of check.h.
 *
 * Programs whose name begins with epoll_ run on the faces
 *     native    the kernel's epoll, without the library: the oracle
 *     aside     the library preloaded, and epoll not asked for
 *     served    ONEWAIT_EPOLL=on
 *     looking   the same, and waits look for up to a millisecond before they sleep
 * All tests are `same`: a program must not be able to tell these apart.
 */
#ifndef EPOLL_CHECK_H
#define EPOLL_CHECK_H

#include "check.h"

#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

HELPER int new_epoll(void) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(epoll >= 0);
    return epoll;
}

HELPER int control(int epoll, int what, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data.u64 = data};
    return epoll_ctl(epoll, what, fd, &event);
}

#define ADD(EPOLL, FD, EVENTS, DATA) CHECK_EQ(control(EPOLL, EPOLL_CTL_ADD, FD, EVENTS, DATA), 0)
#define MOD(EPOLL, FD, EVENTS, DATA) CHECK_EQ(control(EPOLL, EPOLL_CTL_MOD, FD, EVENTS, DATA), 0)
#define DEL(EPOLL, FD) CHECK_EQ(epoll_ctl(EPOLL, EPOLL_CTL_DEL, FD, NULL), 0)

/* An eventfd that is readable, or not. */
HELPER int new_event(unsigned count) {
    int fd = eventfd(count, EFD_CLOEXEC | EFD_NONBLOCK);
    SET_UP(fd >= 0);
    return fd;
}

HELPER void signal_event(int fd) {
    uint64_t one = 1;
    SET_UP(write(fd, &one, sizeof one) == sizeof one);
}

HELPER void drain_event(int fd) {
    uint64_t count;
    SET_UP(read(fd, &count, sizeof count) == sizeof count);
}

/* One event comes within the time, and it is this one. */
#define EXPECT(EPOLL, TIMEOUT, EVENTS, DATA)                                                                           \
    do {                                                                                                               \
        struct epoll_event event_ = {0, {.u64 = 0x5a5a}};                                                              \
        CHECK_EQ(epoll_wait(EPOLL, &event_, 1, TIMEOUT), 1);                                                           \
        CHECK_EQ(event_.events, EVENTS);                                                                               \
        CHECK_EQ(event_.data.u64, DATA);                                                                               \
    } while (0)

/* Nothing comes, without and with a short time. */
#define EXPECT_NOTHING(EPOLL)                                                                                          \
    do {                                                                                                               \
        struct epoll_event event_;                                                                                     \
        CHECK_EQ(epoll_wait(EPOLL, &event_, 1, 0), 0);                                                                 \
        CHECK_EQ(epoll_wait(EPOLL, &event_, 1, 5), 0);                                                                 \
    } while (0)

/* A page that can be read and not written. */
HELPER void *read_only(void) {
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SET_UP(page != MAP_FAILED);
    return page;
}

#define IN_THE_KERNEL ((void *)(uintptr_t)0xffff800000000000u)

HELPER pthread_t new_thread(void *(*routine)(void *), void *argument) {
    pthread_t thread;
    SET_UP(pthread_create(&thread, NULL, routine, argument) == 0);
    return thread;
}

#endif
