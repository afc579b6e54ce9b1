/* The reference: a bare loop on edge-triggered epoll. Writes its port to its standard output, and echoes until it is killed. */
#define _GNU_SOURCE
#include "echo.h"

#include <sys/epoll.h>

enum { MOST_DESCRIPTORS = 1 << 16 };

static struct rest rests[MOST_DESCRIPTORS];
static int epoll;

static void watch(int how, int fd, unsigned interest) {
    struct epoll_event event = {.events = interest | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, how, fd, &event) != 0) fail("epoll_ctl", errno);
}

static void take_connections(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MOST_DESCRIPTORS) fail("accept4", EMFILE);
        no_delay(fd);
        watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP);
    }
    if (errno != EAGAIN) fail("accept4", errno);
}

static void serve(int fd) {
    int wrote = rests[fd].length > 0;
    switch (echo(fd, &rests[fd])) {
    case WAIT_TO_READ:
        if (wrote) watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP);
        break;
    case WAIT_TO_WRITE:
        if (!wrote) watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
        break;
    case CLOSE:
        drop_rest(&rests[fd]);
        close(fd);
        break;
    }
}

int main(void) {
    static struct epoll_event events[ECHO_EVENTS];
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1", errno);
    int listener = listen_on_loopback();
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, ECHO_EVENTS, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait", errno);
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener) take_connections(listener);
            else serve(events[i].data.fd);
        }
    }
}
