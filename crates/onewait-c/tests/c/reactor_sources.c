/*
 * Events, channels of bytes, signals and children of onewait.h, and how a reactor watches them.
 */
#include "reactor_check.h"

/* ---- events ---------------------------------------------------------------------------------------------------- */

TEST(ours, event_counts_as_an_eventfd_does) {
    ow_event *event = ow_event_create(2, 0);
    CHECK(event != NULL);
    uint64_t number = 0;
    CHECK_EQ(ow_event_write(event, 5), 0);
    CHECK_EQ(ow_event_read(event, &number), 0);
    CHECK_EQ(number, 7);
    CHECK_ERRNO(ow_event_read(event, &number), EAGAIN);
    CHECK_EQ(number, 7);
    CHECK_EQ(ow_event_write(event, UINT64_MAX - 1), 0);
    CHECK_ERRNO(ow_event_write(event, 1), EAGAIN);
    CHECK_ERRNO(ow_event_write(event, UINT64_MAX), EINVAL);
    CHECK_ERRNO(ow_event_read(event, NULL), EINVAL);
    CHECK_EQ(ow_event_read(event, &number), 0);
    CHECK(number == UINT64_MAX - 1);
    ow_event_destroy(event);
    CHECK_NULL(ow_event_create(UINT64_MAX, 0), EINVAL);
    CHECK_NULL(ow_event_create(0, 2), EINVAL);
}

TEST(ours, semaphore_is_read_one_by_one) {
    ow_event *event = ow_event_create(2, OW_SEMAPHORE);
    uint64_t number = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ow_event_read(event, &number), 0);
        CHECK_EQ(number, 1);
    }
    CHECK_ERRNO(ow_event_read(event, &number), EAGAIN);
    ow_event_destroy(event);
}

TEST(ours, event_is_watched_by_level_edge_and_oneshot) {
    ow_reactor *reactor = new_reactor();
    ow_event *event = ow_event_create(0, 0);
    ow_source *source = ow_event_source(event);
    uint64_t number;
    CHECK(source != NULL);
    CHECK_EQ(ow_add(reactor, source, EPOLLIN, 1), 0);
    CHECK_ERRNO(ow_add(reactor, source, EPOLLIN, 1), EEXIST);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    CHECK_EQ(ow_modify(reactor, source, EPOLLIN | EPOLLET, 2), 0);
    CHECK_REPORTS(reactor, 2, EPOLLIN);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK_REPORTS(reactor, 2, EPOLLIN);
    CHECK_EQ(ow_event_read(event, &number), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_modify(reactor, source, EPOLLIN | EPOLLOUT | EPOLLONESHOT, 3), 0);
    CHECK_REPORTS(reactor, 3, EPOLLOUT);
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_delete(reactor, source), 0);
    CHECK_ERRNO(ow_delete(reactor, source), ENOENT);
    CHECK_ERRNO(ow_modify(reactor, source, EPOLLIN, 3), ENOENT);
    CHECK_ERRNO(ow_add(reactor, source, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 3), EINVAL);
    ow_reactor_destroy(reactor);
    ow_event_destroy(event);
}

