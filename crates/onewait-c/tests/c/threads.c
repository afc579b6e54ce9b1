/*
 * Threads: who submits, who waits and who is gone need not be the same. The engine may let a lone thread own its ring,
 * whose completions appear only when that very thread enters the kernel; so much of this attacks the moment at which
 * the thread is no longer alone, or never comes back.
 */
#include "hazards.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <threads.h>

#define BLOCK 4096

/* One of each: a pipe, a socket and a file, the file past the page cache so that it cannot complete inline. */
struct three {
    int pipe[2], socket[2], file;
    struct aiocb cb[3];
    char pipe_buffer[16], socket_buffer[16], *file_buffer;
};

static void prepare_three(struct three *three) {
    silent_pipe(three->pipe);
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, three->socket) == 0);
    CHECK_EQ(close(pattern_file("three", 256 * BLOCK)), 0);
    three->file = open("three", O_RDONLY | O_DIRECT);
    if (three->file < 0) three->file = open("three", O_RDONLY); /* a file system that cannot */
    SET_UP(three->file >= 0);
    three->file_buffer = mmap(NULL, 256 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(three->file_buffer != MAP_FAILED);
    three->cb[0] = REQUEST(three->pipe[0], three->pipe_buffer, sizeof three->pipe_buffer, 0);
    three->cb[1] = REQUEST(three->socket[0], three->socket_buffer, sizeof three->socket_buffer, 0);
    three->cb[2] = REQUEST(three->file, three->file_buffer, 256 * BLOCK, 0);
}

static void submit_three(struct three *three) {
    for (int i = 0; i < 3; i++) CHECK_EQ(aio_read(&three->cb[i]), 0);
}

static void feed_three(struct three *three) {
    CHECK_EQ(write(three->pipe[1], "by the pipe", 11), 11);
    CHECK_EQ(write(three->socket[1], "by the socket", 13), 13);
}

static void finish_three(struct three *three) {
    CHECK_EQ(finish(&three->cb[0]), 11);
    CHECK(memcmp(three->pipe_buffer, "by the pipe", 11) == 0);
    CHECK_EQ(finish(&three->cb[1]), 13);
    CHECK(memcmp(three->socket_buffer, "by the socket", 13) == 0);
    CHECK_EQ(finish(&three->cb[2]), 256 * BLOCK);
    check_pattern(three->file_buffer, 256 * BLOCK, 0);
    CHECK_EQ(munmap(three->file_buffer, 256 * BLOCK), 0);
    int open_fds[] = {three->pipe[0], three->pipe[1], three->socket[0], three->socket[1], three->file};
    for (int i = 0; i < 5; i++) CHECK_EQ(close(open_fds[i]), 0);
}

static void *submit_and_end(void *arg) {
    submit_three(arg);
    return NULL;
}

static void *feed_and_finish(void *arg) {
    feed_three(arg);
    finish_three(arg);
    return NULL;
}

/* ---- the submitting thread ends -------------------------------------------------------------------------------- */

TEST(same, thread_that_submitted_ends_at_once) {
    for (int i = 0; i < 20; i++) {
        struct three three;
        prepare_three(&three);
        pthread_t submitter;
        start_thread(&submitter, submit_and_end, &three);
        join_thread(submitter);
        if (i % 2) sleep_ms(2); /* the kernel cancels what the thread left some time after the join */
        feed_three(&three);
        finish_three(&three);
    }
}

static void *wait_for_the_main_thread(void *arg) {
    struct three *three = arg;
    /* "Zl" in its place: a main thread that has ended stays as a zombie until the process does. */
    char state = 0;
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (state != 'Z') {
        CHECK(now_ms() < deadline);
        char path[64], text[256];
        snprintf(path, sizeof path, "/proc/%d/task/%d/stat", getpid(), getpid());
        FILE *file = fopen(path, "r");
        SET_UP(file != NULL);
        CHECK(fgets(text, sizeof text, file) != NULL);
        fclose(file);
        state = strrchr(text, ')')[2];
    }
    feed_three(three);
    finish_three(three);
    _exit(0);
}

TEST(same, thread_that_submitted_is_the_main_one_and_ends) {
    static struct three three;
    prepare_three(&three);
    submit_three(&three);
    pthread_t finisher;
    start_thread(&finisher, wait_for_the_main_thread, &three);
    pthread_exit(NULL);
}

