/*
 * The first request of a process, beside which other threads make theirs. A process has one first request, so each try is
 * a child.
 */
#include "hazards.h"

enum { threads = 4 };
static pthread_barrier_t barrier;

static void expect(struct aiocb *cb) {
    const struct aiocb *list[1] = {cb};
    CHECK_EQ(aio_suspend(list, 1, &(struct timespec){PATIENCE_MS / 1000, 0}), 0);
    CHECK_EQ(aio_error(cb), 0);
    CHECK_EQ(aio_return(cb), 1);
}

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
