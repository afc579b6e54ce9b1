/* Signals, cancelling and jumps while a thread waits. */
#include "epoll_check.h"

#include <setjmp.h>
#include <stdatomic.h>

static volatile sig_atomic_t handled;

static void count(int signal) {
    (void)signal;
    handled = handled + 1;
}

static void on(int signal, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    SET_UP(sigaction(signal, &action, NULL) == 0);
}

static sigset_t mask_of(int signal) {
    sigset_t set;
    sigemptyset(&set);
    if (signal != 0) sigaddset(&set, signal);
    return set;
}

/* The signal comes after so many microseconds, and again each 20 ms. */
static timer_t alarm_in(int signal, long microseconds) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
    SET_UP(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    struct itimerspec when = {{0, 20000000}, {0, microseconds * 1000}};
    SET_UP(timer_settime(timer, 0, &when, NULL) == 0);
    return timer;
}

static void check_mask(int signal, bool is_blocked) {
    sigset_t now;
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int i = 1; i < 32; i++) CHECK_EQ(sigismember(&now, i), i == signal && is_blocked);
}

TEST(same, a_handler_ends_a_wait_also_with_restart) {
    int epoll = new_epoll();
    struct epoll_event event;
    on(SIGUSR1, count, SA_RESTART);
    for (int timeout = -1; timeout < 6000; timeout += 5000) {
        timer_t timer = alarm_in(SIGUSR1, 10000);
        CHECK_ERRNO(epoll_wait(epoll, &event, 1, timeout), EINTR);
        timer_delete(timer);
        CHECK(handled > 0);
        check_mask(0, false);
    }
}

/* The alarm comes while a served wait still looks. Were its handler to run then, unnoticed, the sleep would go on until
 * the next one comes. */
TEST(same, no_signal_is_missed_on_the_way_to_sleep) {
    struct epoll_event event;
    on(SIGUSR1, count, 0);
    int missed = 0;
    for (int i = 0; i < 40; i++) {
        int epoll = new_epoll();
        handled = 0;
        timer_t timer = alarm_in(SIGUSR1, 500);
        CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EINTR);
        missed += handled > 1;
        timer_delete(timer);
        close(epoll);
    }
    /* A machine that is busy may lose some: the alarm came before the call. */
    CHECK(missed < 20);
}

TEST(same, a_storm_of_signals_loses_no_event) {
    int epoll = new_epoll(), fd = new_event(0);
    struct epoll_event event;
    on(SIGUSR1, count, 0);
    ADD(epoll, fd, EPOLLIN | EPOLLET, 1);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 2000; i++) {
            kill(getppid(), SIGUSR1);
            if (i % 20 == 0) signal_event(fd);
            if (i % 50 == 0) sleep_ms(1);
        }
        signal_event(fd);
        _exit(0);
    }
    int64_t deadline = now_ms() + PATIENCE_MS;
    int status;
    while (waitpid(child, &status, WNOHANG) == 0) {
        int result = epoll_wait(epoll, &event, 1, 50);
        CHECK(result >= 0 || errno == EINTR);
        CHECK(now_ms() < deadline);
    }
    CHECK_EQ(status, 0);
    uint64_t sum;
    CHECK_EQ(read(fd, &sum, sizeof sum), (long)sizeof sum);
    CHECK_EQ(sum, 101);
    check_mask(0, false);
}

TEST(same, a_pending_signal_ends_a_wait_that_lets_it_in) {
    int epoll = new_epoll();
    struct epoll_event event;
    sigset_t blocked = mask_of(SIGUSR1), none = mask_of(0);
    on(SIGUSR1, count, 0);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    for (int i = 1; i <= 20; i++) {
        raise(SIGUSR1);
        CHECK_EQ(epoll_wait(epoll, &event, 1, 3), 0);
        CHECK_EQ(handled, i - 1);
        CHECK_ERRNO(epoll_pwait(epoll, &event, 1, i % 2 ? -1 : 5000, &none), EINTR);
        CHECK_EQ(handled, i);
        check_mask(SIGUSR1, true);
    }
}

#if __GLIBC_PREREQ(2, 35)
TEST(same, a_pending_signal_ends_pwait2) {
    int epoll = new_epoll();
    struct epoll_event event;
    sigset_t blocked = mask_of(SIGUSR1), none = mask_of(0);
    struct timespec time = {5, 0};
    on(SIGUSR1, count, 0);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    for (int i = 1; i <= 20; i++) {
        raise(SIGUSR1);
        CHECK_ERRNO(epoll_pwait2(epoll, &event, 1, i % 2 ? NULL : &time, &none), EINTR);
        CHECK_EQ(handled, i);
        check_mask(SIGUSR1, true);
    }
}
#endif

TEST(same, a_mask_holds_back_what_comes_meanwhile) {
    int epoll = new_epoll();
    struct epoll_event event;
    sigset_t blocked = mask_of(SIGUSR1);
    on(SIGUSR1, count, 0);
    timer_t timer = alarm_in(SIGUSR1, 500);
    CHECK_EQ(epoll_pwait(epoll, &event, 1, 60, &blocked), 0);
    timer_delete(timer);
    CHECK(handled > 0);
    check_mask(0, false);
}

