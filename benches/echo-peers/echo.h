/* What the programs of the echo benchmark have in common. */
#ifndef ECHO_H
#define ECHO_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* What a server reads at a time, and how many events it takes at a time: the same in all servers that can choose. */
    ECHO_BUFFER = 65536,
    ECHO_EVENTS = 1024,
    ECHO_BACKLOG = 4096,
};

static inline void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

static inline struct sockaddr_in loopback(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Tells whoever started the server, by one line, where it listens. */
static inline void tell_port(int listener) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (getsockname(listener, (struct sockaddr *)&address, &size) != 0) fail("getsockname", errno);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static inline void no_delay(int fd) {
    int on = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) fail("TCP_NODELAY", errno);
}

/* A listening socket on a port of the kernel's choice, which is told. */
static inline int listen_on_loopback(void) {
    struct sockaddr_in address = loopback(0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket", errno);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("bind", errno);
    if (listen(fd, ECHO_BACKLOG) != 0) fail("listen", errno);
    tell_port(fd);
    return fd;
}

/* A connection's bytes that the socket did not take. Nothing is read before they are gone. */
struct rest {
    char *bytes;
    size_t length;
};

static inline void keep_rest(struct rest *rest, const char *bytes, size_t length) {
    rest->bytes = malloc(length);
    if (rest->bytes == NULL) fail("malloc", ENOMEM);
    memcpy(rest->bytes, bytes, length);
    rest->length = length;
}

static inline void drop_rest(struct rest *rest) {
    free(rest->bytes);
    *rest = (struct rest){0};
}

/* What is to become of a connection. */
enum after { WAIT_TO_READ, WAIT_TO_WRITE, CLOSE };

/* Sends bytes; what the socket does not take now is kept, or stays, in `rest`. */
static inline enum after send_or_keep(int fd, struct rest *rest, const char *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent == (ssize_t)length) return WAIT_TO_READ;
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return CLOSE;
    size_t gone = sent > 0 ? (size_t)sent : 0;
    if (rest->bytes == NULL) {
        keep_rest(rest, bytes + gone, length - gone);
    } else {
        memmove(rest->bytes, rest->bytes + gone, length - gone);
        rest->length = length - gone;
    }
    return WAIT_TO_WRITE;
}

/* Echoes what has come, until a read is short: after that, more is another edge. */
static inline enum after echo(int fd, struct rest *rest) {
    static char buffer[ECHO_BUFFER];
    if (rest->length > 0) {
        enum after after = send_or_keep(fd, rest, rest->bytes, rest->length);
        if (after != WAIT_TO_READ) return after;
        drop_rest(rest);
    }
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got == 0) return CLOSE;
        if (got < 0) return errno == EAGAIN || errno == EINTR ? WAIT_TO_READ : CLOSE;
        enum after after = send_or_keep(fd, rest, buffer, (size_t)got);
        if (after != WAIT_TO_READ || (size_t)got < sizeof buffer) return after;
    }
}

#endif