struct short_life {
    struct aiocb cb;
    char buffer[BLOCK];
};

static void *live_for_one_request(void *arg) {
    struct short_life *life = arg;
    CHECK_EQ(aio_read(&life->cb), 0);
    return NULL;
}

TEST(same, thread_after_thread_submits_one_request) {
    enum { lives = 1000 };
    int fd = pattern_file("data", 256 * BLOCK);
    struct short_life *life = calloc(lives, sizeof *life);
    SET_UP(life != NULL);
    for (int i = 0; i < lives; i++) {
        if (i % 100 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        life[i].cb = REQUEST(fd, life[i].buffer, BLOCK, i % 256 * BLOCK);
        pthread_t thread;
        start_thread(&thread, live_for_one_request, &life[i]);
        join_thread(thread);
    }
    for (int i = 0; i < lives; i++) {
        CHECK_EQ(finish(&life[i].cb), BLOCK);
        check_pattern(life[i].buffer, BLOCK, i % 256 * BLOCK);
    }
}

/* ---- one thread submits, others wait --------------------------------------------------------------------------- */

TEST(same, thread_waits_for_what_the_first_submitted_before_it_began) {
    for (int i = 0; i < 10; i++) {
        struct three three;
        prepare_three(&three);
        submit_three(&three);
        pthread_t waiter;
        start_thread(&waiter, feed_and_finish, &three);
        join_thread(waiter); /* a wait of the first thread that is none of ours */
    }
}

static atomic_int done;

static void *feed_finish_and_say_so(void *arg) {
    feed_and_finish(arg);
    atomic_store(&done, 1);
    return NULL;
}

static int feed_finish_and_say_so_c11(void *arg) {
    feed_finish_and_say_so(arg);
    return 0;
}

static void compute_until_done(void) {
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (!atomic_load(&done)) CHECK(now_ms() < deadline); /* the clock is no system call */
}

TEST(same, thread_waits_while_the_submitter_computes) {
    struct three three;
    prepare_three(&three);
    submit_three(&three);
    pthread_t waiter;
    start_thread(&waiter, feed_finish_and_say_so, &three);
    compute_until_done();
    join_thread(waiter);
}

TEST(same, thread_of_c11_waits_while_the_submitter_computes) {
    struct three three;
    prepare_three(&three);
    submit_three(&three);
    thrd_t waiter;
    CHECK_EQ(thrd_create(&waiter, feed_finish_and_say_so_c11, &three), thrd_success);
    compute_until_done();
    CHECK_EQ(thrd_join(waiter, NULL), thrd_success);
}

static void feed_finish_on_a_timer(union sigval value) { feed_finish_and_say_so(value.sival_ptr); }

/* A thread that no code of the program's makes. */
TEST(same, thread_of_a_timer_waits_while_the_submitter_computes) {
    struct three three;
    prepare_three(&three);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = &three};
    event.sigev_notify_function = feed_finish_on_a_timer;
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    submit_three(&three);
    struct itimerspec soon = {.it_value.tv_nsec = 20000000};
    CHECK_EQ(timer_settime(timer, 0, &soon, NULL), 0);
    compute_until_done();
    CHECK_EQ(timer_delete(timer), 0);
}

static void *poll_until_all_done(void *arg) {
    struct three *three = arg;
    feed_three(three);
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (int i = 0; i < 3; i++)
        while (aio_error(&three->cb[i]) == EINPROGRESS) CHECK(now_ms() < deadline);
    atomic_store(&done, 1);
    return NULL;
}

/* aio_error takes part in nothing: it must see the end without anybody's help. */
TEST(same, thread_polls_aio_error_while_the_submitter_sleeps) {
    struct three three;
    prepare_three(&three);
    submit_three(&three);
    pthread_t poller;
    start_thread(&poller, poll_until_all_done, &three);
    join_thread(poller);
    finish_three(&three);
}

static void note(union sigval value) {
    (void)value;
    atomic_fetch_add(&done, 1);
}

static void on_signal(int signal) {
    (void)signal;
    atomic_fetch_add(&done, 1);
}

