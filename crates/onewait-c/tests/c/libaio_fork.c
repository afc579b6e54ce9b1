/* fork, vfork and exec with requests in flight: the parent loses nothing, the child begins empty and can do all. */
#include "libaio_check.h"

#include <spawn.h>

enum { reads = 16 };

static struct {
    io_context_t ctx;
    struct iocb cbs[reads], waiting;
    char *memory, byte;
    int fd, direct, ends[2];
} work;

static void set_up(void) {
    work.fd = pattern_file("data", 64 * BLOCK);
    work.direct = open_direct("data");
    work.memory = aligned(reads * BLOCK);
    work.ctx = new_context(64);
    silent_pipe(work.ends);
}

static void start(void) {
    uncache(work.fd);
    memset(work.memory, 0, reads * BLOCK);
    work.waiting = poll_of(work.ends[0], POLLIN);
    CHECK_GIVES(submit(work.ctx, &work.waiting), 1);
    for (int i = 0; i < reads; i++) {
        work.cbs[i] = read_of(i % 2 ? work.fd : work.direct, work.memory + i * BLOCK, BLOCK, i * BLOCK);
        CHECK_GIVES(submit(work.ctx, &work.cbs[i]), 1);
    }
}

static void finish_all(void) {
    struct io_event events[reads + 1];
    CHECK_EQ(write(work.ends[1], "x", 1), 1);
    reap(work.ctx, reads + 1, events);
    int polls = 0;
    for (int i = 0; i <= reads; i++) {
        if (events[i].obj == &work.waiting)
            polls++;
        else
            CHECK_EQ(events[i].res, BLOCK);
    }
    CHECK_EQ(polls, 1);
    check_pattern(work.memory, reads * BLOCK, 0);
    nothing_to_reap(work.ctx);
    CHECK_EQ(read(work.ends[0], &work.byte, 1), 1);
}

/* In a child: what is its own works, and as often as it likes. */
static void use_all(void) {
    io_context_t ctx = new_context(32);
    char *memory = aligned(8 * BLOCK);
    struct iocb cbs[9];
    struct io_event events[9];
    int ends[2], own = memfd_create("own", MFD_CLOEXEC);
    silent_pipe(ends);
    for (int i = 0; i < 8; i++) {
        cbs[i] = read_of(i % 2 ? work.fd : work.direct, memory + i * BLOCK, BLOCK, i * BLOCK);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    cbs[8] = poll_of(ends[0], POLLIN);
    CHECK_GIVES(submit(ctx, &cbs[8]), 1);
    reap(ctx, 8, events);
    check_pattern(memory, 8 * BLOCK, 0);
    CHECK_GIVES(io_cancel(ctx, &cbs[8], events), -EINPROGRESS);
    reap(ctx, 1, events);
    struct iocb cb = write_of(own, memory, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    io_prep_fsync(&cb, own);
    CHECK_EQ(result_from(ctx, &cb), 0);
    CHECK_GIVES(io_destroy(ctx), 0);
}

TEST(same, fork_with_requests_in_flight_loses_nothing) {
    set_up();
    for (int i = 0; i < 20; i++) {
        start();
        pid_t child = CHILD({ sleep_ms(i % 3); });
        if (i % 2) child_succeeds(child);
        finish_all();
        if (i % 2 == 0) child_succeeds(child);
    }
}

TEST(same, fork_gives_the_child_all_of_it) {
    set_up();
    for (int i = 0; i < 5; i++) {
        start();
        pid_t child = CHILD({ use_all(); });
        finish_all();
        child_succeeds(child);
    }
}

/* The parent's requests in the child: none is there, and none is done a second time. */
TEST(same, fork_does_not_copy_requests) {
    set_up();
    int out = pattern_file("out", BLOCK);
    SET_UP(fcntl(out, F_SETFL, O_APPEND) == 0 && ftruncate(out, 0) == 0);
    for (int i = 0; i < 50; i++) {
        struct iocb cb = write_of(out, "0123456789abcdef", 16, 0);
        struct io_event event;
        CHECK_GIVES(submit(work.ctx, &cb), 1);
        pid_t child = CHILD({ use_all(); });
        reap(work.ctx, 1, &event);
        CHECK_EQ(event.res, 16);
        child_succeeds(child);
        CHECK_EQ(lseek(out, 0, SEEK_END), 16 * (i + 1));
    }
}

/* A grandchild, and a child that goes on when its parent is gone from the context. */
TEST(same, fork_of_a_child_works) {
    set_up();
    start();
    child_succeeds(CHILD({
        use_all();
        child_succeeds(CHILD({ use_all(); }));
        use_all();
    }));
    finish_all();
}

static atomic_int stop;

static void *keep_submitting(void *arg) {
    (void)arg;
    io_context_t ctx = new_context(16);
    static _Thread_local struct iocb cbs[16];
    char *memory = aligned(16 * BLOCK);
    while (!stop) {
        struct io_event events[16];
        for (int i = 0; i < 16; i++) {
            cbs[i] = read_of(i % 2 ? work.fd : work.direct, memory + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &cbs[i]), 1);
        }
        reap(ctx, 16, events);
        check_pattern(memory, 16 * BLOCK, 0);
    }
    CHECK_GIVES(io_destroy(ctx), 0);
    return NULL;
}

TEST(same, fork_while_threads_submit) {
    set_up();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) start_thread(&threads[i], keep_submitting, NULL);
    for (TURNS(i, 30)) child_succeeds(CHILD({ use_all(); }));
    stop = 1;
    for (int i = 0; i < 3; i++) join_thread(threads[i]);
}

TEST(same, fork_by_vfork_and_spawn_loses_nothing) {
    set_up();
    extern char **environ;
    char *const arguments[] = {"true", NULL};
    for (int i = 0; i < 10; i++) {
        start();
        pid_t pid = -1;
        if (i % 2 == 0) {
            SET_UP(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) == 0);
            child_succeeds(pid);
        } else {
            CHECK_EQ(system("true"), 0);
        }
        finish_all();
    }
}

/* The child that takes another program's place takes the library along, and nothing of the context. */
TEST(same, fork_and_exec_begin_anew) {
    set_up();
    start();
    child_succeeds(CHILD({
        use_all();
        execl("/proc/self/exe", "again", "exec_begins_anew", NULL);
        FAIL("exec: errno is %d", errno);
    }));
    finish_all();
}

/* Which is this, started again; it is a test of its own, too. */
TEST(same, exec_begins_anew) {
    set_up();
    use_all();
}
