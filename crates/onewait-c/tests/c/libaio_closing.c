/* Descriptors that are closed meanwhile, and their numbers used again: a request finishes on the file it was made for. */
#include "libaio_check.h"

enum { requests = 32 };

static char *memory;
static struct iocb cbs[requests];
static struct io_event events[requests];

static void start_reads(io_context_t ctx, int fd) {
    memset(memory, 0, requests * BLOCK);
    for (int i = 0; i < requests; i++) {
        cbs[i] = read_of(fd, memory + i * BLOCK, BLOCK, i * BLOCK);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
}

static void finish_reads(io_context_t ctx) {
    reap(ctx, requests, events);
    for (int i = 0; i < requests; i++) CHECK_EQ(events[i].res, BLOCK);
    check_pattern(memory, requests * BLOCK, 0);
}

TEST(same, closing_while_reads_are_in_flight) {
    memory = aligned(requests * BLOCK);
    io_context_t ctx = new_context(requests);
    close(pattern_file("data", requests * BLOCK));
    int zeros = open("zeros", O_RDWR | O_CREAT, 0600);
    SET_UP(ftruncate(zeros, requests * BLOCK) == 0);
    for (int round = 0; round < 20; round++) {
        int fd = round % 2 ? open("data", O_RDONLY) : open_direct("data");
        uncache(fd);
        start_reads(ctx, fd);
        if (round % 4 < 2)
            CHECK_EQ(close(fd), 0);
        else
            CHECK_EQ(dup2(zeros, fd), fd); /* the number is another file's at once */
        finish_reads(ctx);
        if (round % 4 >= 2) CHECK_EQ(close(fd), 0);
    }
}

TEST(same, closing_while_writes_are_in_flight) {
    memory = aligned(requests * BLOCK);
    io_context_t ctx = new_context(requests);
    int innocent = open("innocent", O_RDWR | O_CREAT, 0600), check = pattern_file("data", requests * BLOCK);
    char *back = aligned(requests * BLOCK);
    for (int round = 0; round < 20; round++) {
        int fd = round % 2 ? open("data", O_RDWR) : open_direct("data");
        memset(memory, 'a' + round, requests * BLOCK);
        for (int i = 0; i < requests; i++) {
            cbs[i] = write_of(fd, memory + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &cbs[i]), 1);
        }
        CHECK_EQ(dup2(innocent, fd), fd);
        reap(ctx, requests, events);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(pread(check, back, requests * BLOCK, 0), requests * BLOCK);
        CHECK_EQ(memcmp(memory, back, requests * BLOCK), 0);
        CHECK_EQ(lseek(innocent, 0, SEEK_END), 0);
    }
}

/* A daemon closes all it finds; the kernel's contexts are no descriptors. */
TEST(same, closing_everything_leaves_the_context) {
    memory = aligned(requests * BLOCK);
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", requests * BLOCK), ends[2];
    silent_pipe(ends);
    for (int way = 0; way < 3; way++) {
        start_reads(ctx, fd);
        if (way == 0) CHECK_EQ(close_range(3, UINT32_MAX, 0), 0);
        if (way == 1) closefrom(3);
        if (way == 2)
            for (int n = 3; n < 70000; n++) close(n);
        finish_reads(ctx);
        fd = open("data", O_RDWR);
        CHECK_EQ(fd, 3); /* nothing of ours takes the program's low numbers */
        uncache(fd);
        start_reads(ctx, fd);
        finish_reads(ctx);
        silent_pipe(ends);
        struct iocb cb = poll_of(ends[0], POLLIN);
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        struct io_event event;
        reap(ctx, 1, &event);
        CHECK(event.res & POLLIN);
    }
}

/* As daemon() does it: the parent goes, the child closes everything and makes contexts of its own. */
TEST(same, closing_everything_in_a_daemon) {
    memory = aligned(requests * BLOCK);
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", requests * BLOCK);
    start_reads(ctx, fd);
    finish_reads(ctx);
    child_succeeds(CHILD({
        closefrom(3);
        int again = open("data", O_RDWR);
        io_context_t own = new_context(requests);
        uncache(again);
        start_reads(own, again);
        finish_reads(own);
        CHECK_GIVES(io_destroy(own), 0);
    }));
}
