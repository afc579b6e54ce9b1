/*
 * To a program libaio's functions are system calls: they work whatever a signal has interrupted, and so take no memory from
 * the program's malloc.
 */
#include "libaio_check.h"
#include "own_malloc.h"

enum { FILES = 64, MANY = 1000 };

static int cached, uncached, direct, written, silent[2];
static char *memory;

/* One of each kind, by its number. */
static struct iocb any_of(int kind) {
    char *buffer = memory + kind % FILES * BLOCK;
    long long offset = kind / 6 % FILES * BLOCK;
    struct iocb cb;
    switch (kind % 6) {
    case 0: return read_of(cached, buffer, BLOCK, offset);
    case 1: return read_of(uncached, buffer, BLOCK, offset);
    case 2: return read_of(direct, buffer, BLOCK, offset);
    case 3: return write_of(written, buffer, BLOCK, offset);
    case 4: return poll_of(silent[0], POLLIN);
    default: io_prep_fdsync(&cb, written); return cb;
    }
}

/* So many requests at once, until none is left but those that wait for the pipe; and these, too. */
static void make_requests(io_context_t ctx, int count) {
    static struct iocb cbs[MANY];
    static struct io_event events[MANY];
    int polls = 0, left = count;
    for (int i = 0; i < count; i++) {
        cbs[i] = any_of(i);
        polls += cbs[i].aio_lio_opcode == IO_CMD_POLL;
        CHECK_EQ(AS_IN_MALLOC(submit(ctx, &cbs[i])), 1);
    }
    for (int64_t end = now_ms() + PATIENCE_MS; left > polls;) {
        struct timespec pause = {0, 100000000};
        int taken = AS_IN_MALLOC(io_getevents(ctx, 1, left, events, &pause));
        CHECK(taken >= 0 && now_ms() < end);
        for (int i = 0; i < taken; i++)
            CHECK_EQ(events[i].res, events[i].obj->aio_lio_opcode == IO_CMD_FDSYNC ? 0 : BLOCK);
        left -= taken;
    }
    CHECK_EQ(AS_IN_MALLOC(io_cancel(ctx, &cbs[4], events)), -EINPROGRESS);
    CHECK_EQ(write(silent[1], "x", 1), 1);
    reap(ctx, polls, events);
    CHECK_EQ(read(silent[0], &(char){0}, 1), 1);
}

static void set_up(void) {
    cached = pattern_file("cached", FILES * BLOCK);
    uncached = pattern_file("uncached", FILES * BLOCK);
    written = pattern_file("written", FILES * BLOCK);
    pattern_file("direct", FILES * BLOCK);
    direct = open_direct("direct");
    silent_pipe(silent);
    memory = aligned(FILES * BLOCK);
}

TEST(same, no_call_takes_memory_from_malloc) {
    set_up();
    /* But the first requests of a process may make threads, and pthread_create takes some. All of them now: */
    SET_UP(setenv("ONEWAIT_COPIER", "always", 1) == 0);
    io_context_t ctx = new_context(MANY);
    static struct iocb cbs[6];
    struct io_event events[6];
    for (int kind = 0; kind < 6; kind++) {
        uncache(uncached);
        cbs[kind] = any_of(kind);
        CHECK_EQ(submit(ctx, &cbs[kind]), 1);
    }
    CHECK_EQ(write(silent[1], "x", 1), 1);
    reap(ctx, 6, events);
    CHECK_EQ(read(silent[0], &(char){0}, 1), 1);
    sleep_ms(50);
    for (int round = 0; round < 3; round++) {
        uncache(uncached);
        io_context_t another = NULL;
        CHECK_EQ(AS_IN_MALLOC(io_setup(MANY, &another)), 0);
        make_requests(another, MANY);
        make_requests(ctx, MANY);
        CHECK_EQ(AS_IN_MALLOC(io_destroy(another)), 0);
    }
}
