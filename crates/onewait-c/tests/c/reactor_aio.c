/*
 * Queues of onewait.h: requests, completions, cancelling, limits, and how a reactor watches them.
 */
#include "reactor_check.h"

TEST(ours, read_gives_what_the_file_has) {
    enum { blocks = 16 };
    int fd = pattern_file("data", blocks * 4096);
    ow_queue *queue = new_queue(0);
    static char buffer[blocks][4096];
    for (uint64_t i = 0; i < blocks; i++)
        CHECK_EQ(ow_read(queue, fd, buffer[i], 4096, (int64_t)i * 4096, i, NULL), 0);
    CHECK_EQ(ow_queue_outstanding(queue), blocks);
    for (int left = blocks; left > 0;) {
        struct ow_completion completions[5];
        int n = ow_reap(queue, completions, 5, -1);
        CHECK(n > 0 && n <= 5);
        for (int i = 0; i < n; i++, left--) {
            CHECK_EQ(completions[i].result, 4096);
            check_pattern(buffer[completions[i].token], 4096, (off_t)completions[i].token * 4096);
        }
    }
    CHECK_EQ(ow_queue_outstanding(queue), 0);
    CHECK_EQ(ow_read(queue, fd, buffer[0], 4096, blocks * 4096, 99, NULL), 0);
    CHECK_COMPLETES(queue, 99, 0); /* the end of the file */
    ow_queue_destroy(queue);
}

TEST(ours, write_then_fsync_then_read) {
    int fd = open("data", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    SET_UP(fd >= 0);
    ow_queue *queue = new_queue(8);
    static char wrote[10000], read_back[10000];
    fill_pattern(wrote, sizeof wrote, 0);
    CHECK_EQ(ow_write(queue, fd, wrote, sizeof wrote, 0, 1, NULL), 0);
    CHECK_EQ(ow_fsync(queue, fd, 2, NULL), 0);
    CHECK_EQ(ow_fdatasync(queue, fd, 3, NULL), 0);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        struct ow_completion done = reap_one(queue);
        CHECK_EQ(done.result, done.token == 1 ? (int64_t)sizeof wrote : 0);
        if (done.token != 1) CHECK(seen & 2); /* the write came first */
        seen |= 1u << done.token;
    }
    CHECK_EQ(seen, 14);
    CHECK_EQ(ow_read(queue, fd, read_back, sizeof read_back, 0, 4, NULL), 0);
    CHECK_COMPLETES(queue, 4, sizeof wrote);
    check_pattern(read_back, sizeof read_back, 0);
    ow_queue_destroy(queue);
}

TEST(ours, vectors_are_copied_and_may_go) {
    int fd = pattern_file("data", 8192);
    ow_queue *queue = new_queue(8);
    char a[100], b[200];
    struct iovec vectors[2] = {{a, sizeof a}, {b, sizeof b}};
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(ow_readv(queue, fd, vectors, 2, 4000, 1, NULL), 0);
    memset(vectors, 0xff, sizeof vectors);
    CHECK_COMPLETES(queue, 1, 300);
    check_pattern(a, sizeof a, 4000);
    check_pattern(b, sizeof b, 4100);
    struct iovec again[2] = {{a, sizeof a}, {b, sizeof b}};
    CHECK_EQ(ow_writev(queue, fd, again, 2, 0, 2, NULL), 0);
    memset(again, 0xff, sizeof again);
    CHECK_COMPLETES(queue, 2, 300);
    char back[300];
    CHECK_EQ(pread(fd, back, sizeof back, 0), 300);
    check_pattern(back, sizeof back, 4000);
    CHECK_EQ(ow_readv(queue, fd, NULL, 0, 0, 3, NULL), 0);
    CHECK_COMPLETES(queue, 3, 0);
    CHECK_ERRNO(ow_readv(queue, fd, NULL, 1, 0, 3, NULL), EINVAL);
    CHECK_ERRNO(ow_readv(queue, fd, again, -1, 0, 3, NULL), EINVAL);
    CHECK_ERRNO(ow_writev(queue, fd, again, 1025, 0, 3, NULL), EINVAL);
    CHECK_EQ(ow_queue_outstanding(queue), 0);
    ow_queue_destroy(queue);
}

