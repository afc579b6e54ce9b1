/* Signals: none that the program did not ask for, and calls that work in handlers and beside them. */
#include "libaio_check.h"

#include <sys/epoll.h>

TEST(same, a_broken_pipe_is_epipe) {
    SET_UP(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    io_context_t ctx = new_context(8);
    int ends[2], pair[2];
    silent_pipe(ends);
    close(ends[0]);
    struct iocb cb = write_of(ends[1], "x", 1, 0);
    CHECK_EQ(result_from(ctx, &cb), -EPIPE);
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    close(pair[0]);
    cb = write_of(pair[1], "x", 1, 0);
    CHECK_EQ(result_from(ctx, &cb), -EPIPE);
}

/* The handler does what the interrupted code does, on a context of its own and on the same one. */
static io_context_t handlers_own, both;
static int fd, direct;
static volatile sig_atomic_t handled, stop;

static void submit_in_handler(int signal) {
    (void)signal;
    int before = errno;
    static char memory[BLOCK] __attribute__((aligned(BLOCK)));
    struct iocb cb = read_of(handled % 2 ? fd : direct, memory, BLOCK, handled % 64 * BLOCK);
    struct io_event event;
    CHECK_EQ(submit(handlers_own, &cb), 1);
    int result;
    while ((result = io_getevents(handlers_own, 1, 1, &event, NULL)) == -EINTR) {}
    CHECK_EQ(result, 1);
    CHECK(event.obj == &cb && event.res == BLOCK);
    check_pattern(memory, BLOCK, handled % 64 * BLOCK);
    static char byte; /* `memory` belongs to the next handler's read while this one may still go on */
    cb = read_of(fd, &byte, 1, 0);
    cb.data = &both; /* taken by the interrupted code */
    CHECK_EQ(submit(both, &cb), 1);
    handled++;
    errno = before;
}

static void *signal_often(void *target) {
    while (!stop) {
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        sleep_ms(2); /* rarely enough for the interrupted code to get on */
    }
    return NULL;
}

static int by_handlers, mine;

static void take_one(void) {
    struct io_event event;
    int result = io_getevents(both, 0, 1, &event, NULL);
    CHECK(result == 0 || result == 1 || result == -EINTR);
    if (result != 1) return;
    *(event.data == &both ? &by_handlers : &mine) += 1;
    CHECK_EQ(event.res, event.data == &both ? 1 : BLOCK);
}

TEST(same, all_calls_work_in_a_handler) {
    fd = pattern_file("data", 64 * BLOCK);
    direct = open_direct("data");
    handlers_own = new_context(8);
    both = new_context(4096);
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = submit_in_handler}, NULL) == 0);
    pthread_t self = pthread_self(), thread;
    start_thread(&thread, signal_often, &self);
    char *memory = aligned(BLOCK);
    int64_t end = now_ms() + 2000;
    int submitted = 0;
    while (now_ms() < end) {
        struct iocb cb = read_of(submitted % 2 ? fd : direct, memory, BLOCK, submitted % 64 * BLOCK);
        cb.data = &cb;
        CHECK_EQ(submit(both, &cb), 1);
        for (submitted++; mine < submitted;) take_one();
        check_pattern(memory, BLOCK, (submitted - 1) % 64 * BLOCK);
    }
    stop = 1;
    join_thread(thread);
    EVENTUALLY((take_one(), by_handlers == handled));
    CHECK(handled > 0);
}

static void *keep_completing(void *arg) {
    (void)arg;
    char *memory = aligned(BLOCK);
    io_context_t ctx = new_context(8);
    while (!stop) {
        struct iocb cb = read_of(direct, memory, BLOCK, 0);
        CHECK_EQ(result_from(ctx, &cb), BLOCK);
    }
    return NULL;
}

