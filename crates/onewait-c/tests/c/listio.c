/* Rules 60 to 69: lio_listio. */
#include "check.h"

#include <limits.h>
#include <sys/time.h>

static char buffer[1 << 16];

static struct aiocb entry(int opcode, int fd, void *data, size_t bytes, off_t offset) {
    struct aiocb cb = REQUEST(fd, data, bytes, offset);
    cb.aio_lio_opcode = opcode;
    return cb;
}

/* Counts the notifications of lists and of requests, told apart by the value they carry. */
static volatile int events[16];

static void count_event(union sigval value) { __atomic_fetch_add(&events[value.sival_int], 1, __ATOMIC_SEQ_CST); }

static struct sigevent thread_event(int index) {
    return (struct sigevent){
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = count_event, .sigev_value.sival_int = index};
}

TEST(same, rule_60_bad_mode_is_einval) {
    int fd = pattern_file("data", 10), modes[] = {-1, 2, 77, INT_MAX};
    struct aiocb cb = entry(LIO_WRITE, fd, "wrong", 5, 0);
    struct aiocb *list[] = {&cb};
    for (int i = 0; i < 4; i++) CHECK_ERRNO(lio_listio(modes[i], list, 1, NULL), EINVAL);
    sleep_ms(20);
    CHECK_EQ(pread(fd, buffer, 10, 0), 10);
    check_pattern(buffer, 10, 0);
}

TEST(better, rule_61_negative_length_is_einval) {
    struct aiocb *list[] = {NULL};
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, -1, NULL), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, -1, NULL), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, INT_MIN, NULL), EINVAL);
}

TEST(same, rule_62_an_empty_list_returns_0_and_notifies_at_once) {
    struct aiocb *list[] = {NULL};
    struct aiocb *const *volatile none = NULL;
    struct sigevent event = thread_event(1);
    CHECK_EQ(lio_listio(LIO_WAIT, list, 0, NULL), 0);
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 0, NULL), 0);
    CHECK_EQ(lio_listio(LIO_NOWAIT, none, 0, NULL), 0);
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 0, &event), 0);
    EVENTUALLY(events[1] == 1);
    /* Under LIO_WAIT the event is nobody's. */
    CHECK_EQ(lio_listio(LIO_WAIT, list, 0, &event), 0);
    sleep_ms(20);
    CHECK_EQ(events[1], 1);
}

TEST(same, rule_63_null_and_nop_are_skipped) {
    int fd = pattern_file("data", 4096);
    struct aiocb first = entry(LIO_READ, fd, buffer, 10, 0), nop = entry(LIO_NOP, -1, (void *)8, 10, -1);
    struct aiocb last = entry(LIO_READ, fd, buffer + 10, 10, 10);
    struct aiocb *list[] = {NULL, &first, &nop, NULL, &last, NULL};
    CHECK_EQ(lio_listio(LIO_WAIT, list, 6, NULL), 0);
    CHECK_EQ(aio_return(&first), 10);
    CHECK_EQ(aio_return(&last), 10);
    CHECK_EQ(aio_error(&nop), 0);
    check_pattern(buffer, 20, 0);
    /* Nothing else: like an empty list. */
    struct aiocb *skipped[] = {NULL, &nop};
    struct sigevent event = thread_event(1);
    CHECK_EQ(lio_listio(LIO_WAIT, skipped, 2, NULL), 0);
    CHECK_EQ(lio_listio(LIO_NOWAIT, skipped, 2, &event), 0);
    EVENTUALLY(events[1] == 1);
}

TEST(same, rule_64_bad_opcode_fails_that_request) {
    int fd = pattern_file("data", 4096);
    struct aiocb good = entry(LIO_READ, fd, buffer, 10, 0), bad = entry(77, fd, buffer, 10, 0);
    struct aiocb *list[] = {&bad, &good};
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 2, NULL), EIO);
    CHECK_EQ(aio_error(&bad), EINVAL);
    CHECK_EQ(aio_return(&bad), -1);
    CHECK_EQ(aio_error(&good), 0);
    CHECK_EQ(aio_return(&good), 10);
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 2, NULL), 0);
    CHECK_EQ(wait_for(&bad), EINVAL);
    CHECK_EQ(finish(&good), 10);
}

