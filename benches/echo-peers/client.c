/*
 * client PORT SERVER CONNECTIONS BYTES WARM_UP REQUESTS wait|spin [PAUSE]
 *
 * Keeps one request of so many bytes in flight on each connection to 127.0.0.1:PORT, checks each byte that comes back, and
 * ends after so many requests. Prints as JSON how long the requests after the warm-up took, and how much CPU time the process
 * SERVER took meanwhile. While nothing has come it sleeps, or looks again and again (spin). PAUSE: microseconds between an
 * answer and the next request.
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

int main(int argc, char **argv) {
    if (argc != 8 && argc != 9) {
        fprintf(stderr, "usage: client PORT SERVER CONNECTIONS BYTES WARM_UP REQUESTS wait|spin [PAUSE]\n");
        return 2;
    }
    struct sockaddr_in address = loopback((int)number(argv[1], 1));
    pid_t server = (pid_t)number(argv[2], 1);
    long connections = number(argv[3], 1);
    size = (size_t)number(argv[4], 2 * sizeof(uint32_t));
    long warm_up = number(argv[5], 0), requests = number(argv[6], 1);
    int timeout = strcmp(argv[7], "spin") == 0 ? 0 : -1;
    useconds_t pause = argc == 9 ? (useconds_t)number(argv[8], 0) : 0;

    clockid_t server_clock;
    int result = clock_getcpuclockid(server, &server_clock);
    if (result != 0) fail("the server's CPU time", result);
    request = malloc(size);
    struct connection *all = calloc((size_t)connections, sizeof *all);
    if (request == NULL || all == NULL) fail("malloc", ENOMEM);
    for (size_t i = 0; i < size; i++) request[i] = (char)(i * 31 + i / 256);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1", errno);
    for (long i = 0; i < connections; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) fail("socket", errno);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect", errno);
        if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) fail("O_NONBLOCK", errno);
        no_delay(fd);
        all[i] = (struct connection){.fd = fd, .number = (uint32_t)i};
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &all[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl", errno);
    }
    for (long i = 0; i < connections; i++) ask(&all[i]);

    static struct epoll_event events[ECHO_EVENTS];
    double began = 0, server_began = 0;
    for (long answers = 0; answers < warm_up + requests;) {
        int count = epoll_wait(epoll, events, ECHO_EVENTS, timeout);
        if (count < 0 && errno != EINTR) fail("epoll_wait", errno);
        for (int i = 0; i < count; i++) {
            if (!hear(events[i].data.ptr)) continue;
            if (answers++ == warm_up) began = seconds(CLOCK_MONOTONIC), server_began = seconds(server_clock);
            if (answers == warm_up + requests) break;
            if (pause > 0) usleep(pause);
            ask(events[i].data.ptr);
        }
    }
    double took = seconds(CLOCK_MONOTONIC) - began, server_took = seconds(server_clock) - server_began;
    printf("{\"requests\": %ld, \"seconds\": %.9f, \"server_cpu_seconds\": %.9f}\n", requests, took, server_took);
    return 0;
}
