/* Many threads on one context, and on one each: each completion once, sums right, and the end of a context under load. */
#include "libaio_check.h"

static char buffer[BLOCK];

enum { submitters = 4, takers = 3, each = 3000, room = 100 };

static struct {
    io_context_t ctx;
    int fd, direct;
    atomic_int submitted, taken;
    atomic_ullong sum;
    atomic_uchar seen[submitters * each];
    struct iocb cbs[submitters * each];
} shared;

static void *submit_many(void *arg) {
    int first = (int)(intptr_t)arg * each;
    char *memory = aligned(BLOCK);
    for (int i = first; i < first + each;) {
        struct iocb *list[8];
        long count = 0;
        for (; count < 1 + i % 8 && i + count < first + each; count++) {
            int number = i + (int)count;
            shared.cbs[number] = read_of(number % 16 == 0 ? shared.direct : shared.fd, memory, BLOCK, 0);
            shared.cbs[number].data = (void *)(intptr_t)number;
            list[count] = &shared.cbs[number];
        }
        int result = io_submit(shared.ctx, count, list);
        if (result == -EAGAIN) continue;
        CHECK(result >= 1 && result <= count);
        i += result;
        shared.submitted += result;
    }
    return NULL;
}

static void *take_many(void *arg) {
    (void)arg;
    struct io_event events[9];
    while (shared.taken < submitters * each) {
        int result = io_getevents(shared.ctx, 1 + shared.taken % 3, 9, events, &(struct timespec){0, 10000000});
        CHECK(result >= 0 && result <= 9);
        for (int i = 0; i < result; i++) {
            int number = (int)(intptr_t)events[i].data;
            CHECK(number >= 0 && number < submitters * each);
            CHECK(events[i].obj == &shared.cbs[number]);
            CHECK_EQ(atomic_fetch_add(&shared.seen[number], 1), 0);
            CHECK_EQ(events[i].res, BLOCK);
            shared.sum += (unsigned)number;
        }
        shared.taken += result;
    }
    return NULL;
}

TEST(same, threads_share_a_context) {
    pthread_t threads[submitters + takers];
    shared.fd = pattern_file("data", BLOCK);
    shared.direct = open_direct("data");
    shared.ctx = new_context(room);
    for (int i = 0; i < submitters; i++) start_thread(&threads[i], submit_many, (void *)(intptr_t)i);
    for (int i = 0; i < takers; i++) start_thread(&threads[submitters + i], take_many, NULL);
    for (int i = 0; i < submitters + takers; i++) join_thread(threads[i]);
    CHECK_EQ(shared.submitted, submitters * each);
    CHECK_EQ(shared.taken, submitters * each);
    CHECK_EQ(shared.sum, (unsigned long long)submitters * each * (submitters * each - 1) / 2);
    nothing_to_reap(shared.ctx);
    CHECK_GIVES(io_destroy(shared.ctx), 0);
}

/* One completion at a time, with a wait for each: none may lie there while its waiter sleeps on. */
TEST(same, threads_that_wait_lose_no_wake_up) {
    enum { rounds = 4000 };
    io_context_t ctx = new_context(4);
    int question[2], answer[2];
    silent_pipe(question);
    silent_pipe(answer);
    pid_t echo = CHILD({
        char byte;
        for (int i = 0; i < rounds; i++) {
            CHECK_EQ(read(question[0], &byte, 1), 1);
            CHECK_EQ(write(answer[1], &byte, 1), 1);
        }
    });
    for (int i = 0; i < rounds; i++) {
        char byte = 'x';
        struct iocb cb = poll_of(answer[0], POLLIN);
        struct io_event event;
        CHECK_GIVES(submit(ctx, &cb), 1);
        CHECK_EQ(write(question[1], &byte, 1), 1);
        CHECK_EQ(io_getevents(ctx, 1, 1, &event, &(struct timespec){PATIENCE_MS / 1000, 0}), 1);
        CHECK_EQ(read(answer[0], &byte, 1), 1);
    }
    child_succeeds(echo);
}

static void *submit_and_leave(void *arg) {
    struct iocb *cbs = arg, *list[] = {&cbs[0], &cbs[1], &cbs[2]};
    CHECK_GIVES(io_submit(shared.ctx, 3, list), 3);
    return NULL;
}

TEST(same, threads_that_end_leave_their_requests_alive) {
    shared.ctx = new_context(64);
    shared.fd = pattern_file("data", 64 * BLOCK);
    shared.direct = open_direct("data");
    for (int i = 0; i < 100; i++) {
        int ends[2];
        silent_pipe(ends);
        char *memory = aligned(2 * BLOCK);
        if (i % 10 == 0) uncache(shared.fd);
        struct iocb cbs[3] = {read_of(shared.direct, memory, BLOCK, BLOCK),
                              read_of(shared.fd, memory + BLOCK, BLOCK, 2 * BLOCK), poll_of(ends[0], POLLIN)};
        pthread_t thread;
        start_thread(&thread, submit_and_leave, cbs);
        join_thread(thread);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        struct io_event events[3];
        reap(shared.ctx, 3, events);
        for (int j = 0; j < 3; j++) CHECK(events[j].obj == &cbs[2] ? events[j].res & POLLIN : events[j].res == BLOCK);
        check_pattern(memory, 2 * BLOCK, BLOCK);
        free(memory);
        close(ends[0]);
        close(ends[1]);
    }
}

