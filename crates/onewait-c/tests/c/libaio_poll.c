/* Rules 31 to 33: polls, and what io_cancel does. */
#include "libaio_check.h"

static char buffer[BLOCK];

TEST(same, rule_31_a_poll_ends_when_the_descriptor_is_ready) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &cb), 1);
    nothing_to_reap(ctx);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    reap(ctx, 1, &event);
    CHECK(event.obj == &cb && (event.res & POLLIN));
    /* One-shot: more data says nothing. */
    CHECK_EQ(write(ends[1], "x", 1), 1);
    sleep_ms(10);
    nothing_to_reap(ctx);
}

TEST(same, rule_31_the_result_is_the_mask) {
    io_context_t ctx = new_context(8);
    int pair[2], fd = pattern_file("data", BLOCK), ends[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct iocb cb = poll_of(pair[0], POLLIN | POLLOUT);
    CHECK_EQ(result_from(ctx, &cb), POLLOUT);
    SET_UP(write(pair[1], "x", 1) == 1);
    CHECK_EQ(result_from(ctx, &cb), POLLIN | POLLOUT);
    cb = poll_of(pair[0], POLLIN);
    CHECK_EQ(result_from(ctx, &cb), POLLIN);
    close(pair[1]);
    cb = poll_of(pair[0], 0); /* a hang-up is told unasked */
    CHECK_EQ(result_from(ctx, &cb), POLLHUP);
    cb = poll_of(fd, POLLIN | POLLOUT);
    CHECK_EQ(result_from(ctx, &cb), POLLIN | POLLOUT); /* a file is always ready */
    silent_pipe(ends);
    close(ends[0]);
    cb = poll_of(ends[1], POLLOUT);
    CHECK_EQ(result_from(ctx, &cb), POLLOUT | POLLERR);
}

TEST(same, rule_31_a_poll_takes_no_length_offset_or_flags) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    cb.u.c.offset = 1;
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = poll_of(ends[0], POLLIN);
    cb.u.c.nbytes = 1;
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = poll_of(ends[0], POLLIN);
    cb.aio_rw_flags = RWF_NOWAIT;
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = poll_of(ends[0], 1 << 16 | POLLIN); /* the mask has 16 bits */
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    nothing_to_reap(ctx);
}

TEST(same, rule_31_many_polls_of_one_descriptor_all_end) {
    enum { polls = 50 };
    io_context_t ctx = new_context(polls);
    int ends[2];
    silent_pipe(ends);
    struct iocb cbs[polls], *list[polls];
    struct io_event events[polls];
    for (int i = 0; i < polls; i++) {
        cbs[i] = poll_of(ends[0], POLLIN);
        list[i] = &cbs[i];
    }
    CHECK_GIVES(io_submit(ctx, polls, list), polls);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    reap(ctx, polls, events);
    for (int i = 0; i < polls; i++) CHECK(events[i].res & POLLIN);
}

TEST(same, rule_31_a_poll_outlives_its_descriptor) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_EQ(close(ends[0]), 0);
    nothing_to_reap(ctx);
    CHECK_EQ(write(ends[1], "x", 1), 1); /* the request holds the reading end open */
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK(event.res & POLLIN);
}

TEST(same, rule_32_a_cancelled_poll_comes_through_the_ring) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 300; i++) {
        struct iocb cb = poll_of(ends[0], POLLIN);
        cb.data = &ctx;
        struct io_event event;
        memset(&event, 0x55, sizeof event);
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINPROGRESS);
        CHECK_EQ((uintptr_t)event.data, 0x5555555555555555); /* it is not used */
        reap(ctx, 1, &event);
        CHECK(event.obj == &cb && event.data == &ctx);
        CHECK_EQ(event.res, 0);
        CHECK_EQ(event.res2, 0);
        CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
    }
    CHECK_EQ(write(ends[1], "x", 1), 1);
    sleep_ms(10);
    nothing_to_reap(ctx);
}

TEST(same, rule_32_nowhere_to_put_the_event_does_not_matter) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_GIVES(io_cancel(ctx, &cb, NULL), -EINPROGRESS);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 0);
}