/* The program never calls again: it expects to be told. */
TEST(same, thread_that_submitted_computes_until_it_is_notified) {
    SET_UP(sigaction(SIGRTMIN, &(struct sigaction){.sa_handler = on_signal}, NULL) == 0);
    for (int round = 0; round < 2; round++) {
        atomic_store(&done, 0);
        struct three three;
        prepare_three(&three);
        for (int i = 0; i < 3; i++) {
            three.cb[i].aio_sigevent = (struct sigevent){.sigev_notify = round ? SIGEV_THREAD : SIGEV_SIGNAL};
            if (round)
                three.cb[i].aio_sigevent.sigev_notify_function = note;
            else
                three.cb[i].aio_sigevent.sigev_signo = SIGRTMIN;
        }
        submit_three(&three);
        feed_three(&three);
        int64_t deadline = now_ms() + PATIENCE_MS;
        while (atomic_load(&done) < 3) CHECK(now_ms() < deadline);
        finish_three(&three);
    }
}

/* The end of a request is to be seen in the world, not only by who asks: a child waits for the data to move. */
TEST(same, thread_that_submitted_blocks_elsewhere_and_the_data_moves) {
    int question[2], answer[2];
    silent_pipe(question);
    silent_pipe(answer);
    enum { bytes = 1 << 20 };
    pid_t child = CHILD({
        char *buffer = malloc(bytes);
        size_t got = 0;
        while (got < bytes) { /* 1 MiB through a pipe of 64 KiB: the writer must be at work all the time */
            ssize_t n = read(question[0], buffer + got, bytes - got);
            CHECK(n > 0);
            got += (size_t)n;
        }
        check_pattern(buffer, bytes, 0);
        CHECK_EQ(write(answer[1], buffer, bytes), bytes); /* and here the reader */
    });
    enum { reads = 256, piece = 16384 }; /* enough even if each gets a page only */
    char *buffer = malloc(bytes), *back = malloc(reads * piece);
    static struct aiocb read_cb[reads];
    fill_pattern(buffer, bytes, 0);
    struct aiocb write_cb = REQUEST(question[1], buffer, bytes, 0);
    CHECK_EQ(aio_write(&write_cb), 0);
    for (int i = 0; i < reads; i++) {
        read_cb[i] = REQUEST(answer[0], back + i * piece, piece, 0);
        CHECK_EQ(aio_read(&read_cb[i]), 0);
    }
    child_succeeds(child);
    CHECK_EQ(close(answer[1]), 0);
    CHECK_EQ(finish(&write_cb), bytes);
    off_t at = 0;
    for (int i = 0; i < reads; i++) {
        ssize_t n = finish(&read_cb[i]);
        check_pattern(back + i * piece, (size_t)n, at);
        at += n;
    }
    CHECK_EQ(at, bytes);
}

struct waiter {
    pthread_t thread;
    const struct aiocb *list[3];
};

static void *suspend_for_ever(void *arg) {
    struct waiter *waiter = arg;
    int result;
    do {
        result = aio_suspend(waiter->list, 3, NULL);
    } while (result != 0 && errno == EINTR);
    CHECK_EQ(result, 0);
    atomic_fetch_add(&done, 1);
    return NULL;
}

TEST(same, thread_by_thread_all_waiters_on_one_request_wake) {
    for (int round = 0; round < 10; round++) {
        atomic_store(&done, 0);
        int ends[2];
        silent_pipe(ends);
        char buffer[8];
        struct aiocb cb = REQUEST(ends[0], buffer, 8, 0);
        CHECK_EQ(aio_read(&cb), 0);
        struct waiter waiter[32];
        for (int i = 0; i < 32; i++) {
            waiter[i] = (struct waiter){.list = {NULL, &cb, NULL}};
            start_thread(&waiter[i].thread, suspend_for_ever, &waiter[i]);
        }
        if (round % 2) sleep_ms(5); /* with and without all of them asleep */
        CHECK_EQ(write(ends[1], "for all", 7), 7);
        for (int i = 0; i < 32; i++) join_thread(waiter[i].thread);
        CHECK_EQ(finish(&cb), 7);
        CHECK_EQ(close(ends[0]), 0);
        CHECK_EQ(close(ends[1]), 0);
    }
}

