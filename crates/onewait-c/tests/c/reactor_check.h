/*
 * reactor_check.h - what the tests of onewait.h share on top of check.h and hazards.h.
 *
 * Programs whose name begins with reactor_ are linked with the library, and run on the faces uring and epoll (with it
 * preloaded, too) and linked. There is no original: all tests are `ours`.
 */
#ifndef REACTOR_CHECK_H
#define REACTOR_CHECK_H

#include "hazards.h"

#include <onewait.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define SECOND INT64_C(1000000000)
#define PATIENCE_NS (PATIENCE_MS * INT64_C(1000000))

/* A function that makes something fails. */
#define CHECK_NULL(CALL, ERROR)                                                                                        \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        void *result_ = (CALL);                                                                                        \
        int errno_ = errno;                                                                                            \
        if (result_ != NULL || errno_ != (ERROR))                                                                      \
            FAIL("%s gave %p with errno %d, not null with %s", #CALL, result_, errno_, #ERROR);                        \
    } while (0)

HELPER ow_reactor *new_reactor(void) {
    ow_reactor *reactor = ow_reactor_create(NULL);
    CHECK(reactor != NULL);
    return reactor;
}

HELPER ow_queue *new_queue(size_t limit) {
    ow_queue *queue = ow_queue_create(limit);
    CHECK(queue != NULL);
    return queue;
}

/* The next wait reports nothing. */
#define CHECK_QUIET(REACTOR)                                                                                           \
    do {                                                                                                               \
        struct ow_ready quiet_[4];                                                                                     \
        CHECK_EQ(ow_reactor_wait((REACTOR), quiet_, 4, 0), 0);                                                         \
    } while (0)

/* The next wait reports this and nothing else. */
#define CHECK_REPORTS(REACTOR, TOKEN, EVENTS)                                                                          \
    do {                                                                                                               \
        struct ow_ready ready_[4];                                                                                     \
        CHECK_EQ(ow_reactor_wait((REACTOR), ready_, 4, PATIENCE_NS), 1);                                               \
        CHECK_EQ(ready_[0].token, (TOKEN));                                                                            \
        CHECK_EQ(ready_[0].events, (uint32_t)(EVENTS));                                                                \
    } while (0)

/* Reaps one completion; the test fails if there is none. */
HELPER struct ow_completion reap_one(ow_queue *queue) {
    struct ow_completion completion = {0, 0};
    CHECK_EQ(ow_reap(queue, &completion, 1, PATIENCE_NS), 1);
    return completion;
}

#define CHECK_COMPLETES(QUEUE, TOKEN, RESULT)                                                                          \
    do {                                                                                                               \
        struct ow_completion completion_ = reap_one(QUEUE);                                                            \
        CHECK_EQ(completion_.token, (TOKEN));                                                                          \
        CHECK_EQ(completion_.result, (RESULT));                                                                        \
    } while (0)

HELPER int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

#endif
