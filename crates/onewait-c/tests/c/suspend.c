/* Rules 31 to 38, 41 and 42: what aio_suspend waits for, and how long. (Signals and cancellation: interrupt.c.) */
#include "check.h"

#include <limits.h>

static char buffer[4096];

static struct aiocb done(void) {
    int fd = pattern_file("done", 10);
    struct aiocb cb = REQUEST(fd, buffer + 1, 10, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), 0);
    return cb;
}

TEST(same, rule_31_one_already_done_returns_at_once) {
    start_blocked();
    struct aiocb ready = done();
    const struct aiocb *list[] = {&blocked, &ready, &blocked};
    CHECK_EQ(aio_suspend(list, 3, NULL), 0);
    CHECK_EQ(aio_suspend(list, 3, &(struct timespec){0, 0}), 0);
    CHECK_EQ(aio_suspend(list, 3, &(struct timespec){3600, 0}), 0);
    CHECK_EQ(aio_error(&blocked), EINPROGRESS);
    /* Again after aio_return, and for one that failed or was never submitted. */
    CHECK_EQ(aio_return(&ready), 10);
    CHECK_EQ(aio_suspend(list, 3, NULL), 0);
    struct aiocb zero;
    memset(&zero, 0, sizeof zero);
    const struct aiocb *with_zero[] = {&blocked, &zero};
    CHECK_EQ(aio_suspend(with_zero, 2, NULL), 0);
}

TEST(same, rule_31_it_returns_when_one_of_several_completes) {
    struct aiocb cbs[8];
    const struct aiocb *list[8];
    int pipes[8][2];
    for (int i = 0; i < 8; i++) {
        silent_pipe(pipes[i]);
        cbs[i] = REQUEST(pipes[i][0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&cbs[i]), 0);
        list[i] = &cbs[i];
    }
    for (int i = 7; i >= 0; i--) {
        CHECK_EQ(write(pipes[i][1], "x", 1), 1);
        CHECK_EQ(aio_suspend(list, 8, NULL), 0);
        CHECK_EQ(aio_error(&cbs[i]), 0);
        list[i] = NULL;
    }
}

TEST(same, rule_32_null_entries_are_skipped) {
    start_blocked();
    const struct aiocb *list[] = {NULL, &blocked, NULL};
    CHECK_ERRNO(aio_suspend(list, 3, &(struct timespec){0, 10000000}), EAGAIN);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(aio_suspend(list, 3, NULL), 0);
    CHECK_EQ(aio_error(&blocked), 0);
}

TEST(same, rule_33_nothing_to_wait_for_returns_0) {
    const struct aiocb *list[] = {NULL, NULL, NULL};
    CHECK_EQ(aio_suspend(list, 3, NULL), 0);
    CHECK_EQ(aio_suspend(list, 3, &(struct timespec){3600, 0}), 0);
    CHECK_EQ(aio_suspend(list, 0, NULL), 0);
    CHECK_EQ(aio_suspend(list, 0, &(struct timespec){3600, 0}), 0);
    /* A list of length 0 may be no list at all; the header says otherwise, so hide it from the compiler. */
    const struct aiocb **volatile none = NULL;
    CHECK_EQ(aio_suspend(none, 0, NULL), 0);
}

TEST(same, rule_34_negative_length_is_einval) {
    const struct aiocb *list[] = {NULL};
    CHECK_ERRNO(aio_suspend(list, -1, NULL), EINVAL);
    CHECK_ERRNO(aio_suspend(list, INT_MIN, &(struct timespec){0, 0}), EINVAL);
}

TEST(same, rule_35_timeout_0_is_eagain_at_once) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    int64_t start = now_ms();
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, 0}), EAGAIN);
    CHECK(now_ms() - start < 5000);
    CHECK_EQ(aio_error(&blocked), EINPROGRESS);
}

TEST(same, rule_36_expiry_is_eagain_after_the_whole_time) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    struct timespec times[] = {{0, 1}, {0, 1000000}, {0, 120000000}, {1, 1000}};
    for (int i = 0; i < 4; i++) {
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        CHECK_ERRNO(aio_suspend(list, 1, &times[i]), EAGAIN);
        clock_gettime(CLOCK_MONOTONIC, &after);
        int64_t took = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
        CHECK(took >= times[i].tv_sec * 1000000000 + times[i].tv_nsec);
        CHECK(took < 8000000000);
    }
    /* The time that it is given is not what it keeps its own notes in. */
    CHECK(times[2].tv_sec == 0 && times[2].tv_nsec == 120000000);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(finish(&blocked), 1);
}

TEST(same, rule_36_a_completion_before_expiry_returns_0) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){PATIENCE_MS / 1000, 0}), 0);
    CHECK_EQ(aio_error(&blocked), 0);
}

TEST(same, rule_36_a_very_long_time_is_no_error) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){INT32_MAX, 999999999}), 0);
    CHECK_EQ(aio_return(&blocked), 1);
}

/* The time at which it would end does not fit in a time_t. */
TEST(ours, rule_36_a_time_beyond_the_end_of_time_is_no_error) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){INT64_MAX, 999999999}), 0);
    CHECK_EQ(aio_return(&blocked), 1);
}

TEST(same, rule_37_negative_seconds_are_eagain_at_once) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    int64_t start = now_ms();
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){-1, 0}), EAGAIN);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){-1000000, 999999999}), EAGAIN);
    CHECK(now_ms() - start < 5000);
}

TEST(better, rule_38_too_many_nanoseconds_are_einval) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, 1000000000}), EINVAL);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, LONG_MAX}), EINVAL);
    CHECK_EQ(aio_error(&blocked), EINPROGRESS);
}