TEST(ours, what_is_destroyed_leaves_silently_in_any_order) {
    ow_reactor *reactor = new_reactor(), *other = new_reactor();
    ow_event *event = ow_event_create(1, 0);
    ow_source *source = ow_event_source(event);
    CHECK_EQ(ow_add(reactor, source, EPOLLIN, 1), 0);
    CHECK_EQ(ow_add(other, source, EPOLLIN, 1), 0);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    ow_reactor_destroy(other);
    CHECK_EQ(ow_event_write(event, 1), 0);
    ow_event_destroy(event);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

static ow_event *shared;
enum { writers = 3, each = 2000 };

static void *write_again_and_again(void *arg) {
    (void)arg;
    for (int i = 0; i < each; i++) CHECK_EQ(ow_event_write(shared, 1), 0);
    return NULL;
}

TEST(ours, event_that_threads_write_to_loses_nothing) {
    ow_reactor *reactor = new_reactor();
    shared = ow_event_create(0, 0);
    CHECK_EQ(ow_add(reactor, ow_event_source(shared), EPOLLIN | EPOLLET, 1), 0);
    pthread_t thread[writers];
    for (int i = 0; i < writers; i++) start_thread(&thread[i], write_again_and_again, NULL);
    for (uint64_t sum = 0; sum < writers * each;) {
        CHECK_REPORTS(reactor, 1, EPOLLIN);
        uint64_t number;
        if (ow_event_read(shared, &number) == 0)
            sum += number;
        else
            CHECK_EQ(errno, EAGAIN);
    }
    for (int i = 0; i < writers; i++) join_thread(thread[i]);
    ow_reactor_destroy(reactor);
    ow_event_destroy(shared);
}

/* ---- channels -------------------------------------------------------------------------------------------------- */

TEST(ours, channel_has_the_rules_of_a_pipe) {
    ow_reader *reader;
    ow_writer *writer;
    char buffer[8192] = {0}, block[4096];
    CHECK_EQ(ow_channel_create(&reader, &writer), 0);
    CHECK_ERRNO(ow_reader_read(reader, buffer, 1), EAGAIN);
    CHECK_EQ(ow_reader_read(reader, buffer, 0), 0);
    CHECK_EQ(ow_reader_read(reader, NULL, 0), 0);
    CHECK_ERRNO(ow_reader_read(reader, NULL, 1), EINVAL);
    CHECK_ERRNO(ow_writer_write(writer, NULL, 1), EINVAL);
    CHECK_ERRNO(ow_writer_write(writer, buffer, SIZE_MAX), EINVAL);
    CHECK_EQ(ow_writer_write(writer, "hello", 5), 5);
    CHECK_EQ(ow_reader_read(reader, buffer, 2), 2);
    CHECK_EQ(ow_reader_read(reader, buffer + 2, sizeof buffer - 2), 3);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 16; i++) CHECK_EQ(ow_writer_write(writer, block, sizeof block), sizeof block);
    CHECK_ERRNO(ow_writer_write(writer, block, 1), EAGAIN);
    CHECK_EQ(ow_reader_read(reader, buffer, 4096), 4096);
    CHECK_EQ(ow_writer_write(writer, buffer, sizeof buffer), 4096); /* as much as there is room for */
    ow_writer_destroy(writer);
    ssize_t sum = 0, n;
    while ((n = ow_reader_read(reader, buffer, sizeof buffer)) > 0) sum += n;
    CHECK_EQ(n, 0);
    CHECK_EQ(sum, 65536);
    ow_reader_destroy(reader);
    CHECK_EQ(ow_channel_create(&reader, &writer), 0);
    ow_reader_destroy(reader);
    CHECK_ERRNO(ow_writer_write(writer, "x", 1), EPIPE); /* and no SIGPIPE */
    ow_writer_destroy(writer);
    CHECK_ERRNO(ow_channel_create(&reader, NULL), EINVAL);
}

TEST(ours, ends_of_a_channel_are_watched) {
    ow_reactor *reactor = new_reactor();
    ow_reader *reader;
    ow_writer *writer;
    char block[4096] = {0};
    CHECK_EQ(ow_channel_create(&reader, &writer), 0);
    CHECK_EQ(ow_add(reactor, ow_reader_source(reader), EPOLLIN | EPOLLET, 1), 0);
    CHECK_EQ(ow_add(reactor, ow_writer_source(writer), EPOLLOUT | EPOLLET, 2), 0);
    CHECK_REPORTS(reactor, 2, EPOLLOUT);
    CHECK_EQ(ow_writer_write(writer, "a", 1), 1);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    CHECK_EQ(ow_writer_write(writer, "b", 1), 1);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    while (ow_writer_write(writer, block, sizeof block) > 0) {}
    CHECK_EQ(errno, EAGAIN);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    while (ow_reader_read(reader, block, sizeof block) > 0) {}
    CHECK_REPORTS(reactor, 2, EPOLLOUT);
    ow_writer_destroy(writer);
    CHECK_REPORTS(reactor, 1, EPOLLHUP);
    ow_reader_destroy(reader);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_channel_create(&reader, &writer), 0);
    CHECK_EQ(ow_add(reactor, ow_writer_source(writer), 0, 3), 0);
    ow_reader_destroy(reader);
    CHECK_REPORTS(reactor, 3, EPOLLERR);
    ow_writer_destroy(writer);
    ow_reactor_destroy(reactor);
}

static ow_writer *pattern_end;
enum { bytes = 1 << 20 };

static void *write_pattern(void *arg) {
    (void)arg;
    char buffer[3000];
    ow_reactor *reactor = new_reactor();
    CHECK_EQ(ow_add(reactor, ow_writer_source(pattern_end), EPOLLOUT, 1), 0);
    for (size_t at = 0; at < bytes;) {
        size_t n = bytes - at < sizeof buffer ? bytes - at : sizeof buffer;
        fill_pattern(buffer, n, (off_t)at);
        ssize_t written = ow_writer_write(pattern_end, buffer, n);
        if (written > 0) {
            CHECK_EQ(written, n); /* all or nothing */
            at += (size_t)written;
        } else {
            CHECK_EQ(errno, EAGAIN);
            CHECK_REPORTS(reactor, 1, EPOLLOUT);
        }
    }
    ow_writer_destroy(pattern_end);
    ow_reactor_destroy(reactor);
    return NULL;
}

