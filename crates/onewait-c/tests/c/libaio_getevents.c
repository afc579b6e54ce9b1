/* Rules 21 to 26, 37 and 40: how completions are taken. */
#include "libaio_check.h"

static char buffer[BLOCK];

/* So many reads that have completed, or will without anybody's help. */
static void start_reads(io_context_t ctx, int fd, int count) {
    static struct iocb cbs[256];
    for (int i = 0; i < count; i++) {
        cbs[i] = read_of(fd, buffer, BLOCK, 0);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
}

/* A request that stays in flight. */
static int silent[2];
static struct iocb silent_poll;

static void start_silent(io_context_t ctx) {
    silent_pipe(silent);
    silent_poll = poll_of(silent[0], POLLIN);
    CHECK_GIVES(submit(ctx, &silent_poll), 1);
}

static void end_silent(io_context_t ctx) {
    struct io_event event;
    CHECK_EQ(write(silent[1], "x", 1), 1);
    reap(ctx, 1, &event);
    CHECK(event.obj == &silent_poll && (event.res & POLLIN));
}

TEST(same, rule_21_a_minimum_of_none_never_waits) {
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    start_silent(ctx);
    struct timespec forever = {1000000, 0};
    CHECK_GIVES(io_getevents(ctx, 0, 4, events, &forever), 0);
    CHECK_GIVES(io_getevents(ctx, 0, 4, events, NULL), 0);
    CHECK_GIVES(io_pgetevents(ctx, 0, 4, events, &forever, NULL), 0);
    CHECK_GIVES(io_pgetevents(ctx, 0, 4, events, NULL, NULL), 0);
    start_reads(ctx, pattern_file("data", BLOCK), 3);
    EVENTUALLY(io_getevents(ctx, 0, 1, events, NULL) == 1);
    EVENTUALLY(io_getevents(ctx, 0, 1, events, &forever) == 1);
    EVENTUALLY(io_pgetevents(ctx, 0, 1, events, NULL, NULL) == 1);
    end_silent(ctx);
}

TEST(same, rule_22_bad_numbers_are_einval) {
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    struct timespec now = {0, 0};
    CHECK_GIVES(io_getevents(ctx, 2, 1, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 1, 0, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, -1, 4, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 0, -1, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, -2, -1, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, INT64_MIN, 4, events, NULL), -EINVAL);
    CHECK_GIVES(io_pgetevents(ctx, 2, 1, events, NULL, NULL), -EINVAL);
    CHECK_GIVES(io_pgetevents(ctx, -1, 4, events, NULL, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 0, 0, events, NULL), 0);
    CHECK_GIVES(io_getevents(ctx, 1, 4, events, &now), 0);
    /* Refused also when something is there. */
    start_reads(ctx, pattern_file("data", BLOCK), 1);
    CHECK_GIVES(io_getevents(ctx, 2, 1, events, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 0, 0, events, NULL), 0);
    reap(ctx, 1, events);
}

/* libaio looks into an empty ring before it asks the kernel, and then finds nothing wrong with the numbers. */
TEST(same, rule_22_no_time_on_an_empty_ring_is_zero) {
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    struct timespec now = {0, 0};
    CHECK_GIVES(io_getevents(ctx, 2, 1, events, &now), 0);
    CHECK_GIVES(io_getevents(ctx, -1, 4, events, &now), 0);
    CHECK_GIVES(io_getevents(ctx, -1, -4, NULL, &now), 0);
}

TEST(same, rule_23_when_the_time_is_over_what_there_is_is_given) {
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    struct timespec time = {0, 20000000};
    start_silent(ctx);
    CHECK_GIVES(io_getevents(ctx, 1, 4, events, &time), 0);
    CHECK_EQ(time.tv_nsec, 20000000); /* it is not written to */
    start_reads(ctx, pattern_file("data", BLOCK), 2);
    CHECK_GIVES(io_getevents(ctx, 4, 4, events, &time), 2);
    CHECK(events[0].res == BLOCK && events[1].res == BLOCK);
    CHECK_GIVES(io_pgetevents(ctx, 4, 4, events, &time, NULL), 0);
    end_silent(ctx);
}

TEST(same, rule_23_it_waits_until_the_minimum_is_there) {
    io_context_t ctx = new_context(8);
    struct io_event events[8];
    int ends[2];
    silent_pipe(ends);
    struct iocb cbs[3] = {poll_of(ends[0], POLLIN), poll_of(ends[0], POLLIN), poll_of(ends[0], POLLIN)};
    struct iocb *list[] = {&cbs[0], &cbs[1], &cbs[2]};
    CHECK_GIVES(io_submit(ctx, 3, list), 3);
    pid_t writer = CHILD({
        sleep_ms(50);
        CHECK_EQ(write(ends[1], "x", 1), 1);
    });
    CHECK_GIVES(io_getevents(ctx, 3, 8, events, NULL), 3);
    for (int i = 0; i < 3; i++) CHECK(events[i].res & POLLIN);
    child_succeeds(writer);
}

static void do_nothing(int signal) { (void)signal; }

static void *signal_soon(void *target) {
    /* Again and again, because nobody can know when the other is in the call. */
    for (int i = 0; i < 200; i++) {
        sleep_ms(10);
        if (pthread_kill(*(pthread_t *)target, SIGUSR1) != 0) break;
    }
    return NULL;
}

TEST(same, rule_24_a_signal_is_eintr_if_nothing_was_taken) {
    for (int i = 0; i < 2; i++)
        child_succeeds(CHILD({
            struct sigaction action = {.sa_handler = do_nothing, .sa_flags = i == 0 ? 0 : SA_RESTART};
            SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
            io_context_t ctx = new_context(8);
            struct io_event events[4];
            struct timespec long_time = {100, 0};
            pthread_t self = pthread_self(), thread;
            start_silent(ctx);
            start_thread(&thread, signal_soon, &self);
            CHECK_EQ(io_getevents(ctx, 1, 4, events, NULL), -EINTR);
            CHECK_EQ(io_getevents(ctx, 1, 4, events, &long_time), -EINTR);
            CHECK_EQ(io_pgetevents(ctx, 1, 4, events, NULL, NULL), -EINTR);
            end_silent(ctx);
            _exit(0);
        }));
}

/* What had come is given, and not lost. */
TEST(same, rule_24_a_signal_gives_what_there_is) {
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing}, NULL) == 0);
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    pthread_t self = pthread_self(), thread;
    start_silent(ctx);
    start_reads(ctx, pattern_file("data", BLOCK), 2);
    int taken = 0;
    start_thread(&thread, signal_soon, &self);
    for (int result; taken < 2; taken += result > 0 ? result : 0) {
        result = io_getevents(ctx, 4, 4, events, NULL);
        CHECK(result == -EINTR || (result > 0 && result <= 2));
    }
    CHECK_EQ(taken, 2);
    CHECK_EQ(io_getevents(ctx, 1, 4, events, NULL), -EINTR);
    end_silent(ctx);
}

