/* Rules 1 to 6: contexts are made, how many requests they take, and what io_setup refuses. */
#include "libaio_check.h"

static long read_limit(void) {
    long limit = 0;
    FILE *file = fopen("/proc/sys/fs/aio-max-nr", "r");
    if (file == NULL) SKIP("no /proc/sys/fs/aio-max-nr");
    SET_UP(fscanf(file, "%ld", &limit) == 1);
    fclose(file);
    return limit;
}

TEST(same, rule_01_errors_are_negative_and_errno_is_left_alone) {
    io_context_t ctx = NULL;
    CHECK_GIVES(io_setup(-5, &ctx), -EINVAL);
    CHECK_GIVES(io_setup(8, &ctx), 0);
    struct iocb cb = read_of(-1, NULL, 1, 0), *list[] = {&cb};
    struct io_event event;
    CHECK_GIVES(io_submit(ctx, 1, list), -EBADF);
    CHECK_GIVES(io_submit(ctx, -1, list), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 2, 1, &event, NULL), -EINVAL);
    CHECK_GIVES(io_pgetevents(ctx, 2, 1, &event, NULL, NULL), -EINVAL);
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
    CHECK_GIVES(io_queue_init(0, &ctx), -EINVAL);
    CHECK_GIVES(io_destroy(ctx), 0);
    CHECK_GIVES(io_destroy(ctx), -EINVAL);
}

/* Also when all goes well, and when the request itself fails. */
TEST(same, rule_01_errno_is_left_alone_by_what_succeeds) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), ends[2];
    silent_pipe(ends);
    char buffer[BLOCK];
    struct iocb cbs[3] = {read_of(fd, buffer, BLOCK, 0), read_of(fd, buffer, BLOCK, 1 << 20), poll_of(ends[0], POLLIN)};
    struct iocb *list[] = {&cbs[0], &cbs[1], &cbs[2]};
    struct io_event events[3];
    CHECK_GIVES(io_submit(ctx, 3, list), 3);
    CHECK_GIVES(io_getevents(ctx, 2, 2, events, NULL), 2);
    CHECK_GIVES(io_pgetevents(ctx, 0, 2, events, NULL, NULL), 0);
    CHECK_GIVES(io_cancel(ctx, &cbs[2], events), -EINPROGRESS);
    CHECK_GIVES(io_destroy(ctx), 0);
}

TEST(same, rule_02_no_requests_are_einval) {
    for (int n = 0; n > -3; n--) {
        io_context_t ctx = NULL;
        CHECK_GIVES(io_setup(n, &ctx), -EINVAL);
        CHECK(ctx == NULL);
    }
}

TEST(same, rule_03_a_context_that_is_not_zero_is_einval) {
    io_context_t ctx = (io_context_t)&ctx, before = ctx;
    CHECK_GIVES(io_setup(8, &ctx), -EINVAL);
    CHECK(ctx == before);
    ctx = new_context(8);
    before = ctx;
    CHECK_GIVES(io_setup(8, &ctx), -EINVAL);
    CHECK(ctx == before);
    context_works(ctx, pattern_file("data", BLOCK));
}

TEST(same, rule_04_nowhere_to_put_the_context_is_efault) {
    CHECK_GIVES(io_setup(8, NULL), -EFAULT);
    CHECK_GIVES(io_setup(0, NULL), -EFAULT); /* this is found before the other */
}

TEST(same, rule_05_more_than_the_system_allows_is_eagain) {
    io_context_t ctx = NULL;
    long limit = read_limit();
    if (limit > 4000000) SKIP("the limit of this system, %ld, is too high for the test", limit);
    CHECK_GIVES(io_setup((int)limit + 1, &ctx), -EAGAIN);
    CHECK_GIVES(io_setup((int)limit + 4464, &ctx), -EAGAIN);
    CHECK_GIVES(io_setup(4194304, &ctx), -EAGAIN); /* the last number whose ring could be addressed */
    CHECK(ctx == NULL);
}

TEST(same, rule_05_more_than_can_be_addressed_is_einval) {
    io_context_t ctx = NULL;
    CHECK_GIVES(io_setup(4194305, &ctx), -EINVAL);
    CHECK_GIVES(io_setup(1 << 30, &ctx), -EINVAL);
    CHECK_GIVES(io_setup(INT32_MAX, &ctx), -EINVAL);
    CHECK(ctx == NULL);
}

/* The limit is of all contexts together; what is destroyed counts no more. */
TEST(same, rule_05_contexts_share_the_systems_limit) {
    int most = (int)(read_limit() / 8 * 5);
    io_context_t first = NULL, second = NULL;
    /* Who else uses AIO on this system just now takes of the same limit. */
    EVENTUALLY(io_setup(most, &first) == 0);
    CHECK_GIVES(io_setup(most, &second), -EAGAIN);
    CHECK(second == NULL);
    CHECK_GIVES(io_destroy(first), 0);
    EVENTUALLY(io_setup(most, &second) == 0);
    CHECK_GIVES(io_destroy(second), 0);
}

enum { many = 20000 };

/* Polls of a silent pipe: they stay in flight. */
static int fill_with_polls(io_context_t ctx, struct iocb *cbs, int fd) {
    for (int n = 0; n < many; n++) {
        cbs[n] = poll_of(fd, POLLIN);
        int result = submit(ctx, &cbs[n]);
        if (result != 1) {
            CHECK_EQ(result, -EAGAIN);
            return n;
        }
    }
    FAIL("more than %d requests are in flight", many);
}

TEST(same, rule_06_as_many_as_asked_for_are_in_flight_then_eagain) {
    static struct iocb cbs[many];
    static struct io_event events[many];
    const int sizes[] = {1, 2, 5, 64, 129, 1000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int ends[2];
        silent_pipe(ends);
        io_context_t ctx = new_context(sizes[i]);
        int taken = fill_with_polls(ctx, cbs, ends[0]);
        CHECK(taken >= sizes[i]);
        nothing_to_reap(ctx);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        reap(ctx, taken, events);
        for (int n = 0; n < taken; n++) CHECK(events[n].res & POLLIN);
        /* And there is room again. */
        CHECK_GIVES(submit(ctx, &cbs[0]), 1);
        reap(ctx, 1, events);
        CHECK_GIVES(io_destroy(ctx), 0);
        close(ends[0]);
        close(ends[1]);
    }
}

/* A completion that nobody has taken holds its place, too, so that none is ever lost. */
TEST(same, rule_06_completions_not_taken_count) {
    static struct iocb cb;
    static struct io_event events[many];
    char buffer[1];
    int fd = pattern_file("data", 1), taken = 0, result;
    io_context_t ctx = new_context(10);
    for (cb = read_of(fd, buffer, 1, 0); taken < many && (result = submit(ctx, &cb)) == 1; taken++) {}
    CHECK_EQ(result, -EAGAIN);
    CHECK(taken >= 10);
    reap(ctx, taken, events);
    nothing_to_reap(ctx);
    for (int i = 0; i < taken; i++) CHECK_EQ(events[i].res, 1);
}

/* A list that does not fit is taken as far as it fits. */
TEST(same, rule_06_of_a_long_list_as_much_as_fits_is_taken) {
    static struct iocb cbs[many];
    static struct iocb *list[many];
    static struct io_event events[many];
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < many; i++) {
        cbs[i] = poll_of(ends[0], POLLIN);
        list[i] = &cbs[i];
    }
    io_context_t ctx = new_context(100);
    int taken = io_submit(ctx, many, list);
    CHECK(taken >= 100 && taken < many);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    reap(ctx, taken, events);
    nothing_to_reap(ctx);
}