TEST(better, threads_that_end_leave_a_pipe_read_alive) {
    shared.ctx = new_context(64);
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 50; i++) {
        struct iocb cbs[3];
        char bytes[3];
        for (int j = 0; j < 3; j++) cbs[j] = read_of(ends[0], &bytes[j], 1, 0);
        pthread_t thread;
        start_thread(&thread, submit_and_leave, cbs);
        join_thread(thread);
        sleep_ms(1);
        CHECK_EQ(write(ends[1], "abc", 3), 3);
        struct io_event events[3];
        reap(shared.ctx, 3, events);
        for (int j = 0; j < 3; j++) CHECK_EQ(events[j].res, 1);
        CHECK_EQ(bytes[0] + bytes[1] + bytes[2], 'a' + 'b' + 'c');
    }
}

static atomic_int refused;

static void *submit_until_refused(void *arg) {
    (void)arg;
    struct iocb cb = read_of(shared.fd, buffer, BLOCK, 0);
    for (int result; (result = submit(shared.ctx, &cb)) != -EINVAL;) CHECK(result == 1 || result == -EAGAIN);
    refused++;
    return NULL;
}

TEST(same, destroy_while_threads_submit) {
    enum { threads_each = 3 };
    shared.fd = pattern_file("data", BLOCK);
    for (TURNS(i, 30)) {
        pthread_t threads[threads_each];
        refused = 0;
        shared.ctx = new_context(256);
        for (int t = 0; t < threads_each; t++) start_thread(&threads[t], submit_until_refused, NULL);
        sleep_ms(i % 5);
        CHECK_GIVES(io_destroy(shared.ctx), 0);
        for (int t = 0; t < threads_each; t++) join_thread(threads[t]);
        CHECK_EQ(refused, threads_each);
    }
}

static void *take_until_refused(void *arg) {
    struct io_event events[4];
    for (int result; (result = io_getevents(shared.ctx, arg == NULL, 4, events, NULL)) != -EINVAL;)
        CHECK(result >= 0 && result <= 4);
    refused++;
    return NULL;
}

/* libaio reads the ring of a context that is gone. */
TEST(better, destroy_while_threads_submit_and_take) {
    shared.fd = pattern_file("data", BLOCK);
    for (TURNS(i, 60)) {
        pthread_t threads[4];
        refused = 0;
        shared.ctx = new_context(256);
        start_thread(&threads[0], submit_until_refused, NULL);
        start_thread(&threads[1], submit_until_refused, NULL);
        start_thread(&threads[2], take_until_refused, NULL);
        start_thread(&threads[3], take_until_refused, &shared);
        sleep_ms(i % 5);
        CHECK_GIVES(io_destroy(shared.ctx), 0);
        for (int t = 0; t < 4; t++) join_thread(threads[t]);
        CHECK_EQ(refused, 4);
    }
}

static atomic_int destroyed;

static void *destroy_it(void *arg) {
    (void)arg;
    int result = io_destroy(shared.ctx);
    CHECK(result == 0 || result == -EINVAL);
    destroyed += result == 0;
    return NULL;
}

TEST(same, destroy_by_many_threads_is_done_once) {
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 50; i++) {
        pthread_t threads[4];
        destroyed = 0;
        shared.ctx = new_context(8);
        struct iocb cb = poll_of(ends[0], POLLIN);
        CHECK_GIVES(submit(shared.ctx, &cb), 1);
        for (int t = 0; t < 4; t++) start_thread(&threads[t], destroy_it, NULL);
        for (int t = 0; t < 4; t++) join_thread(threads[t]);
        CHECK_EQ(destroyed, 1);
    }
}

static void *own_context(void *arg) {
    int number = (int)(intptr_t)arg;
    char *memory = aligned(8 * BLOCK);
    for (TURNS(i, 50)) {
        io_context_t ctx = new_context(8);
        struct iocb cbs[8], *list[8];
        struct io_event events[8];
        for (int round = 0; round < 20; round++) {
            for (int j = 0; j < 8; j++) {
                off_t offset = (number * 8 + j + round) % 64 * BLOCK;
                cbs[j] = read_of((j + number) % 2 ? shared.fd : shared.direct, memory + j * BLOCK, BLOCK, offset);
                list[j] = &cbs[j];
            }
            CHECK_GIVES(io_submit(ctx, 8, list), 8);
            reap(ctx, 8, events);
            for (int j = 0; j < 8; j++) {
                CHECK_EQ(events[j].res, BLOCK);
                check_pattern(memory + j * BLOCK, BLOCK, (number * 8 + j + round) % 64 * BLOCK);
            }
        }
        CHECK_GIVES(io_destroy(ctx), 0);
    }
    return NULL;
}

TEST(same, threads_with_contexts_of_their_own) {
    pthread_t threads[6];
    shared.fd = pattern_file("data", 64 * BLOCK);
    shared.direct = open_direct("data");
    for (int i = 0; i < 6; i++) start_thread(&threads[i], own_context, (void *)(intptr_t)i);
    for (int i = 0; i < 6; i++) join_thread(threads[i]);
}
