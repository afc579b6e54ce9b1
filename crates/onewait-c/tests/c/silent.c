/*
 * Descriptors that stay silent, and what must not wait for them; the order of several requests on one stream.
 */
#include "hazards.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <termios.h>

#define BLOCK 4096

/* One of five kinds of stream: [0] is read, [1] is fed. An eventfd is both. */
enum kind { a_pipe, a_stream, a_datagram, a_tty, an_eventfd, kinds };

static void open_kind(enum kind kind, int ends[2]) {
    switch (kind) {
    case a_pipe: silent_pipe(ends); break;
    case a_stream: SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0); break;
    case a_datagram: SET_UP(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0); break;
    case a_tty: {
        ends[1] = posix_openpt(O_RDWR | O_NOCTTY);
        if (ends[1] < 0) SKIP("no pseudo-terminals here");
        SET_UP(grantpt(ends[1]) == 0);
        SET_UP(unlockpt(ends[1]) == 0);
        char name[64];
        SET_UP(ptsname_r(ends[1], name, sizeof name) == 0);
        ends[0] = open(name, O_RDWR | O_NOCTTY);
        SET_UP(ends[0] >= 0);
        struct termios raw;
        SET_UP(tcgetattr(ends[0], &raw) == 0);
        cfmakeraw(&raw);
        SET_UP(tcsetattr(ends[0], TCSANOW, &raw) == 0);
        break;
    }
    case an_eventfd:
        ends[0] = eventfd(0, 0);
        SET_UP(ends[0] >= 0);
        ends[1] = dup(ends[0]);
        break;
    case kinds: FAIL("no such kind");
    }
}

enum { silent_count = 120 };
static int ends[silent_count][2];
static struct aiocb silent_cb[silent_count];
static uint64_t silent_word[silent_count];

static void start_silence(void) {
    for (int i = 0; i < silent_count; i++) {
        open_kind((enum kind)(i % kinds), ends[i]);
        silent_cb[i] = REQUEST(ends[i][0], &silent_word[i], 8, 0);
        CHECK_EQ(aio_read(&silent_cb[i]), 0);
    }
}

static uint64_t word_of(int i) { return 0x0101010101010101u + (uint64_t)i; }

static void feed_silence(int i) {
    uint64_t word = word_of(i);
    CHECK_EQ(write(ends[i][1], &word, 8), 8);
}

static void read_file_many_times(int fd, int times) {
    enum { depth = 32 };
    static struct aiocb cb[depth];
    static char buffer[depth][BLOCK];
    for (int round = 0; round < times / depth; round++) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        for (int i = 0; i < depth; i++) {
            cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
            memset(buffer[i], 0, BLOCK);
            CHECK_EQ(i % 8 == 7 && round % 8 == 0 ? aio_write(&cb[i]) : aio_read(&cb[i]), 0);
        }
        for (int i = 0; i < depth; i++) {
            CHECK_EQ(finish(&cb[i]), BLOCK);
            if (i % 8 != 7) check_pattern(buffer[i], BLOCK, i * BLOCK);
        }
    }
}

TEST(better, silent_descriptors_by_the_hundred_do_not_stop_files) {
    int fd = pattern_file("data", 64 * BLOCK);
    start_silence();
    read_file_many_times(fd, 1600);
    for (int i = 0; i < silent_count; i++) CHECK_EQ(aio_error(&silent_cb[i]), EINPROGRESS);
    for (int i = silent_count - 1; i >= 0; i--) feed_silence(i);
    for (int i = 0; i < silent_count; i++) {
        CHECK_EQ(finish(&silent_cb[i]), 8);
        CHECK_EQ(silent_word[i], word_of(i));
    }
}

TEST(better, silent_descriptors_by_the_hundred_can_be_cancelled) {
    start_silence();
    for (int i = 0; i < silent_count; i++) {
        CHECK_EQ(aio_cancel(ends[i][0], i / kinds % 2 ? &silent_cb[i] : NULL), AIO_CANCELED);
        CHECK_EQ(aio_error(&silent_cb[i]), ECANCELED);
        CHECK_EQ(aio_return(&silent_cb[i]), -1);
        CHECK_EQ(aio_cancel(ends[i][0], NULL), AIO_ALLDONE);
    }
    for (int i = 0; i < silent_count; i++) { /* nobody is left to take the data */
        uint64_t word = 0;
        feed_silence(i);
        CHECK_EQ(read(ends[i][0], &word, 8), 8);
        CHECK_EQ(word, word_of(i));
        CHECK_EQ(silent_word[i], 0);
    }
}

