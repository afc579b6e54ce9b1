/*
 * The first request of a process, in the middle of which a signal handler makes another, or beside which other threads
 * make theirs. A process has one first request, so each try is a child.
 */
#include "hazards.h"

#include <sys/time.h>

/* ---- a handler ------------------------------------------------------------------------------------------------- */

static int fed[2];
static struct aiocb handler_cb;
static char handler_byte;
static volatile sig_atomic_t handled;

static void submit_in_handler(int signal) {
    (void)signal;
    int saved = errno;
    handler_cb = REQUEST(fed[0], &handler_byte, 1, 0);
    CHECK_EQ(aio_read(&handler_cb), 0);
    handled = 1;
    errno = saved;
}

static void expect(struct aiocb *cb) {
    const struct aiocb *list[1] = {cb};
    while (aio_suspend(list, 1, &(struct timespec){PATIENCE_MS / 1000, 0}) != 0) CHECK_EQ(errno, EINTR);
    CHECK_EQ(aio_error(cb), 0);
    CHECK_EQ(aio_return(cb), 1);
}

/* The handler runs so long after the beginning of the first call. */
static void interrupt_after(int us, int file) {
    int silent[2];
    char byte;
    silent_pipe(silent);
    silent_pipe(fed);
    handled = 0;
    struct aiocb cb = REQUEST(file < 0 ? silent[0] : file, &byte, 1, 0);
    CHECK_EQ(sigaction(SIGALRM, &(struct sigaction){.sa_handler = submit_in_handler}, NULL), 0);
    if (file >= 0) CHECK_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &(struct itimerval){.it_value.tv_usec = us}, NULL), 0);
    CHECK_EQ(aio_read(&cb), 0);
    EVENTUALLY(handled);
    if (file < 0) CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(write(fed[1], "x", 1), 1);
    expect(&handler_cb);
    CHECK_EQ(write(silent[1], "y", 1), 1);
    expect(&cb);
}

static void interrupt_the_first(int file) {
    int us = 1;
    for (int64_t end = now_ms() + 2000; us < 1000 && now_ms() < end; us += us < 400 ? 3 : 20)
        child_succeeds(CHILD(interrupt_after(us, file)));
    fprintf(stderr, "up to %d microseconds\n", us);
}

/* glibc's aio_read takes the lock that the interrupted one holds. */
TEST(ours, first_request_of_a_pipe_is_interrupted_by_a_handler_with_another) { interrupt_the_first(-1); }

TEST(ours, first_request_of_a_file_is_interrupted_by_a_handler_with_another) {
    interrupt_the_first(pattern_file("data", 4096));
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

enum { threads = 4 };
static pthread_barrier_t barrier;

static void *submit_first(void *arg) {
    uint64_t random = (uintptr_t)arg;
    int ends[2];
    char byte;
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], &byte, 1, 0);
    pthread_barrier_wait(&barrier);
    for (volatile uint64_t spin = next_random(&random) % 4096; spin > 0; spin--) {}
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    expect(&cb); /* one long sleep, so that a lost wake-up shows */
    return NULL;
}

static void submit_by_all(int turn) {
    pthread_t thread[threads];
    CHECK_EQ(pthread_barrier_init(&barrier, NULL, threads), 0);
    for (int i = 0; i < threads; i++)
        start_thread(&thread[i], submit_first, (void *)(uintptr_t)((turn * threads + i + 1) * 0x9e3779b9u));
    for (int i = 0; i < threads; i++) join_thread(thread[i]);
}

TEST(same, first_requests_of_several_threads_at_once) {
    int turn = 0;
    for (int64_t end = now_ms() + 1500; turn < 400 && now_ms() < end; turn++) child_succeeds(CHILD(submit_by_all(turn)));
}
