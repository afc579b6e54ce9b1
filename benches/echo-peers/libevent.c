/* An echo server on libevent, by its quickest way: bare events (not bufferevents), triggered by edges. */
#define _GNU_SOURCE
#include "echo.h"

#include <event2/event.h>

struct connection {
    struct rest rest;
    struct event *reads, *writes;
};

static struct event_base *base;

static struct event *new_event(int fd, short what, event_callback_fn call, void *argument) {
    struct event *event = event_new(base, fd, what, call, argument);
    if (event == NULL) fail("event_new", ENOMEM);
    return event;
}

static void add(struct event *event) {
    if (event_add(event, NULL) != 0) fail("event_add", errno);
}

static void serve(int fd, short what, void *argument) {
    struct connection *connection = argument;
    switch (echo(fd, &connection->rest)) {
    case WAIT_TO_READ:
        if (what & EV_WRITE) add(connection->reads);
        break;
    case WAIT_TO_WRITE:
        event_del(connection->reads);
        add(connection->writes);
        break;
    case CLOSE:
        event_free(connection->reads);
        event_free(connection->writes);
        drop_rest(&connection->rest);
        free(connection);
        close(fd);
        break;
    }
}

static void take_connections(int listener, short what, void *argument) {
    (void)what, (void)argument;
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        no_delay(fd);
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL) fail("calloc", ENOMEM);
        connection->reads = new_event(fd, EV_READ | EV_PERSIST | EV_ET, serve, connection);
        connection->writes = new_event(fd, EV_WRITE | EV_ET, serve, connection);
        add(connection->reads);
    }
    if (errno != EAGAIN) fail("accept4", errno);
}

int main(void) {
    base = event_base_new();
    if (base == NULL) fail("event_base_new", errno);
    int listener = listen_on_loopback();
    add(new_event(listener, EV_READ | EV_PERSIST, take_connections, NULL));
    return event_base_dispatch(base) == 0 ? 0 : 1;
}
