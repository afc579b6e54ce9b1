/*
 * client CONNECTIONS BYTES WARM_UP REQUESTS ROUNDS wait|spin PAUSE PORT:PROCESS…
 *
 * Connects so often to each server at 127.0.0.1:PORT. Then, in each round, it asks one server after the other: it keeps one
 * request of so many bytes in flight on each connection, checks each byte that comes back, and goes on after so many
 * requests, when all were answered. A server that is not asked sleeps, and its CPU time is read then. While nothing has come the client sleeps, or looks
 * again and again (spin). PAUSE: microseconds between an answer and the next request.
 *
 * Prints a line of JSON for each round: for each server, in the order given, how many seconds the requests after the warm-up
 * took, and how much of its CPU time. In each round another server is the first.
 */
#define _GNU_SOURCE
#include "echo.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

struct connection {
    int fd;
    uint32_t number, requests;
    size_t received;
};

struct server {
    clockid_t cpu_time;
    int epoll;
    struct connection *connections;
};

struct figures {
    double seconds, cpu_seconds;
};

/* What hangs for so many seconds is ended. */
enum { LIMIT = 300 };
/* After its last answer a server sleeps so soon. */
enum { SETTLE_US = 2000 };

static long connections, warm_up, requests;
static int timeout;
static useconds_t pause_us;

static size_t size;
/* A request: the number of the connection and of the request on it, and bytes that are the same in all. */
static char *request;

static double seconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) fail("clock_gettime", errno);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long number(const char *word, long least) {
    char *end;
    errno = 0;
    long value = strtol(word, &end, 10);
    if (errno != 0 || *end != '\0' || end == word || value < least) {
        fprintf(stderr, "%s: not a number of at least %ld\n", word, least);
        exit(2);
    }
    return value;
}

static void address_request(const struct connection *connection) {
    uint32_t head[2] = {connection->number, connection->requests};
    memcpy(request, head, sizeof head);
}

static void ask(struct connection *connection) {
    connection->requests++;
    connection->received = 0;
    address_request(connection);
    ssize_t sent = send(connection->fd, request, size, MSG_NOSIGNAL);
    if (sent < 0) fail("send", errno);
    /* The kernel has room for one request, always. */
    if ((size_t)sent != size) fail("send", ENOBUFS);
}

/* Whether the answer is complete. */
static bool hear(struct connection *connection) {
    static char answer[1 << 20];
    ssize_t got = recv(connection->fd, answer, sizeof answer, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got < 0) fail("recv", errno);
    if (got == 0) fail("recv", ECONNRESET);
    address_request(connection);
    if (connection->received + (size_t)got > size || memcmp(answer, request + connection->received, (size_t)got) != 0) {
        fprintf(stderr, "connection %u, request %u: not what was sent\n", connection->number, connection->requests);
        exit(1);
    }
    connection->received += (size_t)got;
    return connection->received == size;
}

/* PORT:PROCESS */
static struct server connect_to(char *word) {
    struct server server = {.connections = calloc((size_t)connections, sizeof(struct connection))};
    if (server.connections == NULL) fail("calloc", ENOMEM);
    char *colon = strchr(word, ':');
    if (colon == NULL) {
        fprintf(stderr, "%s: not PORT:PROCESS\n", word);
        exit(2);
    }
    *colon = '\0';
    int result = clock_getcpuclockid((pid_t)number(colon + 1, 1), &server.cpu_time);
    if (result != 0) fail("the server's CPU time", result);
    struct sockaddr_in address = loopback((int)number(word, 1));
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (server.epoll < 0) fail("epoll_create1", errno);
    for (long i = 0; i < connections; i++) {
        struct connection *connection = &server.connections[i];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) fail("socket", errno);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect", errno);
        if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("O_NONBLOCK", errno);
        no_delay(fd);
        *connection = (struct connection){.fd = fd, .number = (uint32_t)i};
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = connection};
        if (epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl", errno);
    }
    return server;
}

/* So many requests, as many at a time as there are connections, until all are answered. How many seconds that took. */
static double ask_all(const struct server *server, long count) {
    static struct epoll_event events[ECHO_EVENTS];
    double began = seconds(CLOCK_MONOTONIC);
    long asked = count < connections ? count : connections;
    for (long i = 0; i < asked; i++) ask(&server->connections[i]);
    for (long answered = 0; answered < count;) {
        int ready = epoll_wait(server->epoll, events, ECHO_EVENTS, timeout);
        if (ready < 0 && errno != EINTR) fail("epoll_wait", errno);
        for (int i = 0; i < ready; i++) {
            if (!hear(events[i].data.ptr)) continue;
            answered++;
            if (asked == count) continue;
            if (pause_us > 0) usleep(pause_us);
            ask(events[i].data.ptr);
            asked++;
        }
    }
    return seconds(CLOCK_MONOTONIC) - began;
}

/* The kernel adds up the time of another process that is running at its ticks only, some milliseconds apart: so the clock is
   read when the server sleeps. */
static double cpu_seconds(const struct server *server) {
    usleep(SETTLE_US);
    return seconds(server->cpu_time);
}

static struct figures measure(const struct server *server) {
    ask_all(server, warm_up);
    double began = cpu_seconds(server), lasted = ask_all(server, requests);
    return (struct figures){lasted, cpu_seconds(server) - began};
}

int main(int argc, char **argv) {
    if (argc < 9) {
        fprintf(stderr, "usage: client CONNECTIONS BYTES WARM_UP REQUESTS ROUNDS wait|spin PAUSE PORT:PROCESS...\n");
        return 2;
    }
    alarm(LIMIT);
    connections = number(argv[1], 1);
    size = (size_t)number(argv[2], 2 * sizeof(uint32_t));
    warm_up = number(argv[3], 0), requests = number(argv[4], 1);
    long rounds = number(argv[5], 1);
    timeout = strcmp(argv[6], "spin") == 0 ? 0 : -1;
    pause_us = (useconds_t)number(argv[7], 0);
    int count = argc - 8;

    request = malloc(size);
    struct server *servers = calloc((size_t)count, sizeof *servers);
    struct figures *figures = calloc((size_t)count, sizeof *figures);
    if (request == NULL || servers == NULL || figures == NULL) fail("malloc", ENOMEM);
    for (size_t i = 0; i < size; i++) request[i] = (char)(i * 31 + i / 256);
    for (int i = 0; i < count; i++) servers[i] = connect_to(argv[8 + i]);
    for (long round = 0; round < rounds; round++) {
        for (int i = 0; i < count; i++) {
            int which = (int)((round + i) % count);
            figures[which] = measure(&servers[which]);
        }
        for (int i = 0; i < count; i++)
            printf("%s[%.9f, %.9f]", i == 0 ? "[" : ", ", figures[i].seconds, figures[i].cpu_seconds);
        puts("]");
        fflush(stdout);
    }
    return 0;
}