/* Completions interrupt no call of the program: neither of the thread that submitted nor of another. */
TEST(same, no_call_is_interrupted_by_completions) {
    fd = pattern_file("data", 64 * BLOCK);
    direct = open_direct("data");
    uncache(fd);
    io_context_t ctx = new_context(64);
    pthread_t thread;
    start_thread(&thread, keep_completing, NULL);
    int set = epoll_create1(EPOLL_CLOEXEC), ends[2];
    silent_pipe(ends);
    struct epoll_event ready;
    char *memory = aligned(64 * BLOCK);
    static struct iocb cbs[32];
    for (TURNS(round, 100)) {
        for (int i = 0; i < 32; i++) {
            cbs[i] = read_of(i % 2 ? fd : direct, memory + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &cbs[i]), 1);
        }
        CHECK_EQ(epoll_wait(set, &ready, 1, 2), 0);
        CHECK_EQ(poll(&(struct pollfd){ends[0], POLLIN, 0}, 1, 2), 0);
        sigset_t signals;
        sigemptyset(&signals);
        sigaddset(&signals, SIGUSR2);
        CHECK_ERRNO(sigtimedwait(&signals, NULL, &(struct timespec){0, 2000000}), EAGAIN);
        struct io_event events[32];
        reap(ctx, 32, events);
    }
    stop = 1;
    join_thread(thread);
}

/* A handler comes at any point of a submission that has to wake a thread, and waits for a request of its own. */
static bool is_cached;

static void read_one(io_context_t ctx, int number) {
    char memory[BLOCK]; /* less would be copied by the call itself */
    long long offset = number % 64 * BLOCK;
    if (!is_cached) SET_UP(posix_fadvise(fd, offset, BLOCK, POSIX_FADV_DONTNEED) == 0);
    struct iocb cb = read_of(fd, memory, sizeof memory, offset);
    struct io_event event;
    CHECK_EQ(submit(ctx, &cb), 1);
    int result; /* once: to ask again might mend what went wrong */
    while ((result = io_getevents(ctx, 1, 1, &event, NULL)) == -EINTR) {}
    CHECK_EQ(result, 1);
    CHECK(event.obj == &cb && event.res == sizeof memory);
    check_pattern(memory, sizeof memory, offset);
}

static void read_in_handler(int signal) {
    (void)signal;
    int before = errno;
    read_one(handlers_own, handled);
    handled++;
    errno = before;
}

static void submit_and_be_interrupted(void) {
    fd = pattern_file("data", 64 * BLOCK);
    SET_UP(fsync(fd) == 0);
    handlers_own = new_context(8);
    both = new_context(8);
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = read_in_handler}, NULL) == 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    SET_UP(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    unsigned random = 1;
    int submitted = 0;
    for (int64_t end = now_ms() + 1500; now_ms() < end; submitted++) {
        /* Long enough for the engine's threads to fall asleep. */
        nanosleep(&(struct timespec){0, 60000}, NULL);
        random = random * 1664525 + 1013904223;
        /* On this processor, and so to the point: a signal from another one comes some microseconds late. */
        SET_UP(timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1000 + (random >> 18)}, NULL) == 0);
        read_one(both, submitted);
    }
    SET_UP(timer_delete(timer) == 0);
    CHECK(handled > 0);
}

TEST(same, a_handler_that_interrupts_a_submission_waits_for_a_copy) {
    SET_UP(setenv("ONEWAIT_COPIER", "always", 1) == 0);
    is_cached = true;
    submit_and_be_interrupted();
}

TEST(same, a_handler_that_interrupts_a_submission_waits_for_the_disk) { submit_and_be_interrupted(); }

static void *sleep_on(void *arg) {
    pause();
    return arg;
}

/* Then requests go by a thread of the engine's, also with io_uring. */
TEST(same, a_handler_that_interrupts_a_submission_waits_for_the_disk_in_a_process_of_threads) {
    pthread_t thread;
    start_thread(&thread, sleep_on, NULL);
    submit_and_be_interrupted();
}