TEST(ours, errors_of_the_system_are_in_the_completion) {
    ow_queue *queue = new_queue(8);
    char byte;
    int fd = pattern_file("data", 16), only = open("data", O_RDONLY | O_CLOEXEC), ends[2];
    SET_UP(only >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    CHECK_EQ(ow_read(queue, -1, &byte, 1, 0, 1, NULL), 0);
    CHECK_COMPLETES(queue, 1, -EBADF);
    CHECK_EQ(ow_write(queue, only, &byte, 1, 0, 2, NULL), 0);
    CHECK_COMPLETES(queue, 2, -EBADF);
    CHECK_EQ(ow_read(queue, fd, NULL, 1, 0, 3, NULL), 0);
    CHECK_COMPLETES(queue, 3, -EFAULT);
    CHECK_EQ(ow_read(queue, fd, &byte, 1, -1, 4, NULL), 0);
    CHECK_COMPLETES(queue, 4, -EINVAL);
    CHECK_EQ(ow_fsync(queue, 9999, 5, NULL), 0);
    CHECK_COMPLETES(queue, 5, -EBADF);
    CHECK_EQ(ow_fsync(queue, ends[0], 6, NULL), 0);
    CHECK_COMPLETES(queue, 6, -EINVAL);
    SET_UP(close(ends[0]) == 0);
    CHECK_EQ(ow_write(queue, ends[1], "x", 1, 0, 7, NULL), 0);
    CHECK_COMPLETES(queue, 7, -EPIPE); /* and no SIGPIPE */
    CHECK_ERRNO(ow_read(queue, fd, &byte, SIZE_MAX, 0, 8, NULL), EINVAL);
    ow_queue_destroy(queue);
}

TEST(ours, poll_request_tells_what_is_ready) {
    ow_queue *queue = new_queue(8);
    int ends[2];
    silent_pipe(ends);
    uint64_t request = 0;
    CHECK_EQ(ow_poll(queue, ends[1], POLLOUT, 1, NULL), 0);
    CHECK_COMPLETES(queue, 1, POLLOUT);
    CHECK_EQ(ow_poll(queue, ends[0], POLLIN, 2, &request), 0);
    struct ow_completion completion;
    CHECK_EQ(ow_reap(queue, &completion, 1, 10000000), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_COMPLETES(queue, 2, POLLIN);
    int pair[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 && close(pair[1]) == 0);
    CHECK_EQ(ow_poll(queue, pair[0], POLLIN, 3, NULL), 0);
    CHECK_COMPLETES(queue, 3, POLLIN | POLLHUP); /* and not POLLRDHUP, unasked */
    ow_queue_destroy(queue);
}

TEST(ours, requests_on_a_pipe_keep_their_order) {
    ow_queue *queue = new_queue(8);
    int ends[2];
    char a[2], b[2];
    silent_pipe(ends);
    CHECK_EQ(ow_read(queue, ends[0], a, 2, 0, 1, NULL), 0);
    CHECK_EQ(ow_read(queue, ends[0], b, 2, 0, 2, NULL), 0);
    CHECK_EQ(ow_write(queue, ends[1], "abcd", 4, 0, 3, NULL), 0);
    unsigned seen = 0;
    for (int i = 0; i < 3; i++) {
        struct ow_completion done = reap_one(queue);
        CHECK_EQ(done.result, done.token == 3 ? 4 : 2);
        seen |= 1u << done.token;
    }
    CHECK_EQ(seen, 14);
    CHECK(memcmp(a, "ab", 2) == 0 && memcmp(b, "cd", 2) == 0);
    ow_queue_destroy(queue);
}

TEST(ours, request_that_waits_can_be_cancelled) {
    ow_queue *queue = new_queue(8);
    int ends[2];
    char byte;
    silent_pipe(ends);
    uint64_t request = 0, other = 0;
    CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 1, &request), 0);
    CHECK_EQ(ow_poll(queue, ends[0], POLLIN, 2, &other), 0);
    CHECK(request != 0 && other != 0 && request != other);
    CHECK_EQ(ow_cancel(queue, request), OW_CANCELED);
    struct ow_completion completion;
    CHECK_EQ(ow_reap(queue, &completion, 1, 0), 1); /* it is there */
    CHECK_EQ(completion.token, 1);
    CHECK_EQ(completion.result, -ECANCELED);
    CHECK_EQ(ow_cancel(queue, request), OW_ALL_DONE);
    CHECK_EQ(ow_cancel(queue, other), OW_CANCELED);
    CHECK_COMPLETES(queue, 2, -ECANCELED);
    /* What has ended in the call has no number; numbers that were never given name nothing. */
    int fd = pattern_file("data", 4096);
    request = 1;
    CHECK_EQ(ow_read(queue, fd, &byte, 1, 0, 3, &request), 0);
    CHECK_COMPLETES(queue, 3, 1);
    CHECK_EQ(ow_cancel(queue, request), OW_ALL_DONE);
    CHECK_EQ(ow_cancel(queue, 0), OW_ALL_DONE);
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < 100; i++) CHECK_EQ(ow_cancel(queue, next_random(&state)), OW_ALL_DONE);
    ow_queue_destroy(queue);
}