/* Each waits for its own pipe, one that stays silent, and a file that is not done yet: only its own may wake it late. */
TEST(better, thread_by_thread_each_waits_for_a_list_of_its_own) {
    enum { threads = 24 };
    struct silent_reads reads; /* glibc's twenty threads are all taken */
    start_silent_reads(&reads);
    int silent[2], own[threads][2];
    silent_pipe(silent);
    char byte, bytes[threads];
    struct aiocb silent_cb = REQUEST(silent[0], &byte, 1, 0), own_cb[threads];
    CHECK_EQ(aio_read(&silent_cb), 0);
    struct waiter waiter[threads];
    for (int i = 0; i < threads; i++) {
        silent_pipe(own[i]);
        own_cb[i] = REQUEST(own[i][0], &bytes[i], 1, 0);
        CHECK_EQ(aio_read(&own_cb[i]), 0);
        waiter[i] = (struct waiter){.list = {&silent_cb, NULL, &own_cb[i]}};
        start_thread(&waiter[i].thread, suspend_for_ever, &waiter[i]);
    }
    sleep_ms(20);
    CHECK_EQ(atomic_load(&done), 0);
    for (int i = threads - 1; i >= 0; i--) {
        CHECK_EQ(write(own[i][1], "x", 1), 1);
        join_thread(waiter[i].thread);
        CHECK_EQ(finish(&own_cb[i]), 1);
    }
    CHECK_EQ(aio_error(&silent_cb), EINPROGRESS);
    CHECK_EQ(write(silent[1], "x", 1), 1);
    CHECK_EQ(finish(&silent_cb), 1);
    finish_silent_reads(&reads);
}

/* ---- cancelled threads ----------------------------------------------------------------------------------------- */

TEST(same, thread_is_cancelled_in_aio_suspend_and_the_request_goes_on) {
    for (TURNS(i, 50)) {
        struct three three;
        prepare_three(&three);
        CHECK_EQ(aio_read(&three.cb[0]), 0);
        CHECK_EQ(aio_read(&three.cb[1]), 0);
        struct waiter waiter = {.list = {&three.cb[0], NULL, &three.cb[1]}};
        start_thread(&waiter.thread, suspend_for_ever, &waiter);
        if (i % 2) sleep_ms(1);
        CHECK_EQ(pthread_cancel(waiter.thread), 0);
        void *result;
        CHECK_EQ(pthread_join(waiter.thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
        CHECK_EQ(aio_error(&three.cb[0]), EINPROGRESS);
        feed_three(&three);
        CHECK_EQ(aio_read(&three.cb[2]), 0);
        finish_three(&three);
    }
}

static void *submit_and_suspend_for_ever(void *arg) {
    int fd = *(int *)arg;
    /* Not of this stack: a request of a thread that is cancelled is still in flight when the stack is gone. */
    struct short_life *life = calloc(1, sizeof *life);
    SET_UP(life != NULL);
    for (;;) {
        life->cb = REQUEST(fd, life->buffer, BLOCK, 0);
        CHECK_EQ(aio_read(&life->cb), 0);
        const struct aiocb *list[1] = {&life->cb};
        while (aio_error(&life->cb) == EINPROGRESS) aio_suspend(list, 1, NULL);
        CHECK_EQ(finish(&life->cb), BLOCK);
        check_pattern(life->buffer, BLOCK, 0);
        pthread_testcancel(); /* aio_suspend is skipped when the data was at hand */
    }
    return NULL;
}

/* Cancelled anywhere: no lock may stay taken, nothing of a wait may stay behind. */
TEST(same, thread_after_thread_is_cancelled_at_work) {
    int fd = pattern_file("data", BLOCK);
    uint64_t random = 88172645463325252u;
    for (TURNS(i, 150)) {
        if (i % 4 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        pthread_t thread;
        start_thread(&thread, submit_and_suspend_for_ever, &fd);
        struct timespec pause = {0, (long)(next_random(&random) % 2000000)};
        nanosleep(&pause, NULL);
        CHECK_EQ(pthread_cancel(thread), 0);
        join_thread(thread);
    }
    char buffer[BLOCK];
    struct aiocb cb = REQUEST(fd, buffer, BLOCK, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), BLOCK);
}
