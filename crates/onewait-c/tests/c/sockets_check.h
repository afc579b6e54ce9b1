/*
 * sockets_check.h - what the tests of sockets by completion share on top of reactor_check.h.
 */
#ifndef SOCKETS_CHECK_H
#define SOCKETS_CHECK_H

#include "reactor_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* The next completion; the test fails if there is none. */
HELPER struct ow_socket_completion next(ow_reactor *reactor) {
    struct ow_socket_completion done;
    int64_t deadline = now_ns() + PATIENCE_NS;
    int count;
    while ((count = ow_sockets_take(reactor, &done, 1)) == 0) {
        struct ow_ready ready;
        CHECK(now_ns() < deadline);
        int waited = ow_reactor_wait(reactor, &ready, 1, PATIENCE_NS);
        CHECK(waited == 0 || waited == 1);
        CHECK(waited == 0 || (ready.token == OW_SOCKETS && ready.events == EPOLLIN));
    }
    CHECK_EQ(count, 1);
    CHECK(done.socket != 0 && done.reserved[0] == 0 && done.reserved[1] == 0);
    CHECK((done.kind == OW_RECEIVED && done.result > 0) == (done.received != NULL));
    CHECK((done.kind == OW_ACCEPTED && done.result == 0) == (done.accepted != 0));
    CHECK((done.data != NULL) == (done.length > 0));
    return done;
}

/* The next one is this, and has such a result. */
#define CHECK_NEXT(REACTOR, TOKEN, KIND, RESULT, IS_LAST)                                                              \
    ({                                                                                                                 \
        struct ow_socket_completion next_ = next(REACTOR);                                                             \
        CHECK_EQ(next_.kind, (KIND));                                                                                  \
        CHECK_EQ(next_.result, (RESULT));                                                                              \
        CHECK_EQ(next_.token, (TOKEN));                                                                                \
        CHECK_EQ(next_.is_last, (IS_LAST));                                                                            \
        next_;                                                                                                         \
    })

/* The next one is of these bytes; they are given back. */
#define CHECK_RECEIVES(REACTOR, TOKEN, TEXT, IS_LAST)                                                                  \
    do {                                                                                                               \
        struct ow_socket_completion text_ = CHECK_NEXT(REACTOR, TOKEN, OW_RECEIVED, sizeof(TEXT) - 1, IS_LAST);        \
        CHECK_EQ(text_.length, sizeof(TEXT) - 1);                                                                      \
        CHECK_EQ(memcmp(text_.data, (TEXT), sizeof(TEXT) - 1), 0);                                                     \
        ow_received_destroy(text_.received);                                                                           \
    } while (0)

/* Nothing comes. */
HELPER void check_nothing_comes(ow_reactor *reactor) {
    for (int i = 0; i < 3; i++) {
        struct ow_socket_completion done;
        struct ow_ready ready;
        CHECK(ow_reactor_wait(reactor, &ready, 1, 5000000) >= 0);
        CHECK_EQ(ow_sockets_take(reactor, &done, 1), 0);
    }
}

HELPER uint64_t attach(ow_reactor *reactor, int fd) {
    uint64_t socket = 0;
    SET_UP(fd >= 0);
    CHECK_EQ(ow_socket_attach(reactor, fd, &socket), 0);
    CHECK(socket != 0);
    return socket;
}

/* Two ends that are connected: one is the reactor's, the other one is given. */
HELPER uint64_t attach_pair(ow_reactor *reactor, int type, int *theirs) {
    int ends[2];
    SET_UP(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
    *theirs = ends[1];
    return attach(reactor, ends[0]);
}

/* A listener on the loopback, and where it is. */
HELPER int new_listener(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    SET_UP(fd >= 0 && bind(fd, (struct sockaddr *)address, length) == 0 && listen(fd, 128) == 0);
    SET_UP(getsockname(fd, (struct sockaddr *)address, &length) == 0);
    return fd;
}

HELPER int new_client(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SET_UP(fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0);
    return fd;
}

/* Exactly so many bytes come from a descriptor that waits. */
HELPER void read_all(int fd, void *bytes, size_t length) {
    struct timeval limit = {PATIENCE_MS / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (size_t at = 0; at < length;) {
        ssize_t count = read(fd, (char *)bytes + at, length - at);
        CHECK(count > 0);
        at += (size_t)count;
    }
}

#endif