TEST(same, rule_65_any_failure_under_wait_is_eio_and_the_rest_complete) {
    int fd = pattern_file("data", 4096);
    struct aiocb cbs[5] = {
        entry(LIO_READ, fd, buffer, 10, 0),
        entry(LIO_READ, -1, buffer, 10, 0),
        entry(LIO_READ, fd, buffer + 10, 10, 10),
        entry(LIO_WRITE, fd, (void *)8, 10, 0),
        entry(LIO_WRITE, fd, buffer, 10, 4096),
    };
    struct aiocb *list[] = {&cbs[0], &cbs[1], &cbs[2], &cbs[3], &cbs[4]};
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 5, NULL), EIO);
    int expected[] = {0, EBADF, 0, EFAULT, 0};
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(aio_error(&cbs[i]), expected[i]);
        CHECK_EQ(aio_return(&cbs[i]), expected[i] == 0 ? 10 : -1);
    }
    check_pattern(buffer, 20, 0);
}

/* EIO is for lists of which something was begun. */
TEST(same, rule_65_a_list_of_which_nothing_was_accepted_fails_with_the_reason) {
    int fd = pattern_file("data", 4096);
    struct aiocb refused[2] = {entry(LIO_READ, fd, buffer, 10, 0), entry(LIO_WRITE, fd, buffer, 10, 0)};
    struct aiocb good = entry(LIO_READ, fd, buffer, 10, 0), *list[] = {&refused[0], NULL, &refused[1], &good};
    refused[0].aio_reqprio = refused[1].aio_reqprio = -1;
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 3, NULL), EINVAL);
    CHECK_EQ(aio_error(&refused[0]), EINVAL);
    CHECK_EQ(aio_error(&refused[1]), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 4, NULL), EIO);
    CHECK_EQ(finish(&good), 10);
}

TEST(same, rule_65_wait_returns_when_all_are_done) {
    enum { count = 64 };
    static struct aiocb cbs[count];
    static struct aiocb *list[count];
    int fd = pattern_file("data", sizeof buffer);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < count; i++) {
            cbs[i] = entry(LIO_READ, fd, buffer + i * 1024, 1024, i * 1024);
            list[i] = &cbs[i];
        }
        if (round % 2 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        memset(buffer, 0, sizeof buffer);
        CHECK_EQ(lio_listio(LIO_WAIT, list, count, NULL), 0);
        for (int i = 0; i < count; i++) {
            CHECK_EQ(aio_error(&cbs[i]), 0);
            CHECK_EQ(aio_return(&cbs[i]), 1024);
        }
        check_pattern(buffer, sizeof buffer, 0);
    }
}

static void nothing(int number) { (void)number; }

/* What the call kept on its stack is overwritten afterwards; a completion that still looks there finds rubbish. */
__attribute__((noinline)) static void spoil_the_stack(void) {
    volatile char rubbish[8192];
    for (size_t i = 0; i < sizeof rubbish; i++) rubbish[i] = (char)0xa5;
}

static void interrupted_list(bool wait_for_the_end) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb first = entry(LIO_READ, ends[0], buffer, 1, 0), second = entry(LIO_READ, ends[0], buffer + 1, 1, 0);
    struct aiocb *list[] = {&first, &second};
    struct sigaction action = {.sa_handler = nothing};
    SET_UP(sigaction(SIGALRM, &action, NULL) == 0);
    struct itimerval timer = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000}, off = {0};
    SET_UP(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 2, NULL), EINTR);
    SET_UP(setitimer(ITIMER_REAL, &off, NULL) == 0);
    CHECK_EQ(aio_error(&first), EINPROGRESS);
    CHECK_EQ(aio_error(&second), EINPROGRESS);
    if (!wait_for_the_end) return;
    spoil_the_stack();
    CHECK_EQ(write(ends[1], "ab", 2), 2);
    CHECK_EQ(finish(&first), 1);
    CHECK_EQ(finish(&second), 1);
    CHECK_EQ(memcmp(buffer, "ab", 2), 0);
    int fd = pattern_file("data", 4096);
    struct aiocb cb = entry(LIO_READ, fd, buffer, 4096, 0);
    list[0] = &cb;
    CHECK_EQ(lio_listio(LIO_WAIT, list, 1, NULL), 0);
    CHECK_EQ(aio_return(&cb), 4096);
}

