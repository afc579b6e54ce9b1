/* Rules 44 to 52: what aio_cancel says, and that what it says is so. */
#include "check.h"

#include <sys/socket.h>

static char buffer[1 << 16];

/* Three reads of one byte that wait on the same pipe. glibc's thread is busy with the first, which it cannot cancel. */
static struct aiocb queue[3];
static int ends[2];

static void fill_queue(void) {
    silent_pipe(ends);
    for (int i = 0; i < 3; i++) {
        queue[i] = REQUEST(ends[0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&queue[i]), 0);
    }
}

TEST(same, rule_44_bad_descriptor_is_ebadf) {
    fill_queue();
    int closed = pattern_file("data", 10);
    close(closed);
    CHECK_ERRNO(aio_cancel(-1, NULL), EBADF);
    CHECK_ERRNO(aio_cancel(9999, NULL), EBADF);
    CHECK_ERRNO(aio_cancel(closed, NULL), EBADF);
    CHECK_ERRNO(aio_cancel(-1, &queue[1]), EBADF);
    CHECK_EQ(aio_error(&queue[1]), EINPROGRESS);
}

TEST(same, rule_45_another_descriptor_than_the_requests_is_einval) {
    fill_queue();
    int fd = pattern_file("data", 10), same_file = dup(ends[0]);
    CHECK_ERRNO(aio_cancel(fd, &queue[1]), EINVAL);
    CHECK_ERRNO(aio_cancel(same_file, &queue[1]), EINVAL);
    CHECK_EQ(aio_error(&queue[1]), EINPROGRESS);
    /* Also when the request is over. */
    struct aiocb cb = REQUEST(fd, buffer, 10, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 10);
    CHECK_ERRNO(aio_cancel(ends[0], &cb), EINVAL);
}

/* Also while another thread still tells somebody of the end, which takes a while with SIGEV_THREAD. */
static void ignore(union sigval value) { (void)value; }

TEST(same, rule_46_what_was_seen_to_end_is_done) {
    pattern_file("data", 4096);
    int fd = open("data", O_WRONLY | O_APPEND);
    for (int64_t end = now_ms() + 2000, i = 0; i < 1000 && now_ms() < end; i++) {
        struct aiocb cb = REQUEST(fd, buffer, 1, 0);
        cb.aio_sigevent.sigev_notify = SIGEV_THREAD;
        cb.aio_sigevent.sigev_notify_function = ignore;
        CHECK_EQ(aio_write(&cb), 0);
        while (aio_error(&cb) == EINPROGRESS) {}
        CHECK_EQ(aio_error(&cb), 0);
        CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
    }
}

TEST(same, rule_46_done_or_none_is_alldone) {
    int fd = pattern_file("data", 10);
    CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
    struct aiocb cb = REQUEST(fd, buffer, 10, 0);
    CHECK_EQ(aio_cancel(fd, &cb), AIO_ALLDONE);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), 0);
    CHECK_EQ(aio_cancel(fd, &cb), AIO_ALLDONE);
    CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
    CHECK_EQ(aio_return(&cb), 10);
    CHECK_EQ(aio_cancel(fd, &cb), AIO_ALLDONE);
    /* Requests on another descriptor of the same file are not on this one. */
    fill_queue();
    CHECK_EQ(aio_cancel(dup(ends[0]), NULL), AIO_ALLDONE);
    CHECK_EQ(aio_error(&queue[2]), EINPROGRESS);
}

TEST(same, rule_47_canceled_is_visible_when_the_call_returns) {
    for (int i = 0; i < 300; i++) {
        fill_queue();
        CHECK_EQ(aio_cancel(ends[0], &queue[1]), AIO_CANCELED);
        CHECK_EQ(aio_error(&queue[1]), ECANCELED);
        CHECK_EQ(aio_return(&queue[1]), -1);
        const struct aiocb *list[] = {&queue[1]};
        CHECK_EQ(aio_suspend(list, 1, NULL), 0);
        /* And the block can be used at once. */
        CHECK_EQ(aio_read(&queue[1]), 0);
        CHECK_EQ(write(ends[1], "abc", 3), 3);
        for (int j = 0; j < 3; j++) CHECK_EQ(finish(&queue[j]), 1);
        CHECK_EQ(buffer[1], 'c');
        close(ends[0]);
        close(ends[1]);
    }
}

