/* Rules 13 to 16 on what has no offset: pipes, sockets, terminals, and the kernel's other descriptors. */
#include "check.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>

static char buffer[1 << 20];

static void socket_pair(int type, int ends[2]) { SET_UP(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0); }

/* A terminal of our own, raw: ends[0] is the master, ends[1] the terminal. */
static void terminal(int ends[2]) {
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
    if (ends[0] < 0) SKIP("no pseudo-terminals here: %s", strerror(errno));
    SET_UP(grantpt(ends[0]) == 0);
    SET_UP(unlockpt(ends[0]) == 0);
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    if (ends[1] < 0) SKIP("no pseudo-terminals here: %s", strerror(errno));
    struct termios raw;
    SET_UP(tcgetattr(ends[1], &raw) == 0);
    cfmakeraw(&raw);
    SET_UP(tcsetattr(ends[1], TCSANOW, &raw) == 0);
}

/* Sends "hello" from one end to the other with absurd offsets; the reader waits first, then finds data there. */
static void offset_is_ignored(int reader, int writer) {
    for (int reader_first = 0; reader_first < 2; reader_first++) {
        struct aiocb read = REQUEST(reader, buffer, 5, 12345), write = REQUEST(writer, "hello", 5, 1 << 30);
        memset(buffer, 0, 5);
        if (reader_first) {
            CHECK_EQ(aio_read(&read), 0);
            CHECK_EQ(aio_error(&read), EINPROGRESS);
        }
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(finish(&write), 5);
        if (!reader_first) CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(finish(&read), 5);
        CHECK_EQ(memcmp(buffer, "hello", 5), 0);
    }
}

TEST(same, rule_14_a_pipe_ignores_the_offset) {
    int ends[2];
    silent_pipe(ends);
    offset_is_ignored(ends[0], ends[1]);
}

TEST(same, rule_14_a_socket_ignores_the_offset) {
    int ends[2];
    socket_pair(SOCK_STREAM, ends);
    offset_is_ignored(ends[0], ends[1]);
    socket_pair(SOCK_DGRAM, ends);
    offset_is_ignored(ends[0], ends[1]);
}

TEST(same, rule_14_a_tcp_connection_ignores_the_offset) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    SET_UP(bind(listener, (struct sockaddr *)&address, length) == 0);
    SET_UP(listen(listener, 1) == 0);
    SET_UP(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    SET_UP(connect(client, (struct sockaddr *)&address, length) == 0);
    int server = accept(listener, NULL, NULL);
    offset_is_ignored(server, client);
    /* The end of the stream wakes a reader that waits. */
    struct aiocb cb = REQUEST(server, buffer, 10, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(close(client), 0);
    CHECK_EQ(finish(&cb), 0);
}

TEST(same, rule_14_a_terminal_ignores_the_offset) {
    int ends[2];
    terminal(ends);
    offset_is_ignored(ends[1], ends[0]);
    offset_is_ignored(ends[0], ends[1]);
}

TEST(same, rule_14_a_pipe_gives_what_is_there_and_zero_at_its_end) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], buffer, 100, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    CHECK_EQ(finish(&cb), 3);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(finish(&cb), 0);
}

/* Whole megabytes, far more than the pipe holds: the writer waits for the reader, and nothing is lost between. */
TEST(same, rule_14_a_large_write_to_a_pipe_is_whole) {
    static char back[sizeof buffer];
    int ends[2];
    silent_pipe(ends);
    fill_pattern(buffer, sizeof buffer, 0);
    struct aiocb cb = REQUEST(ends[1], buffer, sizeof buffer, 0);
    CHECK_EQ(aio_write(&cb), 0);
    size_t got = 0;
    while (got < sizeof back) {
        ssize_t n = read(ends[0], back + got, sizeof back - got);
        CHECK(n > 0);
        got += (size_t)n;
    }
    CHECK_EQ(finish(&cb), sizeof buffer);
    check_pattern(back, sizeof back, 0);
}

/* POSIX: writes to what cannot seek happen in the order of the calls. */
static void writes_keep_their_order(int reader, int writer) {
    enum { count = 400 };
    static struct aiocb cbs[count];
    static int32_t numbers[count][32];
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < 32; j++) numbers[i][j] = i;
        cbs[i] = REQUEST(writer, numbers[i], 4 * (size_t)(1 + i % 32), 0);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < cbs[i].aio_nbytes / 4; j++) {
            int32_t value;
            CHECK_EQ(recv(reader, &value, 4, MSG_WAITALL) == -1 ? read(reader, &value, 4) : 4, 4);
            CHECK_EQ(value, i);
        }
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), cbs[i].aio_nbytes);
}

TEST(same, rule_13_writes_to_a_pipe_happen_in_the_order_of_the_calls) {
    int ends[2];
    silent_pipe(ends);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
    writes_keep_their_order(ends[0], ends[1]);
}