TEST(same, rule_66_a_signal_interrupts_wait) { interrupted_list(false); }

TEST(better, rule_66_after_a_signal_the_requests_go_on) { interrupted_list(true); }

TEST(same, rule_67_nowait_says_that_one_was_not_queued_and_the_others_run) {
    int fd = pattern_file("data", 4096);
    struct aiocb first = entry(LIO_READ, fd, buffer, 10, 0), bad = entry(LIO_READ, fd, buffer, 10, 0);
    struct aiocb last = entry(LIO_READ, fd, buffer + 10, 10, 10);
    bad.aio_reqprio = 99;
    struct aiocb *list[] = {&first, &bad, &last};
    struct sigevent event = thread_event(1);
    CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, 3, &event), EINVAL);
    CHECK_EQ(aio_error(&bad), EINVAL);
    CHECK_EQ(finish(&first), 10);
    CHECK_EQ(finish(&last), 10);
    check_pattern(buffer, 20, 0);
    EVENTUALLY(events[1] == 1);
}

TEST(same, rule_67_wait_with_one_that_was_not_queued_fails_and_the_others_run) {
    int fd = pattern_file("data", 4096);
    struct aiocb first = entry(LIO_READ, fd, buffer, 10, 0), bad = entry(LIO_READ, fd, buffer, 10, 0);
    bad.aio_reqprio = -1;
    struct aiocb *list[] = {&bad, &first};
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 2, NULL), EIO);
    CHECK_EQ(aio_error(&bad), EINVAL);
    CHECK_EQ(aio_error(&first), 0);
    CHECK_EQ(aio_return(&first), 10);
    struct aiocb *only[] = {&bad};
    CHECK_EQ(lio_listio(LIO_WAIT, only, 1, NULL), -1);
}

TEST(same, rule_68_the_list_notifies_once_after_all_and_each_request_for_itself) {
    int fd = pattern_file("data", 4096), ends[2];
    silent_pipe(ends);
    struct aiocb fast = entry(LIO_READ, fd, buffer, 10, 0), slow = entry(LIO_READ, ends[0], buffer + 10, 1, 0);
    struct aiocb failing = entry(LIO_READ, -1, buffer, 10, 0);
    fast.aio_sigevent = thread_event(2);
    slow.aio_sigevent = thread_event(3);
    failing.aio_sigevent = thread_event(4);
    struct aiocb *list[] = {&fast, &slow, &failing};
    struct sigevent event = thread_event(1);
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 3, &event), 0);
    EVENTUALLY(events[2] == 1 && events[4] == 1);
    sleep_ms(30);
    CHECK_EQ(events[1], 0);
    CHECK_EQ(events[3], 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    EVENTUALLY(events[1] == 1 && events[3] == 1);
    sleep_ms(20);
    for (int i = 1; i <= 4; i++) CHECK_EQ(events[i], 1);
}

static struct aiocb many[200];
static volatile int lists_over;

static void all_must_be_done(union sigval value) {
    for (int i = 0; i < 200; i++) CHECK(aio_error(&many[i]) == 0);
    CHECK_EQ(value.sival_int, 7);
    lists_over++;
}