static void *suspend_until_cancelled(void *cb) {
    const struct aiocb *list[] = {cb};
    CHECK_EQ(aio_suspend(list, 1, NULL), 0);
    CHECK_EQ(aio_error(cb), ECANCELED);
    return NULL;
}

TEST(same, rule_47_cancelling_wakes_who_waits) {
    fill_queue();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) SET_UP(pthread_create(&threads[i], NULL, suspend_until_cancelled, &queue[2]) == 0);
    sleep_ms(20);
    CHECK_EQ(aio_cancel(ends[0], &queue[2]), AIO_CANCELED);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

/* Whatever the answer, it is true; and the data of what was not cancelled is there. */
TEST(same, rule_48_whatever_cancel_says_is_so) {
    enum { size = 1 << 16 };
    int fd = pattern_file("data", 4 << 20), direct = open("data", O_RDONLY | O_DIRECT), said[3] = {0};
    char *memory = NULL;
    CHECK_EQ(posix_memalign((void **)&memory, 4096, size), 0);
    for (int i = 0; i < 2000; i++) {
        off_t offset = i % 64 * size;
        struct aiocb cb = REQUEST(i % 2 == 0 || direct < 0 ? fd : direct, memory, size, offset);
        memory[0] = memory[size - 1] = 0;
        if (i % 100 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(aio_read(&cb), 0);
        for (volatile int spin = 0; spin < i * 20; spin++) {}
        int result = i % 3 == 0 ? aio_cancel(cb.aio_fildes, NULL) : aio_cancel(cb.aio_fildes, &cb);
        CHECK(result == AIO_CANCELED || result == AIO_NOTCANCELED || result == AIO_ALLDONE);
        said[result]++;
        int status = aio_error(&cb);
        if (result == AIO_CANCELED) {
            CHECK_EQ(status, ECANCELED);
            CHECK_EQ(aio_return(&cb), -1);
            continue;
        }
        CHECK(status == 0 || (status == EINPROGRESS && result == AIO_NOTCANCELED));
        CHECK_EQ(finish(&cb), size);
        CHECK_EQ((unsigned char)memory[0], pattern_at(offset));
        CHECK_EQ((unsigned char)memory[size - 1], pattern_at(offset + size - 1));
    }
    fprintf(stderr, "canceled %d, not %d, all done %d\n", said[AIO_CANCELED], said[AIO_NOTCANCELED], said[AIO_ALLDONE]);
}

TEST(same, rule_49_null_means_all_on_that_descriptor_and_no_other) {
    fill_queue();
    int others[2];
    silent_pipe(others);
    struct aiocb other = REQUEST(others[0], &buffer[10], 1, 0), twin = REQUEST(dup(others[0]), &buffer[11], 1, 0);
    CHECK_EQ(aio_read(&other), 0);
    CHECK_EQ(aio_read(&twin), 0);
    int result = aio_cancel(ends[0], NULL);
    CHECK_EQ(aio_error(&queue[1]), ECANCELED);
    CHECK_EQ(aio_error(&queue[2]), ECANCELED);
    /* Any survivor gives NOTCANCELED. */
    CHECK_EQ(result, aio_error(&queue[0]) == ECANCELED ? AIO_CANCELED : AIO_NOTCANCELED);
    if (result == AIO_NOTCANCELED) CHECK_EQ(aio_error(&queue[0]), EINPROGRESS);
    CHECK_EQ(aio_error(&other), EINPROGRESS);
    CHECK_EQ(aio_error(&twin), EINPROGRESS);
    CHECK_EQ(write(others[1], "xy", 2), 2);
    CHECK_EQ(finish(&other), 1);
    CHECK_EQ(finish(&twin), 1);
}

TEST(better, rule_49_null_cancels_all_that_wait_on_a_pipe) {
    fill_queue();
    CHECK_EQ(aio_cancel(ends[0], NULL), AIO_CANCELED);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(aio_error(&queue[i]), ECANCELED);
        CHECK_EQ(aio_return(&queue[i]), -1);
    }
    CHECK_EQ(aio_cancel(ends[0], NULL), AIO_ALLDONE);
}

static volatile int notified;

static void note(union sigval value) {
    CHECK_EQ(aio_error(value.sival_ptr), ECANCELED);
    __atomic_fetch_add(&notified, 1, __ATOMIC_SEQ_CST);
}