TEST(same, rule_13_writes_to_a_socket_happen_in_the_order_of_the_calls) {
    int ends[2];
    socket_pair(SOCK_STREAM, ends);
    CHECK_EQ(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int)), 0);
    writes_keep_their_order(ends[0], ends[1]);
}

/* Nothing but habit demands it of reads, but whoever reads a stream with two control blocks counts on it. */
static void reads_keep_their_order(int reader, int writer) {
    enum { count = 100 };
    struct aiocb cbs[count];
    int32_t numbers[count];
    for (int i = 0; i < count; i++) {
        cbs[i] = REQUEST(reader, &numbers[i], 4, 0);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    for (int32_t i = 0; i < count; i++) CHECK_EQ(write(writer, &i, 4), 4);
    for (int i = 0; i < count; i++) {
        CHECK_EQ(finish(&cbs[i]), 4);
        CHECK_EQ(numbers[i], i);
    }
}

TEST(same, rule_14_reads_of_a_pipe_are_served_in_the_order_of_the_calls) {
    int ends[2];
    silent_pipe(ends);
    reads_keep_their_order(ends[0], ends[1]);
}

TEST(same, rule_14_reads_of_a_socket_are_served_in_the_order_of_the_calls) {
    int ends[2];
    socket_pair(SOCK_STREAM, ends);
    reads_keep_their_order(ends[0], ends[1]);
}

TEST(same, rule_14_a_datagram_stays_whole) {
    int ends[2];
    socket_pair(SOCK_DGRAM, ends);
    struct aiocb first = REQUEST(ends[0], buffer, 3, 0), second = REQUEST(ends[0], buffer + 10, 100, 0);
    CHECK_EQ(aio_read(&first), 0);
    CHECK_EQ(aio_read(&second), 0);
    CHECK_EQ(write(ends[1], "abcdef", 6), 6);
    CHECK_EQ(write(ends[1], "xyz", 3), 3);
    CHECK_EQ(finish(&first), 3);
    CHECK_EQ(finish(&second), 3);
    CHECK_EQ(memcmp(buffer, "abc", 3), 0);
    CHECK_EQ(memcmp(buffer + 10, "xyz", 3), 0);
}

TEST(same, rule_14_a_socket_that_is_not_connected_fails_like_read) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(read(fd, buffer, 1), -1);
    int reason = errno;
    struct aiocb cb = REQUEST(fd, buffer, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), reason);
}

TEST(same, rule_15_non_blocking_without_data_is_eagain) {
    int pipes[2], sockets[2], terminals[2];
    SET_UP(pipe2(pipes, O_NONBLOCK) == 0);
    socket_pair(SOCK_STREAM | SOCK_NONBLOCK, sockets);
    int event = eventfd(0, EFD_NONBLOCK), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    terminal(terminals);
    SET_UP(fcntl(terminals[1], F_SETFL, O_NONBLOCK) == 0);
    int readers[] = {pipes[0], sockets[0], event, timer, terminals[1]};
    for (int i = 0; i < 5; i++) {
        struct aiocb cb = REQUEST(readers[i], buffer, 8, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(wait_for(&cb), EAGAIN);
        CHECK_EQ(aio_return(&cb), -1);
    }
    int writers[] = {pipes[1], sockets[1]};
    for (int i = 0; i < 2; i++) {
        while (write(writers[i], buffer, sizeof buffer) > 0) {}
        while (write(writers[i], buffer, 1) > 0) {}
        struct aiocb cb = REQUEST(writers[i], buffer, 8, 0);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(wait_for(&cb), EAGAIN);
        CHECK_EQ(aio_return(&cb), -1);
    }
}

TEST(same, rule_15_non_blocking_with_data_reads_it) {
    int ends[2];
    SET_UP(pipe2(ends, O_NONBLOCK) == 0);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    struct aiocb cb = REQUEST(ends[0], buffer, 8, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 3);
}

TEST(same, rule_15_non_blocking_writes_what_fits) {
    int ends[2];
    SET_UP(pipe2(ends, O_NONBLOCK) == 0);
    ssize_t fits = write(ends[1], buffer, sizeof buffer);
    CHECK_EQ(close(ends[0]) | close(ends[1]) | pipe2(ends, O_NONBLOCK), 0);
    struct aiocb cb = REQUEST(ends[1], buffer, sizeof buffer, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(finish(&cb), fits);
}

/* The flag belongs to the open file, and a program may change it between two calls. */
TEST(same, rule_15_the_flag_counts_when_the_call_is_made) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
    SET_UP(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EAGAIN);
    SET_UP(fcntl(ends[0], F_SETFL, 0) == 0);
    CHECK_EQ(aio_read(&cb), 0);
    sleep_ms(20);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
}

static volatile sig_atomic_t signals;

static void count(int number) {
    (void)number;
    signals++;
}

static void broken_pipe_is_quiet(void) {
    int ends[2];
    silent_pipe(ends);
    close(ends[0]);
    struct aiocb cb = REQUEST(ends[1], "x", 1, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EPIPE);
    CHECK_EQ(aio_return(&cb), -1);
    socket_pair(SOCK_STREAM, ends);
    close(ends[0]);
    cb.aio_fildes = ends[1];
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EPIPE);
    CHECK_EQ(aio_return(&cb), -1);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 0);
}

