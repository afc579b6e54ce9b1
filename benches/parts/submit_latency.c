/*
 * submit_latency file|pipe FILE: how long a call of io_submit with one read takes; prints as JSON, in µs, the first call,
 * in which something may have to be started, and p50, p99 and the longest of the others.
 *
 * file: random blocks of FILE, of which nothing is cached, with 128 in flight.
 * pipe: a pipe into which another process writes a byte every 10 ms, with one read in flight.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { block = 4096, depth = 128, most = 4000 };

static double took[most];

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what, int error) {
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* One read, timed. */
static void submit(io_context_t ctx, struct iocb *cb, int number) {
    double begin = now_us();
    int result = io_submit(ctx, 1, &cb);
    took[number] = now_us() - begin;
    if (result != 1) fail("io_submit", -result);
}

static void take(io_context_t ctx, int least) {
    struct io_event events[depth];
    int result;
    while ((result = io_getevents(ctx, least, least, events, NULL)) == -EINTR) {}
    if (result != least) fail("io_getevents", -result);
    for (int i = 0; i < result; i++)
        if ((long)events[i].res <= 0) fail("a read", -(int)events[i].res);
}

static int on_file(io_context_t ctx, const char *name) {
    static char memory[depth][block];
    static struct iocb cbs[depth];
    int fd = open(name, O_RDONLY);
    if (fd < 0) fail(name, errno);
    off_t blocks = lseek(fd, 0, SEEK_END) / block;
    if (blocks < 1) fail(name, EINVAL);
    fsync(fd);
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t state = 88172645463325252u;
    for (int i = 0; i < most; i++) {
        if (i >= depth) take(ctx, 1);
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        /* A place in the ring of blocks may still be in flight: it is only read into, and nobody looks. */
        io_prep_pread(&cbs[i % depth], fd, memory[i % depth], block, (long long)(state % (uint64_t)blocks) * block);
        submit(ctx, &cbs[i % depth], i);
    }
    take(ctx, depth);
    return most;
}

static int on_pipe(io_context_t ctx) {
    enum { reads = 100 };
    static char byte;
    struct iocb cb;
    int ends[2];
    if (pipe(ends) != 0) fail("pipe", errno);
    pid_t writer = fork();
    if (writer < 0) fail("fork", errno);
    if (writer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 0; i < reads; i++) {
            usleep(10000);
            if (write(ends[1], "x", 1) != 1) _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < reads; i++) {
        io_prep_pread(&cb, ends[0], &byte, 1, 0);
        submit(ctx, &cb, i);
        take(ctx, 1);
    }
    return reads;
}

int main(int argc, char **argv) {
    io_context_t ctx = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: %s file|pipe FILE\n", argv[0]);
        return 2;
    }
    int result = io_setup(depth, &ctx);
    if (result != 0) fail("io_setup", -result);
    int count = strcmp(argv[1], "pipe") == 0 ? on_pipe(ctx) : on_file(ctx, argv[2]);
    qsort(took + 1, (size_t)--count, sizeof *took, ascending);
    printf("{\"first\": %.3f, \"p50\": %.3f, \"p99\": %.3f, \"max\": %.3f}\n", took[0], took[1 + count / 2],
           took[1 + count * 99 / 100], took[count]);
    return 0;
}