TEST(same, rule_50_a_cancelled_request_notifies_by_thread) {
    silent_pipe(ends);
    struct aiocb head = REQUEST(ends[0], buffer, 1, 0), cb = head;
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD;
    cb.aio_sigevent.sigev_notify_function = note;
    cb.aio_sigevent.sigev_value.sival_ptr = &cb;
    CHECK_EQ(aio_read(&head), 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(aio_cancel(ends[0], &cb), AIO_CANCELED);
    EVENTUALLY(notified == 1);
    sleep_ms(20);
    CHECK_EQ(notified, 1);
}

TEST(same, rule_50_a_cancelled_request_notifies_by_signal) {
    silent_pipe(ends);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct aiocb head = REQUEST(ends[0], buffer, 1, 0), cb = head;
    cb.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    cb.aio_sigevent.sigev_signo = SIGRTMIN;
    cb.aio_sigevent.sigev_value.sival_int = 42;
    CHECK_EQ(aio_read(&head), 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(aio_cancel(ends[0], &cb), AIO_CANCELED);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){PATIENCE_MS / 1000, 0}), SIGRTMIN);
    CHECK_EQ(info.si_value.sival_int, 42);
    CHECK_EQ(info.si_code, SI_ASYNCIO);
}

TEST(same, rule_51_the_others_still_complete) {
    for (int i = 0; i < 200; i++) {
        fill_queue();
        CHECK_EQ(aio_cancel(ends[0], &queue[1]), AIO_CANCELED);
        CHECK_EQ(write(ends[1], "ab", 2), 2);
        CHECK_EQ(finish(&queue[0]), 1);
        CHECK_EQ(finish(&queue[2]), 1);
        CHECK_EQ(buffer[0], 'a');
        CHECK_EQ(buffer[2], 'b');
        CHECK_EQ(aio_error(&queue[1]), ECANCELED);
        close(ends[0]);
        close(ends[1]);
    }
}

/* A read that waits can be taken back, and takes nothing with it. */
static void waiting_read_is_cancelled(int reader, int writer) {
    for (int i = 0; i < 100; i++) {
        struct aiocb cb = REQUEST(reader, buffer, 3, 0);
        CHECK_EQ(aio_read(&cb), 0);
        if (i % 10 == 0) sleep_ms(5);
        CHECK_EQ(aio_cancel(reader, i % 2 == 0 ? &cb : NULL), AIO_CANCELED);
        CHECK_EQ(aio_error(&cb), ECANCELED);
        CHECK_EQ(aio_return(&cb), -1);
        char plain[3];
        CHECK_EQ(write(writer, "abc", 3), 3);
        CHECK_EQ(read(reader, plain, 3), 3);
        CHECK_EQ(memcmp(plain, "abc", 3), 0);
    }
}

TEST(better, rule_52_a_pipe_read_in_flight_can_be_cancelled) {
    silent_pipe(ends);
    waiting_read_is_cancelled(ends[0], ends[1]);
}

TEST(better, rule_52_a_socket_read_in_flight_can_be_cancelled) {
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    waiting_read_is_cancelled(ends[0], ends[1]);
}

TEST(better, rule_52_a_pipe_write_in_flight_can_be_cancelled) {
    silent_pipe(ends);
    SET_UP(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
    while (write(ends[1], buffer, 4096) > 0) {}
    SET_UP(fcntl(ends[1], F_SETFL, 0) == 0);
    struct aiocb cb = REQUEST(ends[1], buffer, 100, 0);
    CHECK_EQ(aio_write(&cb), 0);
    sleep_ms(20);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(aio_cancel(ends[1], &cb), AIO_CANCELED);
    CHECK_EQ(aio_error(&cb), ECANCELED);
}

/* Data and cancellation race: each byte is either delivered to the request or still in the pipe. */
TEST(same, rule_52_a_cancel_that_races_with_data_loses_nothing) {
    silent_pipe(ends);
    for (int i = 0; i < 1000; i++) {
        struct aiocb cb = REQUEST(ends[0], buffer, 1, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        int result = aio_cancel(ends[0], &cb), status = wait_for(&cb);
        if (result == AIO_CANCELED) CHECK_EQ(status, ECANCELED);
        if (status == 0) {
            CHECK_EQ(aio_return(&cb), 1);
        } else {
            CHECK_EQ(status, ECANCELED);
            CHECK_EQ(read(ends[0], buffer, 1), 1);
        }
    }
}
