/* No call takes memory from the program's malloc, so that handlers may make them that have interrupted it. */
#include "own_malloc.h"

enum { BLOCK = 4096, MANY = 600 };

static int cached, uncached, written;
static char blocks[MANY][BLOCK];
static struct aiocb cbs[MANY];

/* A list for which the call waits, and one for which it does not. */
static void make_lists(void) {
    struct aiocb *list[MANY];
    for (int i = 0; i < MANY; i++) {
        list[i] = &cbs[i];
        cbs[i] = REQUEST(i % 2 ? uncached : written, blocks[i], BLOCK, i / 2 % 64 * BLOCK);
        cbs[i].aio_lio_opcode = i % 2 ? LIO_READ : LIO_WRITE;
    }
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    CHECK_EQ(AS_IN_MALLOC(lio_listio(LIO_WAIT, list, MANY / 2, NULL)), 0);
    CHECK_EQ(AS_IN_MALLOC(lio_listio(LIO_NOWAIT, list + MANY / 2, MANY / 2, &none)), 0);
    for (int i = 0; i < MANY; i++) CHECK_EQ(finish(&cbs[i]), BLOCK);
}

static void make(int count) {
    static const struct aiocb *list[MANY];
    for (int i = 0; i < count; i++) {
        int fd = i % 3 == 0 ? cached : i % 3 == 1 ? uncached : written;
        cbs[i] = REQUEST(fd, blocks[i], BLOCK, i / 3 % 64 * BLOCK);
        list[i] = &cbs[i];
        CHECK_EQ(i % 3 == 2 ? AS_IN_MALLOC(aio_write(&cbs[i])) : AS_IN_MALLOC(aio_read(&cbs[i])), 0);
    }
    struct aiocb sync = REQUEST(written, NULL, 0, 0);
    CHECK_EQ(AS_IN_MALLOC(aio_fsync(O_DSYNC, &sync)), 0);
    for (int i = 0; i < count; i++) {
        while (AS_IN_MALLOC(aio_error(&cbs[i])) == EINPROGRESS) {
            struct timespec pause = {0, 100000000};
            int woken = AS_IN_MALLOC(aio_suspend(&list[i], count - i, &pause));
            CHECK(woken == 0 || errno == EAGAIN);
        }
        CHECK_EQ(AS_IN_MALLOC(aio_return(&cbs[i])), BLOCK);
    }
    CHECK_EQ(wait_for(&sync), 0);
    CHECK_EQ(AS_IN_MALLOC(aio_cancel(cached, NULL)), AIO_ALLDONE);
}

TEST(better, no_call_takes_memory_from_malloc) {
    cached = pattern_file("cached", 64 * BLOCK);
    uncached = pattern_file("uncached", 64 * BLOCK);
    written = pattern_file("written", 64 * BLOCK);
    SET_UP(fsync(uncached) == 0);
    /* But the first requests of a process may make threads, and pthread_create takes some. All of them now: */
    SET_UP(setenv("ONEWAIT_COPIER", "always", 1) == 0);
    for (int i = 0; i < 3; i++) {
        SET_UP(posix_fadvise(uncached, 0, 0, POSIX_FADV_DONTNEED) == 0);
        cbs[i] = REQUEST(i == 0 ? cached : i == 1 ? uncached : written, blocks[i], BLOCK, 0);
        CHECK_EQ(i == 2 ? aio_write(&cbs[i]) : aio_read(&cbs[i]), 0);
        CHECK_EQ(finish(&cbs[i]), BLOCK);
    }
    struct aiocb sync = REQUEST(written, NULL, 0, 0);
    CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
    CHECK_EQ(wait_for(&sync), 0);
    sleep_ms(50);
    for (int round = 0; round < 3; round++) {
        SET_UP(posix_fadvise(uncached, 0, 0, POSIX_FADV_DONTNEED) == 0);
        make(MANY);
        SET_UP(posix_fadvise(uncached, 0, 0, POSIX_FADV_DONTNEED) == 0);
        make_lists();
    }
}