TEST(better, silent_writes_to_full_pipes_do_not_stop_files_and_can_be_cancelled) {
    enum { pipes = 40 };
    static char filler[65536];
    int fd = pattern_file("data", 64 * BLOCK), full[pipes][2];
    struct aiocb cb[pipes];
    for (int i = 0; i < pipes; i++) {
        silent_pipe(full[i]);
        CHECK_EQ(write(full[i][1], filler, sizeof filler), sizeof filler);
        cb[i] = REQUEST(full[i][1], filler, BLOCK, 0);
        CHECK_EQ(aio_write(&cb[i]), 0);
    }
    read_file_many_times(fd, 160);
    for (int i = 0; i < pipes; i++) CHECK_EQ(aio_error(&cb[i]), EINPROGRESS);
    for (int i = 0; i < pipes; i++) {
        CHECK_EQ(aio_cancel(full[i][1], &cb[i]), AIO_CANCELED);
        CHECK_EQ(aio_return(&cb[i]), -1);
        CHECK_EQ(close(full[i][1]), 0);
        size_t got = 0;
        for (ssize_t n; (n = read(full[i][0], filler, sizeof filler)) > 0;) got += (size_t)n;
        CHECK_EQ(got, sizeof filler); /* and the end of file: nobody keeps the pipe open */
    }
}

/* A silent descriptor must cost nothing but its place: no thread that spins. */
TEST(same, silent_descriptors_use_no_cpu) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    sleep_ms(100);
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    sleep_ms(500);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    int64_t used_us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    CHECK(used_us < 50000);
    finish_silent_reads(&reads);
}

TEST(same, silent_nonblocking_descriptors_give_eagain) {
    for (int kind = 0; kind < kinds; kind++) {
        int pair[2];
        uint64_t word;
        open_kind((enum kind)kind, pair);
        SET_UP(fcntl(pair[0], F_SETFL, fcntl(pair[0], F_GETFL) | O_NONBLOCK) == 0);
        struct aiocb cb = REQUEST(pair[0], &word, 8, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(wait_for(&cb), EAGAIN);
        CHECK_EQ(aio_return(&cb), -1);
    }
    static char filler[65536];
    int full[2];
    silent_pipe(full);
    CHECK_EQ(write(full[1], filler, sizeof filler), sizeof filler);
    SET_UP(fcntl(full[1], F_SETFL, O_NONBLOCK) == 0);
    struct aiocb cb = REQUEST(full[1], filler, 512, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EAGAIN);
}

/* The limit belongs to the descriptor, and read() obeys it. */
TEST(same, silent_socket_with_a_receive_timeout_gives_eagain) {
    int pair[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK_EQ(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 50000}, sizeof(struct timeval)), 0);
    char byte;
    struct aiocb cb = REQUEST(pair[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EAGAIN);
}

/* A terminal's own idea of patience: VMIN = 0, VTIME in tenths of a second. */
TEST(same, silent_tty_with_a_timeout_gives_nothing) {
    int pair[2];
    open_kind(a_tty, pair);
    struct termios patient;
    SET_UP(tcgetattr(pair[0], &patient) == 0);
    patient.c_cc[VMIN] = 0;
    patient.c_cc[VTIME] = 1;
    SET_UP(tcsetattr(pair[0], TCSANOW, &patient) == 0);
    char byte;
    struct aiocb cb = REQUEST(pair[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 0);
}

TEST(same, silent_timer_speaks_in_time) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    uint64_t ticks = 0;
    struct aiocb cb = REQUEST(fd, &ticks, 8, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(timerfd_settime(fd, 0, &(struct itimerspec){.it_value.tv_nsec = 20000000}, NULL), 0);
    CHECK_EQ(finish(&cb), 8);
    CHECK_EQ(ticks, 1);
}

TEST(same, silent_pipe_is_fed_by_the_same_process) {
    for (int kind = 0; kind < kinds; kind++) {
        int pair[2];
        open_kind((enum kind)kind, pair);
        for (int i = 0; i < 200; i++) {
            uint64_t got = 0, sent = word_of(i);
            struct aiocb read_cb = REQUEST(pair[0], &got, 8, 0), write_cb = REQUEST(pair[1], &sent, 8, 0);
            CHECK_EQ(aio_read(&read_cb), 0);
            CHECK_EQ(aio_write(&write_cb), 0);
            CHECK_EQ(finish(&read_cb), 8);
            CHECK_EQ(finish(&write_cb), 8);
            CHECK_EQ(got, sent);
        }
    }
}

/* ---- order ----------------------------------------------------------------------------------------------------- */

/* Streams are read in the order of the calls: the first request gets the first bytes. */
static void read_in_order(enum kind kind, bool one_by_one) {
    enum { reads = 8 };
    int pair[2];
    open_kind(kind, pair);
    struct aiocb cb[reads];
    char text[reads][4], letters[reads * 4];
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < reads; i++) {
            cb[i] = REQUEST(pair[0], text[i], 4, 0);
            CHECK_EQ(aio_read(&cb[i]), 0);
        }
        for (int i = 0; i < reads * 4; i++) letters[i] = (char)('a' + i / 4);
        if (one_by_one || kind == a_datagram)
            for (int i = 0; i < reads; i++) CHECK_EQ(write(pair[1], letters + i * 4, 4), 4);
        else
            CHECK_EQ(write(pair[1], letters, sizeof letters), sizeof letters);
        for (int i = 0; i < reads; i++) {
            CHECK_EQ(finish(&cb[i]), 4);
            for (int j = 0; j < 4; j++) CHECK_EQ(text[i][j], 'a' + i);
        }
    }
}