TEST(same, rule_25_more_nanoseconds_than_a_second_has_are_a_duration) {
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    start_silent(ctx);
    struct timespec time = {0, 1000000001};
    int64_t begin = now_ms();
    CHECK_GIVES(io_getevents(ctx, 1, 4, events, &time), 0);
    CHECK(now_ms() - begin >= 990); /* not at once: it was taken for a second */
    end_silent(ctx);
}

TEST(same, rule_26_nowhere_to_put_what_is_not_there) {
    io_context_t ctx = new_context(8);
    struct timespec now = {0, 0};
    CHECK_GIVES(io_getevents(ctx, 0, 4, NULL, NULL), 0);
    CHECK_GIVES(io_getevents(ctx, 0, 4, NULL, &now), 0);
    CHECK_GIVES(io_pgetevents(ctx, 0, 4, NULL, NULL, NULL), 0);
}

TEST(same, rule_26_nowhere_to_put_what_is_there_loses_nothing) {
    io_context_t ctx = new_context(8);
    start_reads(ctx, pattern_file("data", BLOCK), 1);
    CHECK_GIVES(io_getevents(ctx, 1, 1, NULL, NULL), -EFAULT);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, BLOCK);
}

static atomic_int callbacks;

static void count_callback(io_context_t ctx, struct iocb *cb, long res, long res2) {
    CHECK(ctx != NULL && cb != NULL);
    CHECK_EQ(res, BLOCK);
    CHECK_EQ(res2, 0);
    callbacks++;
}

