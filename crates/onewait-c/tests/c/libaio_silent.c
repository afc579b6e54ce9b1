/*
 * Rule 38, and what makes it worth having: io_submit never waits, not for a pipe, a socket or the disk, and what waits
 * holds up nothing else. The kernel's io_submit waits in it.
 */
#include "libaio_check.h"

#include <sys/mount.h>
#include <sys/stat.h>

static char buffer[64 * BLOCK];

TEST(better, rule_38_an_empty_pipe_does_not_block_the_submitter) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = read_of(ends[0], buffer, 10, 0);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &cb), 1);
    nothing_to_reap(ctx);
    CHECK_EQ(write(ends[1], "hello", 5), 5);
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 5);
    CHECK_EQ(memcmp(buffer, "hello", 5), 0);
}

TEST(better, rule_38_a_silent_socket_does_not_block_the_submitter) {
    io_context_t ctx = new_context(8);
    int pair[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct iovec vector = {buffer, 10};
    struct iocb cb;
    struct io_event event;
    io_prep_preadv(&cb, pair[0], &vector, 1, 0);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_EQ(write(pair[1], "hello", 5), 5);
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 5);
    CHECK_EQ(memcmp(buffer, "hello", 5), 0);
}

TEST(better, rule_38_a_full_pipe_does_not_block_the_submitter) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    SET_UP(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], buffer, BLOCK) > 0) {}
    SET_UP(fcntl(ends[1], F_SETFL, 0) == 0);
    struct iocb cb = write_of(ends[1], "last", 4, 0);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &cb), 1);
    nothing_to_reap(ctx);
    SET_UP(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    ssize_t n, last = 0;
    EVENTUALLY((n = read(ends[0], buffer, sizeof buffer)) > 0 && (last = n) >= 4 &&
               memcmp(buffer + last - 4, "last", 4) == 0);
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 4);
}

/* More of them than there could be threads. */
TEST(better, rule_38_silent_descriptors_hold_up_no_file) {
    enum { silent = 300 };
    io_context_t ctx = new_context(silent + 64);
    int fd = pattern_file("data", 64 * BLOCK), direct = open_direct("data"), ends[2], pair[2];
    silent_pipe(ends);
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    static struct iocb cbs[silent];
    static struct io_event events[silent];
    static char bytes[silent];
    for (int i = 0; i < silent; i++) {
        cbs[i] = read_of(i % 2 ? ends[0] : pair[0], &bytes[i], 1, 0);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    char *memory = aligned(64 * BLOCK);
    for (int way = 0; way < 3; way++) {
        static struct iocb files[32];
        uncache(fd);
        for (int i = 0; i < 32; i++) {
            files[i] = read_of(way == 0 ? direct : fd, memory + i * BLOCK, BLOCK, i * BLOCK);
            if (way == 2) files[i] = write_of(fd, memory + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &files[i]), 1);
        }
        reap(ctx, 32, events);
        for (int i = 0; i < 32; i++) {
            CHECK(events[i].obj >= files && events[i].obj < files + 32);
            CHECK_EQ(events[i].res, BLOCK);
        }
        check_pattern(memory, 32 * BLOCK, 0);
    }
    struct iocb sync;
    io_prep_fsync(&sync, fd);
    CHECK_EQ(result_from(ctx, &sync), 0);
    io_prep_fdsync(&sync, direct);
    CHECK_EQ(result_from(ctx, &sync), 0);
    /* And the silent ones have lost nothing. */
    static char feed[silent / 2];
    memset(feed, 'f', sizeof feed);
    CHECK_EQ(write(ends[1], feed, sizeof feed), (ssize_t)sizeof feed);
    CHECK_EQ(write(pair[1], feed, sizeof feed), (ssize_t)sizeof feed);
    reap(ctx, silent, events);
    for (int i = 0; i < silent; i++) {
        CHECK_EQ(events[i].res, 1);
        CHECK_EQ(bytes[i], 'f');
    }
}