TEST(ours, full_queue_refuses_and_takes_again_after_a_reap) {
    ow_queue *queue = new_queue(2);
    int ends[2];
    char byte[3];
    silent_pipe(ends);
    CHECK_EQ(ow_read(queue, ends[0], &byte[0], 1, 0, 0, NULL), 0);
    CHECK_EQ(ow_read(queue, ends[0], &byte[1], 1, 0, 1, NULL), 0);
    CHECK_ERRNO(ow_read(queue, ends[0], &byte[2], 1, 0, 2, NULL), EAGAIN);
    CHECK_EQ(ow_queue_outstanding(queue), 2);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK_COMPLETES(queue, 0, 1);
    CHECK_EQ(ow_read(queue, ends[0], &byte[2], 1, 0, 2, NULL), 0);
    CHECK_EQ(write(ends[1], "bc", 2), 2);
    CHECK_COMPLETES(queue, 1, 1);
    CHECK_COMPLETES(queue, 2, 1);
    CHECK(memcmp(byte, "abc", 3) == 0);
    ow_queue_destroy(queue);
}

TEST(ours, reap_keeps_its_time_and_its_room) {
    ow_queue *queue = new_queue(8);
    struct ow_completion completions[2];
    CHECK_EQ(ow_reap(queue, completions, 2, 0), 0);
    int64_t begin = now_ns();
    CHECK_EQ(ow_reap(queue, completions, 2, 20000000), 0);
    CHECK(now_ns() - begin >= 20000000);
    CHECK_ERRNO(ow_reap(queue, completions, 0, 0), EINVAL);
    CHECK_ERRNO(ow_reap(queue, completions, -5, 0), EINVAL);
    CHECK_ERRNO(ow_reap(queue, NULL, 1, 0), EINVAL);
    int fd = pattern_file("data", 4096);
    char byte;
    for (uint64_t i = 0; i < 3; i++) CHECK_EQ(ow_read(queue, fd, &byte, 1, 0, i, NULL), 0);
    EVENTUALLY(ow_queue_outstanding(queue) == 3);
    completions[1].token = 4711;
    CHECK_EQ(ow_reap(queue, completions, 1, PATIENCE_NS), 1);
    CHECK_EQ(completions[1].token, 4711);
    ow_queue_destroy(queue);
}