TEST(same, rule_37_queues_run_their_callbacks) {
    io_context_t ctx = NULL;
    int fd = pattern_file("data", BLOCK);
    CHECK_GIVES(io_queue_init(16, &ctx), 0);
    CHECK(ctx != NULL);
    CHECK_GIVES(io_queue_run(ctx), 0);
    struct iocb cbs[10];
    for (int i = 0; i < 10; i++) {
        cbs[i] = read_of(fd, buffer, BLOCK, 0);
        io_set_callback(&cbs[i], count_callback);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (callbacks < 10) {
        CHECK_GIVES(io_queue_run(ctx), 0);
        CHECK(now_ms() < deadline);
    }
    CHECK_EQ(callbacks, 10);
    nothing_to_reap(ctx);
    CHECK_GIVES(io_queue_release(ctx), 0);
    CHECK_GIVES(io_queue_release(ctx), -EINVAL);
}

TEST(same, rule_37_queues_refuse_what_contexts_refuse) {
    io_context_t ctx = NULL;
    CHECK_GIVES(io_queue_init(0, &ctx), -EINVAL);
    CHECK_GIVES(io_queue_init(-1, &ctx), -EINVAL);
    CHECK_GIVES(io_queue_init(1 << 30, &ctx), -EINVAL);
    CHECK_GIVES(io_queue_init(8, &ctx), 0);
    CHECK_GIVES(io_queue_release(ctx), 0);
    CHECK_GIVES(io_queue_release(NULL), -EINVAL);
}

/* libaio's io_queue_init forgets what was there; a context that is in use is not refused. */
TEST(same, rule_37_a_queue_replaces_what_its_variable_held) {
    io_context_t ctx = (io_context_t)&ctx;
    CHECK_GIVES(io_queue_init(8, &ctx), 0);
    context_works(ctx, pattern_file("data", BLOCK));
}

/* The signal is let in while the call waits, and only then. */
TEST(same, rule_37_pgetevents_applies_its_mask) {
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing}, NULL) == 0);
    sigset_t blocked, none, now;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    SET_UP(pthread_sigmask(SIG_SETMASK, &blocked, NULL) == 0);
    io_context_t ctx = new_context(8);
    struct io_event events[4];
    start_silent(ctx);
    struct timespec time = {0, 20000000}, long_time = {100, 0};
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_GIVES(io_pgetevents(ctx, 1, 4, events, &time, NULL), 0);
    CHECK_GIVES(io_pgetevents(ctx, 1, 4, events, &time, &blocked), 0);
    CHECK_EQ(io_pgetevents(ctx, 1, 4, events, &long_time, &none), -EINTR);
    SET_UP(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    CHECK_EQ(sigpending(&now), 0);
    CHECK_EQ(sigismember(&now, SIGUSR1), 0);
    /* And the other way round: one that is let in otherwise waits for the end of the call. */
    SET_UP(pthread_sigmask(SIG_SETMASK, &none, NULL) == 0);
    pthread_t self = pthread_self(), thread;
    start_thread(&thread, signal_soon, &self);
    CHECK_EQ(io_pgetevents(ctx, 1, 4, events, &(struct timespec){0, 200000000}, &blocked), 0);
    end_silent(ctx);
}

enum { takers = 4, each = 4000 };
static struct {
    io_context_t ctx;
    atomic_int taken;
    atomic_uchar seen[each];
} shared;

static void *take(void *arg) {
    (void)arg;
    struct io_event events[7];
    while (shared.taken < each) {
        int result = io_getevents(shared.ctx, 1, 7, events, &(struct timespec){0, 10000000});
        CHECK(result >= 0 && result <= 7);
        for (int i = 0; i < result; i++) {
            uintptr_t number = (uintptr_t)events[i].data;
            CHECK(number < each);
            CHECK_EQ(atomic_fetch_add(&shared.seen[number], 1), 0);
            CHECK_EQ(events[i].res, number % 64);
        }
        shared.taken += result;
    }
    return NULL;
}

TEST(same, rule_40_threads_that_take_together_take_each_once) {
    int fd = pattern_file("data", BLOCK);
    static struct iocb cbs[each];
    pthread_t threads[takers];
    shared.ctx = new_context(64);
    for (int i = 0; i < takers; i++) start_thread(&threads[i], take, NULL);
    for (int i = 0; i < each;) {
        cbs[i] = read_of(fd, buffer, (size_t)i % 64, 0);
        cbs[i].data = (void *)(uintptr_t)i;
        int result = submit(shared.ctx, &cbs[i]);
        CHECK(result == 1 || result == -EAGAIN);
        if (result == 1) i++;
    }
    for (int i = 0; i < takers; i++) join_thread(threads[i]);
    CHECK_EQ(shared.taken, each);
    nothing_to_reap(shared.ctx);
}

static void *wait_for_one(void *arg) {
    struct io_event event;
    (void)arg;
    CHECK_EQ(io_getevents(shared.ctx, 1, 1, &event, NULL), 1);
    return NULL;
}

/* One who waits for many does not keep from another what is enough for that one. */
TEST(same, rule_40_all_who_wait_go_on_when_there_is_enough) {
    enum { waiters = 3 };
    io_context_t ctx = shared.ctx = new_context(8);
    struct iocb cbs[waiters];
    int ends[2];
    silent_pipe(ends);
    pthread_t threads[waiters];
    for (int i = 0; i < waiters; i++) {
        cbs[i] = poll_of(ends[0], POLLIN);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    for (int i = 0; i < waiters; i++) start_thread(&threads[i], wait_for_one, NULL);
    sleep_ms(30);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    for (int i = 0; i < waiters; i++) join_thread(threads[i]);
    nothing_to_reap(ctx);
}
