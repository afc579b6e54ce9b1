/* Rules 39, 40 and 43: signals and thread cancellation in and around aio_suspend. */
#include "check.h"

#include <sys/time.h>

static char buffer[4096];
static volatile sig_atomic_t signals;

static void count(int number) {
    (void)number;
    signals++;
}

static void handle(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    SET_UP(sigaction(number, &action, NULL) == 0);
}

/* From now on, SIGALRM this often. An interval, so that none is lost before the test has begun to wait. */
static void alarm_every_us(suseconds_t us) {
    struct itimerval timer = {.it_interval.tv_usec = us, .it_value.tv_usec = us};
    SET_UP(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static void suspend_is_interrupted(int flags, const struct timespec *timeout) {
    start_blocked();
    const struct aiocb *list[] = {NULL, &blocked};
    handle(SIGALRM, count, flags);
    alarm_every_us(20000);
    for (int i = 0; i < 5; i++) CHECK_ERRNO(aio_suspend(list, 2, timeout), EINTR);
    alarm_every_us(0);
    CHECK(signals >= 5);
    CHECK_EQ(aio_error(&blocked), EINPROGRESS);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    while (aio_suspend(list, 2, timeout) != 0) CHECK_EQ(errno, EINTR);
    CHECK_EQ(aio_return(&blocked), 1);
}

static const struct timespec patience = {PATIENCE_MS / 1000, 0};

TEST(same, rule_39_a_signal_interrupts_aio_suspend) { suspend_is_interrupted(0, NULL); }

TEST(same, rule_39_a_signal_interrupts_a_timed_aio_suspend) { suspend_is_interrupted(0, &patience); }

TEST(same, rule_39_a_signal_interrupts_a_timed_aio_suspend_even_with_sa_restart) {
    suspend_is_interrupted(SA_RESTART, &patience);
}

static void *write_after_some_signals(void *argument) {
    EVENTUALLY(signals > 10);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    return argument;
}

/* The kernel restarts a wait that has no end of its own, and programs that set SA_RESTART count on it. */
TEST(same, rule_39_an_untimed_aio_suspend_goes_on_with_sa_restart) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    handle(SIGALRM, count, SA_RESTART);
    pthread_t writer;
    SET_UP(pthread_create(&writer, NULL, write_after_some_signals, NULL) == 0);
    alarm_every_us(5000);
    CHECK_EQ(aio_suspend(list, 1, NULL), 0);
    alarm_every_us(0);
    CHECK_EQ(aio_error(&blocked), 0);
    CHECK_EQ(pthread_join(writer, NULL), 0);
}

TEST(same, rule_39_an_ignored_signal_interrupts_nothing) {
    start_blocked();
    const struct aiocb *list[] = {&blocked};
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    alarm_every_us(5000);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, 200000000}), EAGAIN);
}

static void *suspend_with_the_signal_blocked(void *cb) {
    const struct aiocb *list[] = {cb};
    CHECK_EQ(aio_suspend(list, 1, NULL), 0);
    return NULL;
}

TEST(same, rule_39_a_signal_for_another_thread_does_not_interrupt) {
    start_blocked();
    handle(SIGUSR1, count, 0);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    SET_UP(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0);
    pthread_t thread;
    SET_UP(pthread_create(&thread, NULL, suspend_with_the_signal_blocked, &blocked) == 0);
    SET_UP(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR1), 0);
        sleep_ms(1);
    }
    CHECK(signals > 0);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static struct aiocb finished, unfinished;

/* All that POSIX calls async-signal-safe here. */
static void use_aio_in_the_handler(int number) {
    (void)number;
    int before = errno;
    const struct aiocb *done[] = {&unfinished, NULL, &finished}, *pending[] = {&unfinished};
    CHECK_EQ(aio_error(&finished), 0);
    CHECK_EQ(aio_return(&finished), 100);
    CHECK_EQ(aio_error(&unfinished), EINPROGRESS);
    CHECK_EQ(aio_suspend(done, 3, NULL), 0);
    CHECK_ERRNO(aio_suspend(pending, 1, &(struct timespec){0, 0}), EAGAIN);
    errno = before;
    signals++;
}

/* The handler interrupts every instruction of every call sooner or later; a lock that the call holds and the handler
 * wants ends the test. That is what happens to glibc: its aio_error takes the lock that aio_read holds. */
static void interrupt_everything(void (*step)(int fd, int i)) {
    silent_pipe(blocked_ends);
    int fd = pattern_file("data", sizeof buffer);
    finished = REQUEST(fd, buffer, 100, 0);
    CHECK_EQ(aio_read(&finished), 0);
    CHECK_EQ(wait_for(&finished), 0);
    unfinished = REQUEST(blocked_ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&unfinished), 0);
    handle(SIGALRM, use_aio_in_the_handler, SA_RESTART);
    alarm_every_us(100);
    int64_t end = now_ms() + 1500;
    for (int i = 0; now_ms() < end; i++) step(fd, i);
    alarm_every_us(0);
    CHECK(signals > 200);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(finish(&unfinished), 1);
}