TEST(same, silent_pipe_serves_its_reads_in_order) {
    read_in_order(a_pipe, false);
    read_in_order(a_pipe, true);
}

TEST(same, silent_sockets_serve_their_reads_in_order) {
    read_in_order(a_stream, false);
    read_in_order(a_stream, true);
    read_in_order(a_datagram, true);
}

TEST(same, silent_tty_serves_its_reads_in_order) { read_in_order(a_tty, false); }

/* The reader in the middle goes; the others keep their places. */
TEST(better, silent_pipe_keeps_its_order_when_a_read_is_cancelled) {
    int pair[2];
    silent_pipe(pair);
    struct aiocb cb[5];
    char text[5][4];
    for (int i = 0; i < 5; i++) {
        cb[i] = REQUEST(pair[0], text[i], 4, 0);
        CHECK_EQ(aio_read(&cb[i]), 0);
    }
    CHECK_EQ(aio_cancel(pair[0], &cb[2]), AIO_CANCELED);
    CHECK_EQ(aio_cancel(pair[0], &cb[0]), AIO_CANCELED);
    CHECK_EQ(write(pair[1], "oneltwolthr", 12), 12);
    int left[] = {1, 3, 4};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(finish(&cb[left[i]]), 4);
        CHECK(memcmp(text[left[i]], "oneltwolthr" + i * 4, 4) == 0);
    }
}

/* Write after write into a pipe that is full, or a socket: each whole, none between the bytes of another. */
static void write_in_order(enum kind kind) {
    enum { writes = 4, bytes = 150000 };
    static char buffer[writes][bytes], drained[writes * bytes];
    int pair[2];
    open_kind(kind, pair);
    struct aiocb cb[writes];
    for (int i = 0; i < writes; i++) {
        memset(buffer[i], 'A' + i, bytes);
        cb[i] = REQUEST(pair[1], buffer[i], bytes, 0);
        CHECK_EQ(aio_write(&cb[i]), 0);
    }
    for (size_t got = 0; got < sizeof drained;) {
        ssize_t n = read(pair[0], drained + got, sizeof drained - got < 10000 ? sizeof drained - got : 10000);
        CHECK(n > 0);
        got += (size_t)n;
    }
    for (int i = 0; i < writes; i++) {
        CHECK_EQ(finish(&cb[i]), bytes);
        for (int j = 0; j < bytes; j++) CHECK_EQ(drained[i * bytes + j], 'A' + i);
    }
}

TEST(same, silent_pipe_takes_its_writes_whole_and_in_order) { write_in_order(a_pipe); }

TEST(same, silent_socket_takes_its_writes_whole_and_in_order) { write_in_order(a_stream); }

TEST(same, silent_pipe_whose_writers_go_ends_every_read) {
    int pair[2];
    silent_pipe(pair);
    struct aiocb cb[4];
    char text[4][8];
    for (int i = 0; i < 4; i++) {
        cb[i] = REQUEST(pair[0], text[i], 8, 0);
        CHECK_EQ(aio_read(&cb[i]), 0);
    }
    CHECK_EQ(write(pair[1], "last", 4), 4);
    CHECK_EQ(close(pair[1]), 0);
    CHECK_EQ(finish(&cb[0]), 4);
    for (int i = 1; i < 4; i++) CHECK_EQ(finish(&cb[i]), 0);
}
