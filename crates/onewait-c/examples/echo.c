/*
 * An echo server that logs to a file with AIO, tells each second what it has done, writes what is typed at its console into
 * the log, and ends at SIGTERM when what is in flight is done. All of it is one wait.
 *
 *     cargo build --release -p onewait-c
 *     cc -D_GNU_SOURCE crates/onewait-c/examples/echo.c -I crates/onewait-c/include -L target/release -lonewait \
 *         -Wl,-rpath,"$PWD/target/release" -pthread -o echo
 *     ./echo 7000 echo.log
 */
#include <onewait.h>

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND 1000000000

/* Connections have their address for a token, which none of these is. */
enum { LISTENER, SIGNALS, COMPLETIONS, CONSOLE, TICK };

struct connection {
    struct connection *next, **link;
    int fd;
    size_t begin, end; /* what the other side has not taken yet: nothing more is read before it has */
    char bytes[16384];
};

/* What is on its way into the log. Its address is the request's token. */
struct entry {
    size_t length;
    char text[];
};

static ow_reactor *reactor;
static ow_queue *queue;
static ow_reader *console;
static ow_signals *signals;
static int listener, log_file, spare;
static int64_t log_end;
static struct connection *connections;
static unsigned long long served, echoed;
static int open_now, is_ending;

static void must(int result, const char *what) {
    if (result < 0) err(1, "%s", what);
}

/* ---- the log --------------------------------------------------------------------------------------------------- */

static void write_log(const char *text, size_t length) {
    struct entry *entry = malloc(sizeof *entry + length);
    if (entry == NULL) err(1, "malloc");
    entry->length = length;
    memcpy(entry->text, text, length);
    must(ow_write(queue, log_file, entry->text, length, log_end, (uint64_t)(uintptr_t)entry, NULL), "ow_write");
    log_end += (int64_t)length;
}

static void log_event(const char *what, unsigned long long number) {
    char text[64];
    write_log(text, (size_t)snprintf(text, sizeof text, "%s %llu\n", what, number));
}

static void log_written(void) {
    struct ow_completion done[64];
    int count = ow_reap(queue, done, 64, 0);
    must(count, "ow_reap");
    for (int i = 0; i < count; i++) {
        struct entry *entry = (struct entry *)(uintptr_t)done[i].token;
        if (done[i].result < 0) errx(1, "the log: %s", strerror((int)-done[i].result));
        if ((size_t)done[i].result < entry->length) errx(1, "the log: the disk is full");
        free(entry);
    }
}

/* ---- connections ----------------------------------------------------------------------------------------------- */

static void let_in(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        /* Whoever knocks is let in by the spare descriptor, and sent away. */
        close(spare);
        close(accept(listener, NULL, NULL));
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    struct connection *connection = fd < 0 ? NULL : calloc(1, sizeof *connection);
    if (connection == NULL || ow_add_fd(reactor, fd, EPOLLIN, (uint64_t)(uintptr_t)connection) < 0) {
        free(connection);
        if (fd >= 0) close(fd);
        return;
    }
    connection->fd = fd;
    connection->next = connections;
    connection->link = &connections;
    if (connections != NULL) connections->link = &connection->next;
    connections = connection;
    open_now++;
    log_event("connection", ++served);
}

static void let_out(struct connection *connection) {
    *connection->link = connection->next;
    if (connection->next != NULL) connection->next->link = connection->link;
    close(connection->fd); /* which ends the watch, too */
    free(connection);
    log_event("left, still open:", (unsigned long long)--open_now);
}

static void answer(struct connection *connection) {
    int was_unsent = connection->begin < connection->end;
    if (!was_unsent) {
        ssize_t count = read(connection->fd, connection->bytes, sizeof connection->bytes);
        if (count < 0 && errno == EAGAIN) return;
        if (count <= 0) {
            let_out(connection);
            return;
        }
        connection->begin = 0;
        connection->end = (size_t)count;
    }
    ssize_t count = send(connection->fd, connection->bytes + connection->begin, connection->end - connection->begin,
                         MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        let_out(connection);
        return;
    }
    if (count > 0) {
        connection->begin += (size_t)count;
        echoed += (unsigned long long)count;
    }
    int is_unsent = connection->begin < connection->end;
    if (is_unsent != was_unsent)
        must(ow_modify_fd(reactor, connection->fd, is_unsent ? EPOLLOUT : EPOLLIN, (uint64_t)(uintptr_t)connection),
             "ow_modify_fd");
}

