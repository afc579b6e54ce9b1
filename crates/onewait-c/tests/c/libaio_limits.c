/* Where the system gives less than usual: io_uring or the kernel's AIO refused, no descriptors, no locked memory. */
#include "libaio_check.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static char buffer[BLOCK];

static int fd, direct;

static void set_up(void) {
    fd = pattern_file("data", 64 * BLOCK);
    direct = open_direct("data");
}

/* Cached, uncached and direct reads, a write, a sync, a poll and its cancelling. */
static void use_all(void) {
    enum { reads = 16 };
    io_context_t ctx = new_context(64);
    char *memory = aligned(reads * BLOCK);
    struct iocb cbs[reads], cb;
    struct io_event events[reads];
    for (int round = 0; round < 3; round++) {
        if (round == 1) uncache(fd);
        for (int i = 0; i < reads; i++) {
            cbs[i] = read_of(round == 2 ? direct : fd, memory + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &cbs[i]), 1);
        }
        reap(ctx, reads, events);
        for (int i = 0; i < reads; i++) CHECK_EQ(events[i].res, BLOCK);
        check_pattern(memory, reads * BLOCK, 0);
    }
    cb = write_of(direct, memory, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    io_prep_fdsync(&cb, fd);
    CHECK_EQ(result_from(ctx, &cb), 0);
    CHECK_GIVES(io_destroy(ctx), 0);
}

static void use_pipes(void) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINPROGRESS);
    reap(ctx, 1, &event);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    reap(ctx, 1, &event);
    CHECK(event.res & POLLIN);
    CHECK_GIVES(io_destroy(ctx), 0);
}

enum { uring_setup = 425, uring_enter = 426, uring_register = 427 };

static void choose_any_driver(void) { CHECK_EQ(unsetenv("ONEWAIT_DRIVER"), 0); }

TEST(same, limits_io_uring_refused) {
    const int errors[] = {ENOSYS, EPERM, EACCES, EINVAL, ENOMEM};
    set_up();
    choose_any_driver();
    for (int i = 0; i < 5; i++)
        child_succeeds(CHILD({
            refuse(uring_setup, uring_register, errors[i]);
            use_all();
            use_pipes();
        }));
}

TEST(same, limits_io_uring_refused_after_its_set_up) {
    set_up();
    choose_any_driver();
    for (int call = uring_enter; call <= uring_register; call++)
        child_succeeds(CHILD({
            refuse(call, call, EPERM);
            use_all();
            use_pipes();
        }));
}

/* As in a container that allows io_uring, or neither. */
TEST(better, limits_native_aio_refused) {
    set_up();
    choose_any_driver();
    for (int i = 0; i < 4; i++)
        child_succeeds(CHILD({
            refuse(SYS_io_setup, SYS_io_cancel, i % 2 ? EPERM : ENOSYS);
            if (i / 2) refuse(uring_setup, uring_register, ENOSYS);
            use_all();
            use_pipes();
        }));
}

/* A driver that was asked for and is refused: an error at the first chance, and not a hang. */
TEST(ours, limits_a_strict_driver_refused_is_an_error) {
    set_up();
    CHECK_EQ(setenv("ONEWAIT_DRIVER", "uring", 1), 0);
    child_succeeds(CHILD({
        refuse(uring_setup, uring_register, EPERM);
        io_context_t ctx = NULL;
        int made = io_setup(8, &ctx);
        if (made == 0) {
            uncache(fd);
            char *memory = aligned(BLOCK);
            struct iocb cb = read_of(direct, memory, BLOCK, 0);
            made = submit(ctx, &cb);
        }
        CHECK_EQ(made, -EAGAIN);
    }));
}

TEST(same, limits_no_locked_memory) {
    set_up();
    choose_any_driver();
    SET_UP(chdir("/") == 0);
    child_succeeds(CHILD({
        SET_UP(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}) == 0);
        become_a_user_of_its_own();
        use_all();
        use_pipes();
    }));
}

/* The kernel's AIO needs no descriptor. */
TEST(same, limits_no_descriptor_left) {
    set_up();
    int ends[2];
    silent_pipe(ends);
    choose_any_driver();
    child_succeeds(CHILD({
        SET_UP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ends[1] + 1, ends[1] + 1}) == 0);
        use_all();
        io_context_t ctx = new_context(8);
        struct iocb cb = poll_of(ends[0], POLLIN);
        struct io_event event;
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        reap(ctx, 1, &event);
        CHECK(event.res & POLLIN);
    }));
}

TEST(same, limits_many_contexts) {
    enum { contexts = 300 };
    static io_context_t ctxs[contexts];
    static struct iocb cbs[contexts];
    static char bytes[contexts][BLOCK];
    set_up();
    uncache(fd);
    for (int i = 0; i < contexts; i++) {
        ctxs[i] = new_context(1);
        for (int j = 0; j < i; j++) CHECK(ctxs[i] != ctxs[j]);
        cbs[i] = read_of(fd, bytes[i], BLOCK, i % 64 * BLOCK);
        CHECK_GIVES(submit(ctxs[i], &cbs[i]), 1);
    }
    for (int i = contexts - 1; i >= 0; i--) {
        struct io_event event;
        reap(ctxs[i], 1, &event);
        CHECK(event.obj == &cbs[i]);
        check_pattern(bytes[i], BLOCK, i % 64 * BLOCK);
        nothing_to_reap(ctxs[i]);
    }
    /* Without io_destroy for each: the end of the process has to do. */
    for (int i = 0; i < contexts; i += 50) CHECK_GIVES(io_destroy(ctxs[i]), 0);
}

TEST(same, limits_disk_is_full) {
    CHECK_EQ(mkdir("small", 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        SKIP("needs privilege for a file system of its own");
    if (mount("tmpfs", "small", "tmpfs", 0, "size=16k") != 0) SKIP("no tmpfs here");
    int full = open("small/file", O_RDWR | O_CREAT, 0600), written = 0, refused = 0;
    SET_UP(full >= 0);
    io_context_t ctx = new_context(8);
    for (int i = 0; i < 16; i++) {
        struct iocb cb = write_of(full, buffer, BLOCK, i * BLOCK);
        long result = result_from(ctx, &cb);
        CHECK(result == BLOCK || result == -ENOSPC);
        *(result == BLOCK ? &written : &refused) += 1;
    }
    CHECK(written >= 2 && written <= 4 && written + refused == 16);
}

TEST(same, limits_files_too_large) {
    set_up();
    SET_UP(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    SET_UP(setrlimit(RLIMIT_FSIZE, &(struct rlimit){128 * BLOCK, 128 * BLOCK}) == 0);
    io_context_t ctx = new_context(8);
    struct iocb cb = write_of(fd, buffer, BLOCK, 200 * BLOCK);
    CHECK_EQ(result_from(ctx, &cb), -EFBIG);
    cb = write_of(fd, buffer, BLOCK, 128 * BLOCK - 10);
    CHECK_EQ(result_from(ctx, &cb), 10);
}
