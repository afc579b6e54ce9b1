/*
 * An echo server with sockets by completion: what was received is sent back in the buffer that it came in. It ends at SIGTERM.
 *
 *     cargo build --release -p onewait-c
 *     cc -D_GNU_SOURCE crates/onewait-c/examples/echo_completion.c -I crates/onewait-c/include -L target/release -lonewait \
 *         -Wl,-rpath,"$PWD/target/release" -o echo_completion
 *     ./echo_completion 7000
 */
#include <onewait.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SIGNALS };

static ow_reactor *reactor;
static unsigned long long served, echoed;

static void must(int result, const char *what) {
    if (result < 0) err(1, "%s", what);
}

static int listen_at(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(listener, "socket");
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "setsockopt");
    must(bind(listener, (struct sockaddr *)&address, length), "bind");
    must(listen(listener, SOMAXCONN), "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

/* One thing at a time with each connection: nothing more is received before the other side has taken what it was sent. So
 * one that takes nothing holds one buffer, and at its end all is answered. */
static void serve(const struct ow_socket_completion *done) {
    switch (done->kind) {
    case OW_ACCEPTED:
        if (done->accepted != 0) {
            must(ow_socket_receive_once(reactor, done->accepted, 0), "ow_socket_receive_once");
            served++;
        } else if (done->is_last) {
            errx(1, "accept: %s", strerror((int)-done->result));
        }
        break;
    case OW_RECEIVED:
        if (done->result > 0 && ow_socket_send_received(reactor, done->socket, done->received, 0) == 0) break;
        ow_received_destroy(done->received);
        must(ow_socket_close(reactor, done->socket), "ow_socket_close");
        break;
    case OW_SENT:
        if (done->result > 0) {
            must(ow_socket_receive_once(reactor, done->socket, 0), "ow_socket_receive_once");
            echoed += (unsigned long long)done->result;
        } else {
            must(ow_socket_close(reactor, done->socket), "ow_socket_close");
        }
        break;
    }
}

int main(int count, char **arguments) {
    if (count != 2) errx(2, "usage: echo_completion PORT");
    int numbers[] = {SIGTERM, SIGINT};
    uint64_t listener;
    ow_signals *signals = ow_signals_create(numbers, 2);
    if (signals == NULL) err(1, "ow_signals_create");
    if ((reactor = ow_reactor_create(NULL)) == NULL) err(1, "ow_reactor_create");
    must(ow_add(reactor, ow_signals_source(signals), EPOLLIN, SIGNALS), "ow_add");
    must(ow_socket_attach(reactor, listen_at((uint16_t)atoi(arguments[1])), &listener), "ow_socket_attach");
    must(ow_socket_accept(reactor, listener, 0), "ow_socket_accept");
    for (int is_ending = 0; !is_ending;) {
        struct ow_ready ready[8];
        struct ow_socket_completion done[64];
        int n = ow_reactor_wait(reactor, ready, 8, -1);
        if (n < 0 && errno != EINTR) err(1, "ow_reactor_wait");
        for (int i = 0; i < n; i++) is_ending |= ready[i].token == SIGNALS;
        while ((n = ow_sockets_take(reactor, done, 64)) > 0)
            for (int i = 0; i < n; i++) serve(&done[i]);
        must(n, "ow_sockets_take");
    }
    printf("served %llu connections, %llu bytes\n", served, echoed);
    ow_reactor_destroy(reactor); /* closes all connections */
    ow_signals_destroy(signals);
    return 0;
}