/* The default action of SIGPIPE would end the process. */
TEST(same, rule_16_a_broken_pipe_is_epipe_and_does_not_kill) { broken_pipe_is_quiet(); }

TEST(same, rule_16_a_broken_pipe_runs_no_handler) {
    CHECK(signal(SIGPIPE, count) != SIG_ERR);
    broken_pipe_is_quiet();
    sleep_ms(20);
    CHECK_EQ(signals, 0);
}

TEST(same, rule_16_a_pipe_that_breaks_while_a_write_waits_does_not_kill) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[1], buffer, sizeof buffer, 0);
    CHECK_EQ(aio_write(&cb), 0);
    struct pollfd readable = {.fd = ends[0], .events = POLLIN};
    CHECK_EQ(poll(&readable, 1, PATIENCE_MS), 1);
    sleep_ms(20);
    close(ends[0]);
    /* What went into the pipe before it broke counts as written. */
    int status = wait_for(&cb);
    CHECK(status == EPIPE || (status == 0 && aio_return(&cb) < (ssize_t)sizeof buffer));
}

/* What 0 bytes mean is the file's business: a datagram of none, an error, or nothing. */
TEST(same, rule_09_zero_bytes_are_handed_to_the_file) {
    int ends[2], full = open("/dev/full", O_WRONLY), directory = open(".", O_RDONLY), event = eventfd(1, 0);
    socket_pair(SOCK_DGRAM, ends);
    struct aiocb empty = REQUEST(ends[1], buffer, 0, 0), cb = empty;
    CHECK_EQ(aio_write(&empty), 0);
    CHECK_EQ(finish(&empty), 0);
    cb.aio_fildes = ends[0];
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 0); /* takes no message */
    CHECK_EQ(recv(ends[0], buffer, 1, MSG_DONTWAIT), 0);
    CHECK_ERRNO(recv(ends[0], buffer, 1, MSG_DONTWAIT), EAGAIN);
    cb.aio_fildes = full;
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), ENOSPC);
    cb.aio_fildes = directory;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EISDIR);
    cb.aio_fildes = event;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EINVAL);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EINVAL);
}

/* Such a descriptor never becomes ready for it, so a driver would wait for ever. */
TEST(same, files_without_reading_or_writing_are_einval) {
    int epoll = epoll_create1(0);
    void *buffers[] = {buffer, NULL, (void *)0x7fffffffffffff};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        for (size_t bytes = 0; bytes < 16; bytes += 8) {
            struct aiocb cb = REQUEST(epoll, buffers[i], bytes, 0);
            CHECK_EQ(aio_read(&cb), 0);
            CHECK_EQ(wait_for(&cb), EINVAL);
            CHECK_EQ(aio_write(&cb), 0);
            CHECK_EQ(wait_for(&cb), EINVAL);
        }
}

TEST(same, eventfd_and_timerfd_can_be_read) {
    uint64_t value = 0;
    int event = eventfd(0, 0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct aiocb cb = REQUEST(event, &value, 8, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(eventfd_write(event, 7), 0);
    CHECK_EQ(finish(&cb), 8);
    CHECK_EQ(value, 7);
    struct aiocb short_read = REQUEST(event, &value, 4, 0);
    CHECK_EQ(aio_read(&short_read), 0);
    CHECK_EQ(wait_for(&short_read), EINVAL);
    struct itimerspec soon = {.it_value.tv_nsec = 10000000};
    CHECK_EQ(timerfd_settime(timer, 0, &soon, NULL), 0);
    cb = REQUEST(timer, &value, 8, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 8);
    CHECK_EQ(value, 1);
}

TEST(same, devices_and_proc_files_can_be_read) {
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDWR), limits = open("/proc/self/limits", O_RDONLY);
    memset(buffer, 1, sizeof buffer);
    struct aiocb cb = REQUEST(zero, buffer, sizeof buffer, 77);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), sizeof buffer);
    CHECK_EQ(buffer[0] | buffer[sizeof buffer - 1], 0);
    cb = REQUEST(null, buffer, 100, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 0);
    cb = REQUEST(limits, buffer, 100, 5);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 100);
    char plain[100];
    CHECK_EQ(pread(limits, plain, 100, 5), 100);
    CHECK_EQ(memcmp(plain, buffer, 100), 0);
}