TEST(same, events_come_before_signals) {
    int epoll = new_epoll(), fd = new_event(1);
    struct epoll_event event;
    sigset_t blocked = mask_of(SIGUSR1), none = mask_of(0);
    on(SIGUSR1, count, 0);
    ADD(epoll, fd, EPOLLIN, 1);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    raise(SIGUSR1);
    CHECK_EQ(epoll_pwait(epoll, &event, 1, -1, &none), 1);
    CHECK_EQ(handled, 0);
    DEL(epoll, fd);
    /* A wait that does not sleep lets no handler in. */
    CHECK_EQ(epoll_pwait(epoll, &event, 1, 0, &none), 0);
    CHECK_EQ(handled, 0);
    check_mask(SIGUSR1, true);
}

static int handlers_epoll;

static void wait_in_handler(int signal) {
    (void)signal;
    struct epoll_event event;
    int kept = errno;
    CHECK_EQ(epoll_wait(handlers_epoll, &event, 1, 2), 0);
    handled = handled + 1;
    errno = kept;
}

TEST(same, a_handler_may_wait_itself) {
    handlers_epoll = new_epoll();
    struct epoll_event event;
    on(SIGUSR1, wait_in_handler, 0);
    for (int i = 0; i < 10; i++) {
        timer_t timer = alarm_in(SIGUSR1, 300);
        CHECK_ERRNO(epoll_wait(handlers_epoll, &event, 1, -1), EINTR);
        timer_delete(timer);
    }
    CHECK(handled >= 10);
}

static void spoil_errno(int signal) {
    (void)signal;
    errno = 4711;
}

TEST(same, a_careless_handler_does_not_spoil_errno) {
    int epoll = new_epoll();
    struct epoll_event event;
    on(SIGUSR1, spoil_errno, 0);
    for (int i = 0; i < 10; i++) {
        timer_t timer = alarm_in(SIGUSR1, 200 + 100 * i);
        CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EINTR);
        timer_delete(timer);
    }
}

/* What the mask of the wait holds back is let in when the wait is over: that, too, is before errno is set. */
TEST(same, nor_does_one_that_was_held_back) {
    int epoll = new_epoll();
    struct epoll_event event;
    sigset_t blocked = mask_of(SIGUSR1);
    on(SIGUSR1, spoil_errno, 0);
    on(SIGUSR2, count, 0);
    for (int i = 0; i < 5; i++) {
        timer_t held_back = alarm_in(SIGUSR1, 500), timer = alarm_in(SIGUSR2, 5000);
        CHECK_ERRNO(epoll_pwait(epoll, &event, 1, -1, &blocked), EINTR);
        timer_delete(timer);
        timer_delete(held_back);
    }
}

static sigjmp_buf back;
static void jump(int signal) { siglongjmp(back, signal); }

TEST(same, a_handler_may_jump_out_of_a_wait) {
    volatile int epoll = new_epoll(), fd = new_event(0);
    struct epoll_event event;
    ADD(epoll, fd, EPOLLIN, 1);
    on(SIGUSR1, jump, 0);
    for (volatile int i = 0; i < 10; i++) {
        if (sigsetjmp(back, 1) == 0) {
            alarm_in(SIGUSR1, 3000);
            epoll_wait(epoll, &event, 1, -1);
            FAIL("the wait returned");
        }
        check_mask(0, false);
    }
    /* Without the mask: the signal stays blocked, and no other one. (A new epoll, so that a served wait looks again.) */
    close(epoll);
    epoll = new_epoll();
    ADD(epoll, fd, EPOLLIN, 1);
    if (sigsetjmp(back, 0) == 0) {
        epoll_wait(epoll, &event, 1, -1);
        FAIL("the wait returned");
    }
    check_mask(SIGUSR1, true);
    signal_event(fd);
    EXPECT(epoll, -1, EPOLLIN, 1);
}

static atomic_int cleaned;

static void clean(void *unused) {
    (void)unused;
    check_mask(SIGUSR2, true);
    cleaned = cleaned + 1;
}

static void *wait_until_cancelled(void *epoll) {
    sigset_t blocked = mask_of(SIGUSR2);
    struct epoll_event event;
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    pthread_cleanup_push(clean, NULL);
    for (;;) epoll_wait((int)(intptr_t)epoll, &event, 1, -1);
    pthread_cleanup_pop(0);
    return NULL;
}

TEST(same, a_waiting_thread_can_be_cancelled) {
    for (int i = 0; i < 60; i++) {
        int epoll = new_epoll();
        void *result;
        pthread_t thread = new_thread(wait_until_cancelled, (void *)(intptr_t)epoll);
        struct timespec pause = {0, i * 50000};
        nanosleep(&pause, NULL);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        close(epoll);
    }
    CHECK(cleaned > 30);
}
