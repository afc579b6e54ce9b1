/* Rules 27 and 28: a completion adds to an eventfd. */
#include "libaio_check.h"

#include <sys/epoll.h>

static char buffer[BLOCK];

static struct iocb told_read(int fd, int event) {
    struct iocb cb = read_of(fd, buffer, BLOCK, 0);
    io_set_eventfd(&cb, event);
    return cb;
}

static uint64_t count_of(int event) {
    uint64_t count = 0;
    SET_UP(fcntl(event, F_SETFL, O_NONBLOCK) == 0);
    if (read(event, &count, sizeof count) < 0) {
        CHECK_EQ(errno, EAGAIN);
        return 0;
    }
    return count;
}

TEST(same, rule_27_what_is_no_eventfd_is_einval) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), ends[2];
    silent_pipe(ends);
    struct iocb cb = told_read(fd, fd);
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = told_read(fd, ends[1]);
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = told_read(fd, epoll_create1(EPOLL_CLOEXEC));
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb = told_read(fd, -1);
    CHECK_GIVES(submit(ctx, &cb), -EBADF);
    cb = told_read(fd, 1 << 20);
    CHECK_GIVES(submit(ctx, &cb), -EBADF);
    nothing_to_reap(ctx);
    cb.u.c.flags = 0; /* else the number means nothing */
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
}

TEST(same, rule_28_each_completion_adds_one) {
    enum { requests = 20 };
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", BLOCK), event = eventfd(0, EFD_CLOEXEC), direct = open_direct("data");
    struct iocb cbs[requests];
    struct io_event events[requests];
    char *memory = aligned(BLOCK);
    uncache(fd);
    for (int i = 0; i < requests; i++) {
        cbs[i] = told_read(i % 2 ? fd : direct, event);
        cbs[i].u.c.buf = memory;
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    reap(ctx, requests, events);
    /* The count comes after the completion. */
    uint64_t count = 0;
    EVENTUALLY((count += count_of(event)) >= requests);
    sleep_ms(10);
    CHECK_EQ(count + count_of(event), requests);
}

/* A failed one counts, one that was refused does not. */
TEST(same, rule_28_what_was_refused_adds_nothing) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), event = eventfd(0, EFD_CLOEXEC);
    struct iocb cb = told_read(fd, event);
    cb.u.c.buf = NULL;
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    uint64_t count = 0;
    EVENTUALLY((count += count_of(event)) == 1);
    cb.u.c.offset = -1;
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb.aio_fildes = -1;
    CHECK_GIVES(submit(ctx, &cb), -EBADF);
    sleep_ms(10);
    CHECK_EQ(count_of(event), 0);
}

/* Who is woken by the eventfd finds the completion without waiting, again and again. */
TEST(same, rule_28_the_completion_is_there_before_the_count) {
    enum { requests = 16 };
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", 64 * BLOCK), event = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    int direct = open_direct("data");
    char *memory = aligned(BLOCK);
    struct iocb cbs[requests];
    int in_flight = 0, started = 0;
    for (TURNS(turn, 5000)) {
        while (in_flight < requests) {
            cbs[in_flight] = told_read(started % 3 ? direct : fd, event);
            cbs[in_flight].u.c.buf = memory;
            cbs[in_flight].u.c.offset = started % 64 * BLOCK;
            CHECK_GIVES(submit(ctx, &cbs[in_flight]), 1);
            in_flight++;
            started++;
        }
        struct pollfd wait = {event, POLLIN, 0};
        CHECK_EQ(poll(&wait, 1, PATIENCE_MS), 1);
        uint64_t one;
        CHECK_EQ(read(event, &one, sizeof one), (ssize_t)sizeof one);
        struct io_event done;
        CHECK_EQ(io_getevents(ctx, 0, 1, &done, &(struct timespec){0, 0}), 1);
        CHECK_EQ(done.res, BLOCK);
        in_flight--;
    }
}

/* The same with a poll that another thread ends. */
TEST(same, rule_28_a_poll_adds_one_after_its_completion) {
    io_context_t ctx = new_context(8);
    int event = eventfd(0, EFD_CLOEXEC), ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 500; i++) {
        struct iocb cb = poll_of(ends[0], POLLIN);
        io_set_eventfd(&cb, event);
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        uint64_t count;
        CHECK_EQ(read(event, &count, sizeof count), (ssize_t)sizeof count);
        CHECK_EQ(count, 1);
        struct io_event done;
        CHECK_EQ(io_getevents(ctx, 0, 1, &done, NULL), 1);
        CHECK_EQ(read(ends[0], buffer, 1), 1);
    }
}

/* What the count wakes is any kind of wait. */
TEST(same, rule_28_the_count_wakes_an_epoll) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), event = eventfd(0, EFD_CLOEXEC), set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event interest = {EPOLLIN | EPOLLET, {.u64 = 7}}, ready;
    SET_UP(epoll_ctl(set, EPOLL_CTL_ADD, event, &interest) == 0);
    for (int i = 0; i < 200; i++) {
        struct iocb cb = told_read(fd, event);
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(epoll_wait(set, &ready, 1, PATIENCE_MS), 1);
        struct io_event done;
        CHECK_EQ(io_getevents(ctx, 0, 1, &done, NULL), 1);
    }
}

/* A full counter stays full, and holds up nothing. */
TEST(same, rule_28_a_full_counter_does_not_block) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), event = eventfd(0, EFD_CLOEXEC);
    uint64_t full = UINT64_MAX - 1;
    SET_UP(write(event, &full, sizeof full) == (ssize_t)sizeof full);
    for (int i = 0; i < 20; i++) {
        struct iocb cb = told_read(fd, event);
        CHECK_EQ(result_from(ctx, &cb), BLOCK);
    }
    context_works(ctx, fd);
    CHECK(count_of(event) >= full);
}

/* The eventfd is held by the request, not by its number. */
TEST(same, rule_28_the_eventfd_may_be_closed_meanwhile) {
    io_context_t ctx = new_context(8);
    int event = eventfd(0, EFD_CLOEXEC), same_event = dup(event), ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    io_set_eventfd(&cb, event);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_EQ(close(event), 0);
    int innocent = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(innocent, event);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    struct io_event done;
    reap(ctx, 1, &done);
    EVENTUALLY(count_of(same_event) == 1);
    CHECK_EQ(count_of(innocent), 0);
}