static void read_once(int fd, int i) {
    static char own[512];
    struct aiocb cb = REQUEST(fd, own, sizeof own, i % 1000);
    const struct aiocb *list[] = {&cb};
    CHECK_EQ(i % 2 == 0 ? aio_read(&cb) : aio_write(&cb), 0);
    while (aio_error(&cb) == EINPROGRESS)
        if (i % 4 < 2) CHECK(aio_suspend(list, 1, NULL) == 0 || errno == EINTR);
    CHECK_EQ(aio_return(&cb), sizeof own);
}

TEST(better, rule_40_a_handler_may_interrupt_reads_and_writes) { interrupt_everything(read_once); }

static void list_and_cancel_once(int fd, int i) {
    static char own[2][16];
    static int pipe_ends[2];
    if (pipe_ends[1] == 0) silent_pipe(pipe_ends);
    struct aiocb first = REQUEST(fd, own[0], 16, i % 1000), second = REQUEST(pipe_ends[0], own[1], 16, 0);
    struct aiocb *list[] = {&first, &second};
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 2, NULL), 0);
    int cancelled = aio_cancel(pipe_ends[0], &second);
    if (cancelled != AIO_CANCELED) CHECK_EQ(write(pipe_ends[1], "x", 1), 1);
    CHECK_EQ(wait_for(&second), cancelled == AIO_CANCELED ? ECANCELED : 0);
    CHECK_EQ(finish(&first), 16);
    CHECK_EQ(aio_fsync(O_DSYNC, &first), 0);
    CHECK_EQ(finish(&first), 0);
}

TEST(ours, rule_40_a_handler_may_interrupt_lists_cancel_and_fsync) { interrupt_everything(list_and_cancel_once); }

/* A handler that waits for a request which the interrupted thread has submitted: somebody else must complete it. */
static void wait_in_the_handler(int number) {
    (void)number;
    const struct aiocb *list[] = {&unfinished};
    while (aio_suspend(list, 1, NULL) != 0) CHECK_EQ(errno, EINTR);
    CHECK_EQ(aio_error(&unfinished), 0);
    signals++;
}

TEST(same, rule_40_a_handler_may_wait_for_a_request) {
    int fd = pattern_file("data", sizeof buffer);
    handle(SIGUSR1, wait_in_the_handler, 0);
    for (int i = 0; i < 300; i++) {
        unfinished = REQUEST(fd, buffer, sizeof buffer, 0);
        if (i % 3 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(aio_read(&unfinished), 0);
        CHECK_EQ(raise(SIGUSR1), 0);
    }
    CHECK_EQ(signals, 300);
}

static void *suspend_for_ever(void *argument) {
    (void)argument;
    /* As large a part of the stack as possible is gone when the thread is: notes left in it would be found. */
    const struct aiocb *list[64];
    for (int i = 0; i < 64; i++) list[i] = &blocked;
    aio_suspend(list, 64, NULL);
    FAIL("aio_suspend returned");
}

TEST(same, rule_43_aio_suspend_is_a_cancellation_point) {
    silent_pipe(blocked_ends);
    for (int i = 0; i < 100; i++) {
        blocked = REQUEST(blocked_ends[0], buffer, 1, 0);
        CHECK_EQ(aio_read(&blocked), 0);
        pthread_t threads[3];
        for (int j = 0; j < 3; j++) SET_UP(pthread_create(&threads[j], NULL, suspend_for_ever, NULL) == 0);
        /* Some before they wait, most while they do. */
        if (i % 4 != 0) sleep_ms(2);
        for (int j = 0; j < 3; j++) {
            void *result;
            CHECK_EQ(pthread_cancel(threads[j]), 0);
            CHECK_EQ(pthread_join(threads[j], &result), 0);
            CHECK(result == PTHREAD_CANCELED);
        }
        CHECK_EQ(aio_error(&blocked), EINPROGRESS);
        CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
        CHECK_EQ(finish(&blocked), 1);
    }
}

static volatile bool cleaned;

static void clean(void *argument) {
    (void)argument;
    cleaned = true;
}

static void *suspend_with_cleanup(void *argument) {
    pthread_cleanup_push(clean, NULL);
    suspend_for_ever(argument);
    pthread_cleanup_pop(0);
    return NULL;
}

TEST(same, rule_43_cleanup_handlers_run_and_aio_goes_on) {
    start_blocked();
    pthread_t thread;
    SET_UP(pthread_create(&thread, NULL, suspend_with_cleanup, NULL) == 0);
    sleep_ms(20);
    CHECK_EQ(pthread_cancel(thread), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(cleaned);
    int fd = pattern_file("data", sizeof buffer);
    for (int i = 0; i < 100; i++) {
        struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), sizeof buffer);
    }
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(finish(&blocked), 1);
}

static void *suspend_uncancellable(void *argument) {
    (void)argument;
    CHECK_EQ(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL), 0);
    const struct aiocb *list[] = {&blocked};
    CHECK_EQ(aio_suspend(list, 1, NULL), 0);
    return (void *)"returned";
}

TEST(same, rule_43_a_thread_that_disabled_cancellation_is_left_alone) {
    start_blocked();
    pthread_t thread;
    void *result;
    SET_UP(pthread_create(&thread, NULL, suspend_uncancellable, NULL) == 0);
    sleep_ms(50);
    CHECK_EQ(pthread_cancel(thread), 0);
    sleep_ms(20);
    CHECK_EQ(write(blocked_ends[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK(result != PTHREAD_CANCELED);
}