TEST(same, rule_68_when_the_list_notifies_every_status_is_final) {
    struct aiocb *list[200];
    int fd = pattern_file("data", sizeof buffer);
    struct sigevent event = {
        .sigev_notify = SIGEV_THREAD, .sigev_notify_function = all_must_be_done, .sigev_value.sival_int = 7};
    for (int round = 1; round <= 50; round++) {
        for (int i = 0; i < 200; i++) {
            many[i] = entry(i % 3 == 0 ? LIO_WRITE : LIO_READ, fd, buffer + i * 256, 256, i * 256);
            list[i] = &many[i];
        }
        CHECK_EQ(lio_listio(LIO_NOWAIT, list, 200, &event), 0);
        /* The caller's own copies are its own again. */
        memset(list, 0, sizeof list);
        EVENTUALLY(lists_over == round);
    }
}

TEST(same, rule_68_each_request_notifies_under_wait_too) {
    int fd = pattern_file("data", 4096);
    struct aiocb cb = entry(LIO_READ, fd, buffer, 10, 0);
    cb.aio_sigevent = thread_event(2);
    struct aiocb *list[] = {&cb};
    struct sigevent event = thread_event(1);
    CHECK_EQ(lio_listio(LIO_WAIT, list, 1, &event), 0);
    EVENTUALLY(events[2] == 1);
    CHECK_EQ(events[1], 0);
}

TEST(same, rule_68_a_cancelled_request_counts_as_done) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb head = entry(LIO_READ, ends[0], buffer, 1, 0), queued = entry(LIO_READ, ends[0], buffer + 1, 1, 0);
    struct aiocb *list[] = {&head, &queued};
    struct sigevent event = thread_event(1);
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
    CHECK_EQ(aio_cancel(ends[0], &queued), AIO_CANCELED);
    sleep_ms(20);
    CHECK_EQ(events[1], 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    EVENTUALLY(events[1] == 1);
}

TEST(same, rule_68_the_list_event_can_be_a_signal) {
    int fd = pattern_file("data", 4096);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct aiocb first = entry(LIO_READ, fd, buffer, 10, 0), second = entry(LIO_READ, fd, buffer, 10, 0);
    struct aiocb *list[] = {&first, &second};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_ptr = list};
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 2, &event), 0);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){PATIENCE_MS / 1000, 0}), SIGRTMIN + 1);
    CHECK_EQ(info.si_code, SI_ASYNCIO);
    CHECK_EQ(info.si_pid, getpid());
    CHECK(info.si_value.sival_ptr == list);
    CHECK_EQ(aio_error(&first), 0);
    CHECK_EQ(aio_error(&second), 0);
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){0, 20000000}), -1);
}

/* Requests that say nothing themselves, on a file that is not in memory: the list's event comes although the program
 * never asks. */
static void event_comes_unasked(struct sigevent *event, void (*wait)(void)) {
    enum { count = 4, bytes = 4096 };
    char *memory = NULL;
    CHECK_EQ(posix_memalign((void **)&memory, bytes, count * bytes), 0);
    int fd = pattern_file("data", count * bytes), direct = open("data", O_RDONLY | O_DIRECT);
    struct aiocb cbs[count], *list[count];
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        for (int i = 0; i < count; i++) {
            cbs[i] = entry(LIO_READ, direct < 0 ? fd : direct, memory + i * bytes, bytes, i * bytes);
            list[i] = &cbs[i];
        }
        CHECK_EQ(lio_listio(LIO_NOWAIT, list, count, event), 0);
        wait();
        for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), bytes);
        check_pattern(memory, count * bytes, 0);
    }
}

static void wait_for_signal(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK_EQ(sigtimedwait(&set, NULL, &(struct timespec){PATIENCE_MS / 1000, 0}), SIGRTMIN + 1);
}

TEST(same, rule_68_the_list_signal_comes_unasked) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    event_comes_unasked(&(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1}, wait_for_signal);
}

static void wait_for_thread(void) {
    EVENTUALLY(events[1] == 1);
    events[1] = 0;
}

TEST(same, rule_68_the_list_thread_comes_unasked) {
    struct sigevent event = thread_event(1);
    event_comes_unasked(&event, wait_for_thread);
}

