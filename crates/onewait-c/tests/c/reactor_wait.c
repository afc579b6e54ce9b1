/*
 * The reactor of onewait.h: waiting, waking, descriptors, options, and what it says to wrong arguments.
 */
#include "reactor_check.h"

_Static_assert(sizeof(struct ow_ready) == 16 && offsetof(struct ow_ready, events) == 8, "ow_ready");
_Static_assert(sizeof(struct ow_completion) == 16 && offsetof(struct ow_completion, result) == 8, "ow_completion");
_Static_assert(sizeof(struct ow_reactor_options) == 48 && offsetof(struct ow_reactor_options, timers) == 12, "options");
_Static_assert(sizeof(struct ow_signal) == 32 && offsetof(struct ow_signal, status) == 16, "ow_signal");

TEST(ours, version_of_header_and_library_agree) {
    CHECK_EQ(ow_version(), OW_VERSION);
    CHECK(OW_VERSION > 0);
}

TEST(ours, wait_is_never_early_and_polls_with_zero) {
    ow_reactor *reactor = new_reactor();
    struct ow_ready ready[2];
    CHECK_EQ(ow_reactor_wait(reactor, ready, 2, 0), 0);
    int64_t begin = now_ns();
    CHECK_EQ(ow_reactor_wait(reactor, ready, 2, 30000001), 0);
    CHECK(now_ns() - begin >= 30000001);
    ow_reactor_destroy(reactor);
}