TEST(better, rule_38_negative_nanoseconds_are_einval) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){1, -1}), EINVAL);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){1, LONG_MIN}), EINVAL);
    CHECK_EQ(aio_error(&blocked), EINPROGRESS);
}

TEST(same, rule_38_a_bad_time_is_not_looked_at_when_one_is_done) {
    struct aiocb ready = done();
    const struct aiocb *list[] = {&ready};
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){0, 1000000000}), 0);
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){0, -1}), 0);
}

/* The list holds `length` entries: one request that will complete, wherever it stands, many that are NULL, and many
 * times one that will not. */
static void long_list(size_t length) {
    const struct aiocb **list = calloc(length, sizeof *list);
    SET_UP(list != NULL);
    start_blocked();
    int others[2];
    silent_pipe(others);
    struct aiocb silent = REQUEST(others[0], buffer + 1, 1, 0);
    CHECK_EQ(aio_read(&silent), 0);
    for (size_t i = 0; i < length; i += 2) list[i] = &silent;
    CHECK_ERRNO(aio_suspend(list, (int)length, &(struct timespec){0, 1000000}), EAGAIN);
    list[length - 1] = &blocked;
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(aio_suspend(list, (int)length, NULL), 0);
    CHECK_EQ(aio_error(&blocked), 0);
    CHECK_EQ(aio_error(&silent), EINPROGRESS);
    CHECK_EQ(write(others[1], "x", 1), 1);
    CHECK_EQ(finish(&silent), 1);
    free(list);
}

TEST(same, rule_41_a_large_list_works) { long_list(20000); }

/* glibc keeps its notes for every entry on the stack. */
TEST(better, rule_41_a_very_large_list_works) { long_list(1000000); }

static void *suspend_on_blocked(void *result) {
    const struct aiocb *list[] = {&blocked};
    *(int *)result = aio_suspend(list, 1, NULL);
    return NULL;
}

TEST(same, rule_42_all_waiters_on_one_request_wake) {
    enum { waiters = 16 };
    for (int round = 0; round < 20; round++) {
        pthread_t threads[waiters];
        int results[waiters];
        start_blocked();
        for (int i = 0; i < waiters; i++) {
            results[i] = -2;
            SET_UP(pthread_create(&threads[i], NULL, suspend_on_blocked, &results[i]) == 0);
        }
        /* Some rounds with all of them asleep, some in the middle of falling asleep. */
        if (round % 2 == 0) sleep_ms(20);
        CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
        for (int i = 0; i < waiters; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
            CHECK_EQ(results[i], 0);
        }
        close(blocked_ends[0]);
        close(blocked_ends[1]);
    }
}

struct pair {
    struct aiocb *requests;
    int first;
};

static void *suspend_on_pair(void *argument) {
    struct pair *pair = argument;
    const struct aiocb *list[] = {&pair->requests[pair->first], &pair->requests[pair->first + 1]};
    CHECK_EQ(aio_suspend(list, 2, NULL), 0);
    CHECK(aio_error(list[0]) == 0 || aio_error(list[1]) == 0);
    return NULL;
}

TEST(same, rule_42_waiters_on_lists_that_overlap_wake) {
    enum { waiters = 12 };
    struct aiocb requests[waiters + 1];
    struct pair pairs[waiters];
    pthread_t threads[waiters];
    int pipes[waiters + 1][2];
    for (int i = 0; i <= waiters; i++) {
        silent_pipe(pipes[i]);
        requests[i] = REQUEST(pipes[i][0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&requests[i]), 0);
    }
    for (int i = 0; i < waiters; i++) {
        pairs[i] = (struct pair){requests, i};
        SET_UP(pthread_create(&threads[i], NULL, suspend_on_pair, &pairs[i]) == 0);
    }
    for (int i = 1; i <= waiters; i += 2) CHECK_EQ(write(pipes[i][1], "x", 1), 1);
    for (int i = 0; i < waiters; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* One thread waits for a block again and again, while another reaps it and submits it anew: whenever the block is left
 * done, the waiter finds that out. */
static struct aiocb reused;
static volatile bool reuse_is_over;
static volatile unsigned long returns;

static void *wait_for_reused(void *arg) {
    const struct aiocb *list[] = {&reused};
    while (!reuse_is_over) {
        if (aio_suspend(list, 1, NULL) != 0) CHECK_EQ(errno, EINTR);
        __atomic_fetch_add(&returns, 1, __ATOMIC_SEQ_CST);
    }
    return arg;
}

TEST(same, rule_42_a_waiter_misses_no_end_of_a_block_in_reuse) {
    int ends[2];
    silent_pipe(ends);
    char byte;
    reused = REQUEST(ends[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&reused), 0);
    pthread_t waiter;
    CHECK_EQ(pthread_create(&waiter, NULL, wait_for_reused, NULL), 0);
    int64_t end = now_ms() + 1500;
    for (int round = 1; now_ms() < end; round++) {
        for (int i = 0; i < round % 200; i++) {
            CHECK_EQ(write(ends[1], "x", 1), 1);
            while (aio_error(&reused) == EINPROGRESS) {}
            CHECK_EQ(aio_return(&reused), 1);
            CHECK_EQ(aio_read(&reused), 0);
        }
        CHECK_EQ(write(ends[1], "x", 1), 1);
        while (aio_error(&reused) == EINPROGRESS) {}
        unsigned long before = returns;
        EVENTUALLY(returns > before + 1);
        CHECK_EQ(aio_return(&reused), 1);
        CHECK_EQ(aio_read(&reused), 0);
    }
    reuse_is_over = true;
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(pthread_join(waiter, NULL), 0);
}