/* ---- the console: a thread of its own, since a terminal's lines are waited for ---------------------------- */

static void *read_console(void *writer) {
    char line[4096]; /* of this length a channel takes all or nothing */
    while (fgets(line, sizeof line, stdin) != NULL)
        while (ow_writer_write(writer, line, strlen(line)) < 0 && errno == EAGAIN) usleep(1000);
    ow_writer_destroy(writer);
    return NULL;
}

static void take_lines(void) {
    char lines[4096];
    ssize_t count = ow_reader_read(console, lines, sizeof lines);
    if (count > 0) write_log(lines, (size_t)count);
    if (count == 0) must(ow_delete(reactor, ow_reader_source(console)), "ow_delete"); /* the console is closed */
}

/* ---- the loop -------------------------------------------------------------------------------------------------- */

static void tick(void) {
    printf("%d connections, %llu bytes\n", open_now, echoed);
    fflush(stdout);
    must(ow_timer_arm(reactor, SECOND, TICK, NULL), "ow_timer_arm");
}

/* Nobody new comes in, and those who are here are read no further: what they have sent is still answered. */
static void begin_to_end(void) {
    struct ow_signal signal;
    if (ow_signals_read(signals, &signal) < 0) return;
    is_ending = 1;
    must(ow_delete(reactor, ow_signals_source(signals)), "ow_delete");
    close(listener);
    listener = -1; /* somebody may have knocked in this very turn */
    for (struct connection *each = connections; each != NULL; each = each->next) shutdown(each->fd, SHUT_RD);
    log_event("signal", (unsigned long long)signal.number);
}

static void set_up(uint16_t port, const char *log) {
    /* Before there is another thread, so that none of them takes the signals. */
    int numbers[] = {SIGTERM, SIGINT};
    if ((signals = ow_signals_create(numbers, 2)) == NULL) err(1, "ow_signals_create");

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(listener, "socket");
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), "setsockopt");
    must(bind(listener, (struct sockaddr *)&address, length), "bind");
    must(listen(listener, SOMAXCONN), "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
    log_file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    must(log_file, log);
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if ((reactor = ow_reactor_create(NULL)) == NULL) err(1, "ow_reactor_create");
    if ((queue = ow_queue_create(0)) == NULL) err(1, "ow_queue_create");
    ow_writer *writer;
    must(ow_channel_create(&console, &writer), "ow_channel_create");
    must(ow_add_fd(reactor, listener, EPOLLIN, LISTENER), "ow_add_fd");
    must(ow_add(reactor, ow_signals_source(signals), EPOLLIN, SIGNALS), "ow_add");
    must(ow_add(reactor, ow_queue_source(queue), EPOLLIN, COMPLETIONS), "ow_add");
    must(ow_add(reactor, ow_reader_source(console), EPOLLIN, CONSOLE), "ow_add");
    must(ow_timer_arm(reactor, SECOND, TICK, NULL), "ow_timer_arm");
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_console, writer) != 0) errx(1, "no thread for the console");
    pthread_detach(thread);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count != 3) errx(2, "usage: echo PORT LOG");
    set_up((uint16_t)atoi(arguments[1]), arguments[2]);
    while (!is_ending || connections != NULL || ow_queue_outstanding(queue) > 0) {
        struct ow_ready ready[64];
        int n = ow_reactor_wait(reactor, ready, 64, -1);
        if (n < 0 && errno != EINTR) err(1, "ow_reactor_wait");
        for (int i = 0; i < n; i++) switch (ready[i].token) {
            case LISTENER: let_in(); break;
            case SIGNALS: begin_to_end(); break;
            case COMPLETIONS: log_written(); break;
            case CONSOLE: take_lines(); break;
            case TICK: tick(); break;
            default: answer((struct connection *)(uintptr_t)ready[i].token); break;
            }
    }
    struct ow_completion done;
    must(ow_fsync(queue, log_file, 0, NULL), "ow_fsync");
    must(ow_reap(queue, &done, 1, -1), "ow_reap");
    if (done.result < 0) errx(1, "the log: %s", strerror((int)-done.result));
    printf("served %llu connections\n", served);
    ow_queue_destroy(queue);
    ow_reactor_destroy(reactor);
    ow_reader_destroy(console);
    ow_signals_destroy(signals);
    return 0;
}