/* The end of one request is told while the list is still being submitted, and the handler waits for an earlier one. (With
 * glibc, whoever is interrupted may hold the lock that aio_suspend takes.) */
static struct aiocb pair[2];
static volatile int feed = -1, waited;

static void wait_for_the_earlier(int signal) {
    (void)signal;
    int saved = errno;
    if (feed >= 0) CHECK_EQ(write(feed, "x", 1), 1);
    const struct aiocb *list[] = {&pair[0]};
    waited = aio_suspend(list, 1, &(struct timespec){PATIENCE_MS / 1000, 0}) == 0 ? 1 : -errno;
    errno = saved;
}

static void handler_waits_for_the_earlier(int mode, struct aiocb earlier) {
    int fd = pattern_file("cached", 4096);
    char byte;
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = wait_for_the_earlier}, NULL), 0);
    pair[0] = earlier;
    pair[1] = entry(LIO_READ, fd, buffer + 8192, 4096, 0);
    pair[1].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    pair[1].aio_sigevent.sigev_signo = SIGUSR1;
    struct aiocb *list[] = {&pair[0], &pair[1]};
    waited = 0;
    int result = lio_listio(mode, list, 2, NULL);
    CHECK(result == 0 || (mode == LIO_WAIT && errno == EINTR));
    EVENTUALLY(waited != 0);
    CHECK_EQ(waited, 1);
    CHECK_EQ(finish(&pair[0]), earlier.aio_nbytes);
    CHECK_EQ(finish(&pair[1]), 4096);
    check_pattern(buffer + 8192, 4096, 0);
}

TEST(ours, a_handler_inside_lio_listio_waits_for_an_earlier_pipe_read) {
    int ends[2];
    silent_pipe(ends);
    feed = ends[1];
    for (int round = 0; round < 4; round++)
        handler_waits_for_the_earlier(round % 2 ? LIO_WAIT : LIO_NOWAIT, entry(LIO_READ, ends[0], buffer, 1, 0));
}

TEST(ours, a_handler_inside_lio_listio_waits_for_an_earlier_file_read) {
    int fd = pattern_file("data", 4096);
    for (int round = 0; round < 4; round++) {
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        handler_waits_for_the_earlier(round % 2 ? LIO_WAIT : LIO_NOWAIT, entry(LIO_READ, fd, buffer, 4096, 0));
    }
}

TEST(same, rule_69_without_a_list_event_only_the_requests_notify) {
    int fd = pattern_file("data", 4096);
    struct aiocb cb = entry(LIO_READ, fd, buffer, 10, 0);
    cb.aio_sigevent = thread_event(2);
    struct aiocb *list[] = {&cb};
    CHECK_EQ(lio_listio(LIO_NOWAIT, list, 1, NULL), 0);
    CHECK_EQ(finish(&cb), 10);
    EVENTUALLY(events[2] == 1);
}

/* A list of a length that no stack holds, with two requests in it. */
static void long_list(int mode, int length) {
    int fd = pattern_file("data", 4096);
    struct aiocb **list = calloc((size_t)length, sizeof *list);
    struct aiocb first = entry(LIO_READ, fd, buffer, 10, 0), last = entry(LIO_READ, fd, buffer + 10, 10, 10);
    struct aiocb nop = entry(LIO_NOP, -1, NULL, 0, 0);
    SET_UP(list != NULL);
    for (int i = 0; i < length; i += 2) list[i] = &nop;
    list[0] = &first;
    list[length - 1] = &last;
    CHECK_EQ(lio_listio(mode, list, length, NULL), 0);
    CHECK_EQ(finish(&first), 10);
    CHECK_EQ(finish(&last), 10);
    check_pattern(buffer, 20, 0);
    free(list);
}

TEST(same, long_lists_work) {
    long_list(LIO_WAIT, 20000);
    long_list(LIO_NOWAIT, 20000);
}

TEST(better, lists_of_absurd_length_work) {
    long_list(LIO_WAIT, 4000000);
    long_list(LIO_NOWAIT, 4000000);
}
