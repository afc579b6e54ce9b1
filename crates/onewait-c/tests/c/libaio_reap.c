/* A program such as mariadbd: it sets up and submits by libaio, and takes completions by the system call. */
#include "check.h"

#include <libaio.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { block = 16384, requests = 64, rounds = 30 };

static io_context_t ctx;
static char memory[requests][block];
static struct iocb cbs[requests];
static atomic_int taken;

static void *take(void *arg) {
    (void)arg;
    struct io_event events[16];
    for (;;) {
        struct timespec time = {0, 500000000};
        long result = syscall(SYS_io_getevents, ctx, 1L, 16L, events, &time);
        if (result < 0) {
            CHECK(errno == EINVAL || errno == EINTR);
            if (errno == EINVAL) return NULL; /* the context is gone */
        }
        for (long i = 0; i < result; i++) CHECK_EQ(events[i].res, block);
        if (result > 0) taken += (int)result;
    }
}

TEST(same, completions_come_by_the_system_call) {
    pthread_t thread;
    int fd = pattern_file("data", requests * block);
    CHECK_EQ(io_setup(requests, &ctx), 0);
    SET_UP(pthread_create(&thread, NULL, take, NULL) == 0);
    for (int round = 0; round < rounds; round++) {
        if (round % 10 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        taken = 0;
        for (int i = 0; i < requests; i++) {
            struct iocb *list[] = {&cbs[i]};
            if (round % 2)
                io_prep_pread(&cbs[i], fd, memory[i], block, i * block);
            else
                io_prep_pwrite(&cbs[i], fd, memory[i], block, i * block);
            if (round % 2 == 0) fill_pattern(memory[i], block, i * block);
            CHECK_EQ(io_submit(ctx, 1, list), 1);
        }
        EVENTUALLY(taken == requests);
        for (int i = 0; i < requests; i++) check_pattern(memory[i], block, i * block);
    }
    CHECK_EQ(io_destroy(ctx), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