TEST(ours, null_and_wrong_arguments_are_errors) {
    ow_reactor *reactor = new_reactor();
    struct ow_ready ready;
    struct ow_completion completion;
    uint64_t number = 0;
    char byte = 0;
    struct iovec vector = {&byte, 1};
    CHECK_ERRNO(ow_reactor_wait(NULL, &ready, 1, 0), EINVAL);
    CHECK_ERRNO(ow_reactor_wait(reactor, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(ow_reactor_wait(reactor, &ready, 0, 0), EINVAL);
    CHECK_ERRNO(ow_reactor_wait(reactor, &ready, -1, 0), EINVAL);
    CHECK_ERRNO(ow_wake(NULL), EINVAL);
    CHECK_ERRNO(ow_reactor_descriptor(NULL), EINVAL);
    CHECK_ERRNO(ow_reactor_descriptor(reactor), EINVAL); /* not embeddable */
    CHECK_ERRNO(ow_add_fd(NULL, 0, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(ow_add_fd(reactor, -1, EPOLLIN, 0), EBADF);
    CHECK_ERRNO(ow_add_fd(reactor, INT32_MIN, EPOLLIN, 0), EBADF);
    CHECK_ERRNO(ow_add_fd(reactor, 9999, EPOLLIN, 0), EBADF);
    CHECK_ERRNO(ow_modify_fd(NULL, 0, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(ow_modify_fd(reactor, -1, EPOLLIN, 0), EBADF);
    CHECK_ERRNO(ow_delete_fd(NULL, 0), EINVAL);
    CHECK_ERRNO(ow_delete_fd(reactor, -1), EBADF);
    CHECK_ERRNO(ow_add(reactor, NULL, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(ow_add(NULL, NULL, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(ow_modify(reactor, NULL, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(ow_delete(reactor, NULL), EINVAL);
    CHECK_ERRNO(ow_timer_arm(NULL, 1, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_timer_arm_at(NULL, 1, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_timer_rearm(reactor, NULL, 1), EINVAL);
    CHECK_ERRNO(ow_timer_rearm(NULL, &number, 1), EINVAL);
    CHECK_ERRNO(ow_timer_rearm_at(NULL, &number, 1), EINVAL);
    CHECK_ERRNO(ow_timer_cancel(NULL, 1, NULL), EINVAL);
    CHECK_ERRNO(ow_event_write(NULL, 1), EINVAL);
    CHECK_ERRNO(ow_event_read(NULL, &number), EINVAL);
    CHECK_NULL(ow_event_source(NULL), EINVAL);
    CHECK_NULL(ow_reader_source(NULL), EINVAL);
    CHECK_NULL(ow_writer_source(NULL), EINVAL);
    CHECK_NULL(ow_queue_source(NULL), EINVAL);
    CHECK_NULL(ow_signals_source(NULL), EINVAL);
    CHECK_NULL(ow_child_source(NULL), EINVAL);
    CHECK_NULL(ow_signals_create(NULL, 1), EINVAL);
    CHECK_ERRNO(ow_signals_read(NULL, NULL), EINVAL);
    CHECK_ERRNO(ow_channel_create(NULL, NULL), EINVAL);
    CHECK_ERRNO(ow_reader_read(NULL, &byte, 1), EINVAL);
    CHECK_ERRNO(ow_writer_write(NULL, &byte, 1), EINVAL);
    CHECK_ERRNO(ow_read(NULL, 0, &byte, 1, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_write(NULL, 0, &byte, 1, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_readv(NULL, 0, &vector, 1, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_writev(NULL, 0, &vector, 1, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_fsync(NULL, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_fdatasync(NULL, 0, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_poll(NULL, 0, POLLIN, 0, NULL), EINVAL);
    CHECK_ERRNO(ow_cancel(NULL, 1), EINVAL);
    CHECK_ERRNO(ow_reap(NULL, &completion, 1, 0), EINVAL);
    CHECK_ERRNO(ow_queue_outstanding(NULL), EINVAL);
    ow_reactor_destroy(NULL);
    ow_event_destroy(NULL);
    ow_reader_destroy(NULL);
    ow_writer_destroy(NULL);
    ow_queue_destroy(NULL);
    ow_signals_destroy(NULL);
    ow_child_destroy(NULL);
    ow_reactor_destroy(reactor);
}

TEST(ours, options_that_are_not_known_are_refused) {
    struct ow_reactor_options options = {0};
    CHECK_NULL(ow_reactor_create(&options), EINVAL); /* no size */
    options.size = sizeof options;
    options.flags = 1u << 31;
    CHECK_NULL(ow_reactor_create(&options), EINVAL);
    options.flags = 0;
    options.size++;
    CHECK_NULL(ow_reactor_create(&options), EINVAL);
    options.size--;
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, no_descriptors_left_is_emfile) {
    struct rlimit limit = {3, 3};
    SET_UP(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_NULL(ow_reactor_create(NULL), EMFILE);
    CHECK_NULL(ow_queue_create(0), EMFILE);
    int number = SIGUSR1;
    CHECK_NULL(ow_signals_create(&number, 1), EMFILE);
    CHECK_NULL(ow_child_create(getpid()), EMFILE);
}

/* ---- descriptors ----------------------------------------------------------------------------------------------- */

TEST(ours, descriptors_are_watched_by_level_edge_and_oneshot) {
    ow_reactor *reactor = new_reactor();
    int ends[2], fd = eventfd(3, EFD_CLOEXEC | EFD_NONBLOCK);
    SET_UP(fd >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    CHECK_EQ(ow_add_fd(reactor, fd, EPOLLIN, UINT64_MAX), 0);
    CHECK_ERRNO(ow_add_fd(reactor, fd, EPOLLIN, 2), EEXIST);
    CHECK_REPORTS(reactor, UINT64_MAX, EPOLLIN);
    CHECK_REPORTS(reactor, UINT64_MAX, EPOLLIN);
    CHECK_EQ(ow_modify_fd(reactor, fd, EPOLLIN | EPOLLET, 7), 0);
    CHECK_REPORTS(reactor, 7, EPOLLIN);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_modify_fd(reactor, fd, EPOLLIN | EPOLLONESHOT, 8), 0);
    CHECK_REPORTS(reactor, 8, EPOLLIN);
    CHECK_QUIET(reactor);
    CHECK_ERRNO(ow_modify_fd(reactor, ends[0], EPOLLIN, 1), ENOENT);
    CHECK_ERRNO(ow_delete_fd(reactor, ends[0]), ENOENT);
    CHECK_ERRNO(ow_add_fd(reactor, ends[0], EPOLLEXCLUSIVE | EPOLLONESHOT, 1), EINVAL);
    CHECK_EQ(ow_add_fd(reactor, ends[0], EPOLLIN | EPOLLRDHUP, 9), 0);
    CHECK_EQ(shutdown(ends[1], SHUT_WR), 0);
    CHECK_REPORTS(reactor, 9, EPOLLIN | EPOLLRDHUP);
    CHECK_EQ(ow_delete_fd(reactor, ends[0]), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_modify_fd(reactor, fd, EPOLLIN, 10), 0);
    CHECK_REPORTS(reactor, 10, EPOLLIN);
    CHECK_EQ(close(fd), 0);
    CHECK_QUIET(reactor); /* closed: gone, silently */
    ow_reactor_destroy(reactor);
}

TEST(ours, files_are_always_ready_or_refused_as_wanted) {
    int fd = pattern_file("data", 16);
    ow_reactor *reactor = new_reactor();
    CHECK_EQ(ow_add_fd(reactor, fd, EPOLLIN | EPOLLOUT, 1), 0);
    CHECK_REPORTS(reactor, 1, EPOLLIN | EPOLLOUT);
    CHECK_EQ(ow_delete_fd(reactor, fd), 0);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
    struct ow_reactor_options options = {.size = sizeof options, .flags = OW_REFUSE_FILES};
    reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    CHECK_ERRNO(ow_add_fd(reactor, fd, EPOLLIN, 1), EPERM);
    ow_reactor_destroy(reactor);
}

TEST(ours, many_events_come_in_as_many_waits_as_there_is_room) {
    enum { count = 100 };
    ow_reactor *reactor = new_reactor();
    for (uint64_t i = 0; i < count; i++) {
        int fd = eventfd(1, EFD_CLOEXEC);
        SET_UP(fd >= 0);
        CHECK_EQ(ow_add_fd(reactor, fd, EPOLLIN | EPOLLET, i), 0);
    }
    bool seen[count] = {false};
    for (int left = count; left > 0;) {
        struct ow_ready ready[7];
        int n = ow_reactor_wait(reactor, ready, 7, 0);
        CHECK(n > 0 && n <= 7);
        for (int i = 0; i < n; i++, left--) {
            CHECK(ready[i].token < count && !seen[ready[i].token]);
            seen[ready[i].token] = true;
        }
    }
    CHECK_QUIET(reactor);
    /* Room without end is no reason to fail, nor to write beyond what there is to say. */
    struct ow_ready ready[2];
    CHECK_EQ(ow_reactor_wait(reactor, ready, INT32_MAX, 0), 0);
    ow_reactor_destroy(reactor);
}

/* ---- waking ---------------------------------------------------------------------------------------------------- */

static ow_reactor *woken;
static _Atomic int stage;

static void *wake_later(void *arg) {
    (void)arg;
    while (stage == 0) sleep_ms(1);
    sleep_ms(20);
    CHECK_EQ(ow_wake(woken), 0);
    return NULL;
}

TEST(ours, wake_ends_the_wait_of_another_thread_without_an_event) {
    pthread_t thread;
    woken = new_reactor();
    start_thread(&thread, wake_later, NULL);
    struct ow_ready ready;
    stage = 1;
    CHECK_EQ(ow_reactor_wait(woken, &ready, 1, -1), 0);
    join_thread(thread);
    ow_reactor_destroy(woken);
}

TEST(ours, wakes_before_the_wait_are_one) {
    ow_reactor *reactor = new_reactor();
    struct ow_ready ready;
    for (int i = 0; i < 3; i++) CHECK_EQ(ow_wake(reactor), 0);
    CHECK_EQ(ow_reactor_wait(reactor, &ready, 1, -1), 0);
    int64_t begin = now_ns();
    CHECK_EQ(ow_reactor_wait(reactor, &ready, 1, 20000000), 0);
    CHECK(now_ns() - begin >= 20000000);
    ow_reactor_destroy(reactor);
}

static void wake_in_handler(int signal) {
    (void)signal;
    int saved = errno;
    errno = 4711;
    CHECK_EQ(ow_wake(woken), 0);
    CHECK_EQ(errno, 4711);
    errno = saved;
}

static void *signal_oneself_later(void *arg) {
    (void)arg;
    while (stage == 0) sleep_ms(1);
    sleep_ms(20);
    CHECK_EQ(raise(SIGUSR1), 0);
    return NULL;
}

TEST(ours, wake_in_a_signal_handler_of_another_thread_ends_the_wait) {
    pthread_t thread;
    struct ow_ready ready;
    struct sigaction action = {.sa_handler = wake_in_handler};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    woken = new_reactor();
    start_thread(&thread, signal_oneself_later, NULL);
    stage = 1;
    CHECK_EQ(ow_reactor_wait(woken, &ready, 1, -1), 0);
    join_thread(thread);
    ow_reactor_destroy(woken);
}

static void *signal_again_and_again(void *arg) {
    while (stage == 0) {
        pthread_kill(*(pthread_t *)arg, SIGUSR1);
        sleep_ms(1);
    }
    return NULL;
}

TEST(ours, wake_in_a_handler_that_interrupts_the_reactor_does_no_harm) {
    woken = new_reactor();
    pthread_t thread, self = pthread_self();
    struct sigaction action = {.sa_handler = wake_in_handler};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    start_thread(&thread, signal_again_and_again, &self);
    struct ow_ready ready;
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(ow_timer_arm(woken, (uint64_t)i * 20000, 1, NULL), 0);
        int result = ow_reactor_wait(woken, &ready, 1, PATIENCE_NS);
        if (result < 0) CHECK_EQ(errno, EINTR); /* the signal itself may be what ended it */
    }
    stage = 1;
    join_thread(thread);
    ow_reactor_destroy(woken);
}

static void do_nothing(int signal) { (void)signal; }

TEST(ours, signal_ends_the_wait_with_eintr_despite_restart) {
    ow_reactor *reactor = new_reactor();
    pthread_t thread, self = pthread_self();
    struct sigaction action = {.sa_handler = do_nothing, .sa_flags = SA_RESTART};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    start_thread(&thread, signal_again_and_again, &self);
    struct ow_ready ready;
    CHECK_ERRNO(ow_reactor_wait(reactor, &ready, 1, -1), EINTR);
    stage = 1;
    join_thread(thread);
    ow_reactor_destroy(reactor);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

static void *wait_for_ever(void *arg) {
    struct ow_ready ready;
    (void)arg;
    stage = 1;
    CHECK_EQ(ow_reactor_wait(woken, &ready, 1, -1), 1);
    CHECK_EQ(ready.token, 5);
    return NULL;
}

TEST(ours, one_thread_waits_and_others_add_to_what_it_waits_for) {
    pthread_t thread;
    struct ow_ready ready;
    uint64_t key = 1;
    woken = new_reactor();
    start_thread(&thread, wait_for_ever, NULL);
    EVENTUALLY(stage == 1 && ow_timer_arm(woken, 1000 * SECOND, 1, NULL) < 0);
    CHECK_ERRNO(ow_reactor_wait(woken, &ready, 1, 0), EBUSY);
    CHECK_ERRNO(ow_timer_arm(woken, 1000 * SECOND, 1, NULL), EBUSY);
    CHECK_ERRNO(ow_timer_rearm(woken, &key, 1), EBUSY);
    CHECK_ERRNO(ow_timer_cancel(woken, 1, NULL), EBUSY);
    ow_event *event = ow_event_create(0, 0);
    CHECK(event != NULL);
    CHECK_EQ(ow_add(woken, ow_event_source(event), EPOLLIN, 5), 0);
    sleep_ms(5);
    CHECK_EQ(ow_event_write(event, 1), 0);
    join_thread(thread);
    ow_reactor_destroy(woken);
    ow_event_destroy(event);
}

/* A thread that is cancelled while it waits goes on until it is at a cancellation point of its own. */
static void *wait_and_be_cancelled(void *arg) {
    struct ow_ready ready;
    (void)arg;
    stage = 1;
    CHECK_EQ(ow_reactor_wait(woken, &ready, 1, -1), 0);
    stage = 2;
    for (;;) pause();
    return NULL;
}

TEST(ours, wait_is_no_cancellation_point) {
    pthread_t thread;
    woken = new_reactor();
    start_thread(&thread, wait_and_be_cancelled, NULL);
    EVENTUALLY(stage == 1);
    sleep_ms(10);
    CHECK_EQ(pthread_cancel(thread), 0);
    sleep_ms(10);
    CHECK_EQ(stage, 1);
    CHECK_EQ(ow_wake(woken), 0);
    join_thread(thread);
    CHECK_EQ(stage, 2);
    ow_reactor_destroy(woken);
}

/* ---- in other loops -------------------------------------------------------------------------------------------- */

static bool is_readable(int fd, int timeout_ms) {
    struct pollfd entry = {fd, POLLIN, 0};
    int result = poll(&entry, 1, timeout_ms);
    CHECK(result >= 0);
    return result == 1;
}

TEST(ours, embeddable_reactor_is_readable_when_there_is_something_to_report) {
    struct ow_reactor_options options = {.size = sizeof options, .flags = OW_EMBEDDABLE};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    int fd = ow_reactor_descriptor(reactor);
    CHECK(fd >= 0);
    struct ow_ready ready[4];
    while (is_readable(fd, 0)) CHECK_QUIET(reactor);
    ow_event *event = ow_event_create(0, 0);
    CHECK_EQ(ow_add(reactor, ow_event_source(event), EPOLLIN, 1), 0);
    CHECK(!is_readable(fd, 10));
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK(is_readable(fd, PATIENCE_MS));
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    uint64_t count;
    CHECK_EQ(ow_event_read(event, &count), 0);
    while (ow_reactor_wait(reactor, ready, 4, 0) > 0) {}
    CHECK_EQ(ow_timer_arm(reactor, 1000000, 2, NULL), 0);
    CHECK(is_readable(fd, PATIENCE_MS));
    CHECK_REPORTS(reactor, 2, EPOLLIN);
    /* And in one of its own kind. */
    ow_reactor *outer = new_reactor();
    CHECK_EQ(ow_add_fd(outer, fd, EPOLLIN, 3), 0);
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK_REPORTS(outer, 3, EPOLLIN);
    ow_reactor_destroy(reactor);
    CHECK_QUIET(outer);
    ow_reactor_destroy(outer);
    ow_event_destroy(event);
}