TEST(ours, channel_carries_bytes_from_thread_to_thread) {
    ow_reactor *reactor = new_reactor();
    ow_reader *reader;
    CHECK_EQ(ow_channel_create(&reader, &pattern_end), 0);
    CHECK_EQ(ow_add(reactor, ow_reader_source(reader), EPOLLIN, 1), 0);
    pthread_t thread;
    start_thread(&thread, write_pattern, NULL);
    char buffer[5000];
    size_t at = 0;
    for (;;) {
        ssize_t n = ow_reader_read(reader, buffer, sizeof buffer);
        if (n == 0) break;
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            struct ow_ready ready;
            CHECK_EQ(ow_reactor_wait(reactor, &ready, 1, PATIENCE_NS), 1);
            continue;
        }
        check_pattern(buffer, (size_t)n, (off_t)at);
        at += (size_t)n;
    }
    CHECK_EQ(at, bytes);
    join_thread(thread);
    ow_reader_destroy(reader);
    ow_reactor_destroy(reactor);
}

/* ---- signals and children -------------------------------------------------------------------------------------- */

TEST(ours, signals_are_read_and_interrupt_nobody) {
    ow_reactor *reactor = new_reactor();
    int numbers[] = {SIGTERM, SIGUSR1};
    ow_signals *signals = ow_signals_create(numbers, 2);
    CHECK(signals != NULL);
    struct ow_signal signal;
    CHECK_ERRNO(ow_signals_read(signals, &signal), EAGAIN);
    CHECK_ERRNO(ow_signals_read(signals, NULL), EINVAL);
    CHECK_EQ(ow_add(reactor, ow_signals_source(signals), EPOLLIN, 1), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    unsigned seen = 0;
    for (int i = 0; i < 2; i++) {
        CHECK_REPORTS(reactor, 1, EPOLLIN);
        CHECK_EQ(ow_signals_read(signals, &signal), 0);
        CHECK_EQ(signal.code, SI_USER);
        CHECK_EQ(signal.pid, getpid());
        CHECK_EQ(signal.uid, getuid());
        seen |= (signal.number == SIGTERM) + 2 * (signal.number == SIGUSR1);
    }
    CHECK_EQ(seen, 3);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_delete(reactor, ow_signals_source(signals)), 0);
    ow_signals_destroy(signals);
    /* They are still blocked. */
    CHECK_EQ(kill(getpid(), SIGTERM), 0);
    ow_reactor_destroy(reactor);
}

TEST(ours, signals_that_cannot_be_read_are_refused) {
    int stop[] = {SIGTERM, SIGSTOP}, none = 0, beyond = 1000;
    CHECK_NULL(ow_signals_create(stop, 2), EINVAL);
    CHECK_NULL(ow_signals_create(&none, 1), EINVAL);
    CHECK_NULL(ow_signals_create(&beyond, 1), EINVAL);
    CHECK_NULL(ow_signals_create(&beyond, SIZE_MAX), EINVAL);
    sigset_t set;
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &set), 0);
    CHECK_EQ(sigismember(&set, SIGTERM), 0); /* nothing of it was done */
}

TEST(ours, child_is_ready_once_it_has_ended) {
    int ends[2], status;
    silent_pipe(ends);
    pid_t pid = CHILD({
        char byte;
        _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
    });
    ow_reactor *reactor = new_reactor();
    ow_child *child = ow_child_create(pid);
    CHECK(child != NULL);
    CHECK_EQ(ow_add(reactor, ow_child_source(child), EPOLLIN, 5), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_REPORTS(reactor, 5, EPOLLIN);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    ow_child_destroy(child);
    CHECK_QUIET(reactor);
    CHECK_NULL(ow_child_create(pid), ESRCH);
    CHECK_NULL(ow_child_create(0), EINVAL);
    CHECK_NULL(ow_child_create(-1), EINVAL);
    ow_reactor_destroy(reactor);
}

/* ---- together -------------------------------------------------------------------------------------------------- */

TEST(ours, handle_of_another_kind_is_refused) {
    ow_event *event = ow_event_create(1, 0);
    char byte;
    uint64_t number;
    CHECK_ERRNO(ow_reader_read((ow_reader *)(void *)event, &byte, 1), EINVAL);
    CHECK_ERRNO(ow_queue_outstanding((ow_queue *)(void *)event), EINVAL);
    CHECK_NULL(ow_queue_source((ow_queue *)(void *)event), EINVAL);
    CHECK_EQ(ow_event_read(event, &number), 0);
    ow_event_destroy(event);
}

TEST(ours, source_that_is_always_ready_starves_nobody) {
    ow_reactor *reactor = new_reactor();
    ow_event *loud = ow_event_create(1, 0);
    int fd = eventfd(1, EFD_CLOEXEC);
    SET_UP(fd >= 0);
    CHECK_EQ(ow_add(reactor, ow_event_source(loud), EPOLLIN, 1), 0);
    CHECK_EQ(ow_add_fd(reactor, fd, EPOLLIN, 2), 0);
    CHECK_EQ(ow_timer_arm(reactor, 0, 3, NULL), 0);
    unsigned seen = 0;
    for (int turn = 0; turn < 4; turn++) {
        struct ow_ready ready[1];
        CHECK_EQ(ow_reactor_wait(reactor, ready, 1, 0), 1);
        seen |= 1u << ready[0].token;
    }
    CHECK_EQ(seen, 14);
    ow_reactor_destroy(reactor);
    ow_event_destroy(loud);
}