TEST(ours, completions_come_to_the_reactor) {
    ow_reactor *reactor = new_reactor();
    ow_queue *queue = new_queue(8);
    int ends[2];
    char byte[2];
    silent_pipe(ends);
    CHECK_EQ(ow_add(reactor, ow_queue_source(queue), EPOLLIN, 77), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_read(queue, ends[0], &byte[0], 1, 0, 1, NULL), 0);
    CHECK_EQ(ow_read(queue, ends[0], &byte[1], 1, 0, 2, NULL), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK_REPORTS(reactor, 77, EPOLLIN);
    CHECK_REPORTS(reactor, 77, EPOLLIN); /* by level, until it is reaped */
    CHECK_COMPLETES(queue, 1, 1);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_modify(reactor, ow_queue_source(queue), EPOLLIN | EPOLLET, 78), 0);
    CHECK_EQ(write(ends[1], "b", 1), 1);
    CHECK_REPORTS(reactor, 78, EPOLLIN);
    CHECK_QUIET(reactor);
    CHECK_COMPLETES(queue, 2, 1);
    ow_queue_destroy(queue);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

/* What is in flight when a queue is destroyed is cancelled, or done: after that nobody writes to the buffers. */
TEST(ours, destroyed_queue_leaves_the_buffers_alone) {
    int ends[2], fd = pattern_file("data", 1 << 20);
    silent_pipe(ends);
    static char buffer[1 << 20], byte;
    for (int turn = 0; turn < 10; turn++) {
        ow_queue *queue = new_queue(0);
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 1, NULL), 0);
        CHECK_EQ(ow_poll(queue, ends[0], POLLIN, 2, NULL), 0);
        CHECK_EQ(ow_read(queue, fd, buffer, sizeof buffer, 0, 3, NULL), 0);
        ow_queue_destroy(queue);
        memset(buffer, 0x5a, sizeof buffer);
        byte = 0x5a;
        CHECK_EQ(write(ends[1], "x", 1), 1);
        sleep_ms(1);
        CHECK_EQ(byte, 0x5a);
        for (size_t i = 0; i < sizeof buffer; i++) CHECK_EQ(buffer[i], 0x5a);
        CHECK_EQ(read(ends[0], buffer, 1), 1); /* the byte is there for others */
    }
}

static ow_queue *shared;
static int shared_file;
enum { submitters = 3, each = 500 };

static void *submit_and_reap(void *arg) {
    char buffer[16];
    uint64_t mine = (uint64_t)(uintptr_t)arg;
    for (uint64_t i = 0; i < each; i++)
        CHECK_EQ(ow_read(shared, shared_file, buffer, sizeof buffer, 0, mine << 32 | i, NULL), 0);
    for (int i = 0; i < each; i++) CHECK_EQ(reap_one(shared).result, sizeof buffer);
    return NULL;
}

TEST(ours, threads_share_a_queue) {
    shared = new_queue(0);
    shared_file = pattern_file("data", 4096);
    pthread_t thread[submitters];
    for (int i = 0; i < submitters; i++) start_thread(&thread[i], submit_and_reap, (void *)(uintptr_t)i);
    for (int i = 0; i < submitters; i++) join_thread(thread[i]);
    CHECK_EQ(ow_queue_outstanding(shared), 0);
    ow_queue_destroy(shared);
}

/* A queue, <aio.h> and plain calls go side by side. */
TEST(ours, queue_does_not_concern_posix_aio) {
    int ends[2], fd = pattern_file("data", 4096);
    char byte, other, buffer[64];
    silent_pipe(ends);
    ow_queue *queue = new_queue(8);
    CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 1, NULL), 0);
    struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), sizeof buffer);
    struct aiocb blocked_cb = REQUEST(ends[0], &other, 1, 0);
    CHECK_EQ(aio_read(&blocked_cb), 0);
    CHECK_EQ(aio_cancel(ends[0], NULL), AIO_CANCELED);
    CHECK_EQ(aio_error(&blocked_cb), ECANCELED);
    CHECK_EQ(ow_queue_outstanding(queue), 1);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_COMPLETES(queue, 1, 1);
    ow_queue_destroy(queue);
}

TEST(ours, driver_that_there_is_none_of_is_an_error) {
    SET_UP(setenv("ONEWAIT_DRIVER", "kqueue", 1) == 0);
    CHECK_NULL(ow_queue_create(0), EINVAL);
}