/* A read and a write of one socket, of which the write is what the read waits for. */
TEST(better, rule_38_a_pending_read_does_not_hold_up_a_write) {
    io_context_t ctx = new_context(8);
    int pair[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    char question[8];
    struct iocb reading = read_of(pair[0], buffer, 8, 0), writing = write_of(pair[0], "question", 8, 0);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &reading), 1);
    CHECK_GIVES(submit(ctx, &writing), 1);
    reap(ctx, 1, &event);
    CHECK(event.obj == &writing && event.res == 8);
    CHECK_EQ(read(pair[1], question, 8), 8);
    CHECK_EQ(write(pair[1], "answered", 8), 8);
    reap(ctx, 1, &event);
    CHECK(event.obj == &reading && event.res == 8);
}

/* One list with everything in it. */
TEST(better, rule_38_a_silent_one_in_a_list_does_not_hold_up_the_rest) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 8 * BLOCK), ends[2];
    silent_pipe(ends);
    uncache(fd);
    struct iocb cbs[4] = {read_of(fd, buffer, BLOCK, 0), read_of(ends[0], buffer, 1, 0),
                          read_of(fd, buffer + BLOCK, BLOCK, BLOCK), poll_of(ends[0], POLLIN)};
    struct iocb *list[] = {&cbs[0], &cbs[1], &cbs[2], &cbs[3]};
    struct io_event events[4];
    CHECK_GIVES(io_submit(ctx, 4, list), 4);
    reap(ctx, 2, events);
    for (int i = 0; i < 2; i++) CHECK((events[i].obj == &cbs[0] || events[i].obj == &cbs[2]) && events[i].res == BLOCK);
    nothing_to_reap(ctx);
    CHECK_GIVES(io_destroy(ctx), 0);
}

TEST(better, rule_35_destroying_cancels_what_waits_for_a_pipe) {
    io_context_t ctx = new_context(64);
    int ends[2];
    silent_pipe(ends);
    static struct iocb cbs[64];
    static char bytes[64];
    for (int i = 0; i < 64; i++) {
        cbs[i] = read_of(ends[0], &bytes[i], 1, 0);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    CHECK_GIVES(io_destroy(ctx), 0);
    CHECK_EQ(write(ends[1], "mine", 4), 4);
    CHECK_EQ(read(ends[0], buffer, 4), 4); /* nobody has taken any of it */
    CHECK_EQ(memcmp(buffer, "mine", 4), 0);
    for (int i = 0; i < 64; i++) CHECK_EQ(bytes[i], 0);
}

TEST(better, rule_32_a_pipe_read_can_be_cancelled) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 100; i++) {
        struct iocb cb = read_of(ends[0], buffer, 8, 0);
        struct io_event event;
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINPROGRESS);
        reap(ctx, 1, &event);
        CHECK(event.obj == &cb && result_of(&event) <= 0);
        nothing_to_reap(ctx);
        CHECK_EQ(write(ends[1], "mine", 4), 4);
        CHECK_EQ(read(ends[0], buffer, 4), 4);
    }
}

/* How often this thread gave up its processor because it had to wait. */
static long waits_of_this_thread(void) {
    struct rusage usage;
    SET_UP(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_nvcsw;
}

/* The kernel's io_submit sleeps until the disk has answered, once a request. */
TEST(better, rule_38_an_uncached_file_does_not_block_the_submitter) {
    enum { requests = 200 };
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", 8192 * BLOCK);
    SET_UP(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
    uncache(fd);
    char *memory = aligned(requests * BLOCK);
    static struct iocb cbs[requests];
    static struct io_event events[requests];
    context_works(ctx, fd); /* whatever is started at the first request */
    long before = waits_of_this_thread();
    for (int i = 0; i < requests; i++) {
        cbs[i] = read_of(fd, memory + i * BLOCK, BLOCK, (long long)(i + 1) * 40 * BLOCK);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    long waits = waits_of_this_thread() - before;
    fprintf(stderr, "%ld waits in %d submissions\n", waits, requests);
    reap(ctx, requests, events);
    for (int i = 0; i < requests; i++) check_pattern(memory + i * BLOCK, BLOCK, (i + 1) * 40 * BLOCK);
    CHECK(waits < requests / 4);
}