TEST(same, rule_32_a_cancelled_poll_adds_to_its_eventfd) {
    io_context_t ctx = new_context(8);
    int ends[2], counter = eventfd(0, EFD_CLOEXEC);
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    io_set_eventfd(&cb, counter);
    CHECK_GIVES(submit(ctx, &cb), 1);
    struct io_event event;
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINPROGRESS);
    uint64_t count;
    CHECK_EQ(read(counter, &count, sizeof count), (ssize_t)sizeof count);
    CHECK_EQ(count, 1);
    reap(ctx, 1, &event);
}

/* The others go on. */
TEST(same, rule_32_only_the_one_is_cancelled) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cbs[3] = {poll_of(ends[0], POLLIN), poll_of(ends[0], POLLIN), poll_of(ends[0], POLLIN)};
    struct io_event events[3];
    for (int i = 0; i < 3; i++) CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    CHECK_GIVES(io_cancel(ctx, &cbs[1], events), -EINPROGRESS);
    reap(ctx, 1, events);
    CHECK(events[0].obj == &cbs[1]);
    nothing_to_reap(ctx);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    reap(ctx, 2, events);
    for (int i = 0; i < 2; i++) CHECK(events[i].obj != &cbs[1] && (events[i].res & POLLIN));
}

/* Cancelling and readiness race: there is one completion, whatever wins. */
TEST(same, rule_32_a_race_gives_one_completion) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 2000; i++) {
        struct iocb cb = poll_of(ends[0], POLLIN);
        struct io_event event;
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        int said = io_cancel(ctx, &cb, &event);
        CHECK(said == -EINPROGRESS || said == -EINVAL);
        reap(ctx, 1, &event);
        CHECK(event.res == 0 || (event.res & POLLIN));
        if (said == -EINVAL) CHECK(event.res & POLLIN);
        nothing_to_reap(ctx);
        CHECK_EQ(read(ends[0], buffer, 1), 1);
    }
}

TEST(same, rule_33_what_is_unknown_cannot_be_cancelled) {
    io_context_t ctx = new_context(8), other = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN), never = cb;
    struct io_event event;
    CHECK_GIVES(io_cancel(ctx, &never, &event), -EINVAL);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_GIVES(io_cancel(other, &cb, &event), -EINVAL);
    CHECK_GIVES(io_cancel(NULL, &cb, &event), -EINVAL);
    struct iocb copy = cb;
    CHECK_GIVES(io_cancel(ctx, &copy, &event), -EINVAL);
    CHECK_GIVES(io_cancel(ctx, NULL, &event), -EFAULT);
    cb.key = 1;
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
    cb.key = 0;
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINPROGRESS);
    reap(ctx, 1, &event);
    CHECK_GIVES(io_destroy(other), 0);
    CHECK_GIVES(io_cancel(other, &cb, &event), -EINVAL);
}

TEST(same, rule_33_what_is_over_cannot_be_cancelled) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    struct io_event event;
    CHECK_GIVES(submit(ctx, &cb), 1);
    reap(ctx, 1, &event);
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
    nothing_to_reap(ctx);
}

/* A file's read cannot be cancelled in the kernel; ours may. Either way it has one completion. */
TEST(same, rule_33_a_read_in_flight_has_one_completion_whatever_is_said) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 1024 * BLOCK), direct = open_direct("data");
    char *memory = aligned(BLOCK);
    for (int i = 0; i < 300; i++) {
        if (i % 100 == 0) uncache(fd);
        off_t offset = i * 37 % 1024 * BLOCK;
        struct iocb cb = read_of(i % 2 ? fd : direct, memory, BLOCK, offset);
        struct io_event event;
        CHECK_GIVES(submit(ctx, &cb), 1);
        int said = io_cancel(ctx, &cb, &event);
        CHECK(said == -EINVAL || said == -EINPROGRESS);
        reap(ctx, 1, &event);
        CHECK(event.obj == &cb);
        if (event.res == BLOCK)
            check_pattern(memory, BLOCK, offset);
        else
            CHECK(said == -EINPROGRESS);
        nothing_to_reap(ctx);
    }
}
