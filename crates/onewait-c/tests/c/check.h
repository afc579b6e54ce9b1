/*
 * check.h - what every test program in this directory is made of.
 *
 *     #include "check.h"
 *
 *     TEST(same, rule_09_zero_bytes_give_zero) {
 *         int fd = pattern_file("data", 4096);
 *         struct aiocb cb = REQUEST(fd, buffer, 0, 0);
 *         CHECK_EQ(aio_read(&cb), 0);
 *         CHECK_EQ(wait_for(&cb), 0);
 *         CHECK_EQ(aio_return(&cb), 0);
 *     }
 *
 * `program --list` prints one line a test, "name class"; `program name` runs that test alone: exit status 0 is a
 * pass, 77 a skip, 78 a situation that could not be set up (SET_UP), everything else and every signal a failure. Each
 * test has a process and an empty current directory on a disk of its own, so it may leave files, threads, handlers and
 * limits as they are.
 *
 * The class says what the system's own AIO does with the test:
 *     same    it passes there too (it is the oracle)
 *     better  it must NOT pass there: the behaviour is an improvement of ours. Where it fails by a race it may pass now
 *             and then, but not five times in a row
 *     ours    it is not run there
 *
 * <aio.h> declares most functions "leaf", which lets the compiler keep static variables in registers across a call.
 * Whatever a handler or a notification thread writes must be volatile or atomic.
 */
#ifndef CHECK_H
#define CHECK_H

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Not every program uses every helper. */
#define HELPER static __attribute__((unused))

/* ---- registration ---------------------------------------------------------------------------------------------- */

struct test {
    const char *name;
    const char *class;
    void (*run)(void);
    struct test *next;
};

static struct test *first_test, **last_test = &first_test;

enum class { class_same, class_better, class_ours };

#define TEST(CLASS, NAME)                                                                                              \
    static void NAME(void);                                                                                            \
    __attribute__((constructor)) static void register_##NAME(void) {                                                   \
        static struct test test = {#NAME, #CLASS, NAME, NULL};                                                         \
        (void)class_##CLASS; /* an unknown class does not compile */                                                   \
        *last_test = &test;                                                                                            \
        last_test = &test.next;                                                                                        \
    }                                                                                                                  \
    static void NAME(void)

/* ---- checks ---------------------------------------------------------------------------------------------------- */

/* Ends the process at once, from any thread, child or signal handler, so that the first failure is the one shown. */
__attribute__((noreturn, format(printf, 4, 5))) HELPER void leave(int status, const char *file, int line,
                                                                  const char *format, ...) {
    char text[1024];
    int n = snprintf(text, sizeof text, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(text + n, sizeof text - (size_t)n - 1, format, args);
    va_end(args);
    n += m < (int)sizeof text - n - 1 ? m : (int)sizeof text - n - 2;
    text[n++] = '\n';
    if (write(2, text, (size_t)n) < 0) _exit(1);
    _exit(status);
}

#define FAIL(...) leave(1, __FILE__, __LINE__, __VA_ARGS__)

/* For what a test needs before it can ask anything of an AIO: a failure of it is an error on every face, also on glibc
 * in a test that must not pass there. */
#define SET_UP(CONDITION)                                                                                              \
    do {                                                                                                               \
        if (!(CONDITION)) leave(78, __FILE__, __LINE__, "cannot set up: %s (errno is %d)", #CONDITION, errno);         \
    } while (0)

/* Gives up without a verdict, where the system lacks what the test needs. */
#define SKIP(...) leave(77, __FILE__, __LINE__, __VA_ARGS__)

#define CHECK(CONDITION)                                                                                               \
    do {                                                                                                               \
        if (!(CONDITION)) FAIL("not true: %s (errno is %d)", #CONDITION, errno);                                       \
    } while (0)

#define CHECK_EQ(LEFT, RIGHT)                                                                                          \
    do {                                                                                                               \
        long long left_ = (long long)(LEFT);                                                                           \
        int errno_ = errno;                                                                                            \
        long long right_ = (long long)(RIGHT);                                                                         \
        if (left_ != right_)                                                                                           \
            FAIL("%s is %lld, but %s is %lld (errno is %d)", #LEFT, left_, #RIGHT, right_, errno_);                    \
    } while (0)

/* The call fails the way most calls fail: -1, and the reason in errno. */
#define CHECK_ERRNO(CALL, ERROR)                                                                                       \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long long result_ = (long long)(CALL);                                                                         \
        int errno_ = errno;                                                                                            \
        if (result_ != -1 || errno_ != (ERROR))                                                                        \
            FAIL("%s gave %lld with errno %d, not -1 with %s", #CALL, result_, errno_, #ERROR);                        \
    } while (0)

/* ---- time ------------------------------------------------------------------------------------------------------ */

/* Longer than anything here takes on a busy machine, shorter than the harness's own limit (20 s). */
#define PATIENCE_MS 10000

HELPER int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sleeps that long, however many signals interrupt it. */
HELPER void sleep_ms(int64_t ms) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec += 1;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {}
}

/* Waits until the condition holds; fails if it still does not after PATIENCE_MS. */
#define EVENTUALLY(CONDITION)                                                                                          \
    do {                                                                                                               \
        int64_t deadline_ = now_ms() + PATIENCE_MS;                                                                    \
        while (!(CONDITION)) {                                                                                         \
            if (now_ms() > deadline_) FAIL("still not true after %d ms: %s", PATIENCE_MS, #CONDITION);                 \
            sleep_ms(1);                                                                                               \
        }                                                                                                              \
    } while (0)

/* ---- requests -------------------------------------------------------------------------------------------------- */

/* A control block that asks for no notification. (A zeroed one asks for signal 0.) */
#define REQUEST(FD, BUFFER, BYTES, OFFSET)                                                                             \
    ((struct aiocb){.aio_fildes = (FD),                                                                                \
                    .aio_buf = (BUFFER),                                                                               \
                    .aio_nbytes = (BYTES),                                                                             \
                    .aio_offset = (OFFSET),                                                                            \
                    .aio_sigevent.sigev_notify = SIGEV_NONE})

/* Waits for the end of a request and gives its status; the test fails if there is no end. */
#define wait_for(CB) wait_for_at(__FILE__, __LINE__, (CB))

HELPER int wait_for_at(const char *file, int line, const struct aiocb *cb) {
    int64_t deadline = now_ms() + PATIENCE_MS;
    const struct aiocb *list[1] = {cb};
    int status;
    while ((status = aio_error(cb)) == EINPROGRESS) {
        struct timespec pause = {0, 100000000};
        if (aio_suspend(list, 1, &pause) != 0 && errno != EAGAIN && errno != EINTR)
            leave(1, file, line, "aio_suspend: errno is %d", errno);
        if (now_ms() > deadline) leave(1, file, line, "the request is still in progress after %d ms", PATIENCE_MS);
    }
    return status;
}

/* The whole life of a request that succeeds: waits, checks, and gives its result. */
#define finish(CB) finish_at(__FILE__, __LINE__, (CB))

HELPER ssize_t finish_at(const char *file, int line, struct aiocb *cb) {
    int status = wait_for_at(file, line, cb);
    if (status != 0) leave(1, file, line, "the request failed with %d, %s", status, strerror(status));
    return aio_return(cb);
}

/* ---- files ----------------------------------------------------------------------------------------------------- */

/* The byte that a pattern file has at an offset: no period that divides a page or a sector. */
HELPER unsigned char pattern_at(off_t offset) {
    uint64_t x = (uint64_t)offset * 0x9e3779b97f4a7c15u;
    return (unsigned char)(x >> 56 ^ x >> 31);
}

HELPER void fill_pattern(void *buffer, size_t bytes, off_t offset) {
    unsigned char *p = buffer;
    for (size_t i = 0; i < bytes; i++) p[i] = pattern_at(offset + (off_t)i);
}

#define check_pattern(BUFFER, BYTES, OFFSET) check_pattern_at(__FILE__, __LINE__, (BUFFER), (BYTES), (OFFSET))

HELPER void check_pattern_at(const char *file, int line, const void *buffer, size_t bytes, off_t offset) {
    const unsigned char *p = buffer;
    for (size_t i = 0; i < bytes; i++)
        if (p[i] != pattern_at(offset + (off_t)i))
            leave(1, file, line, "byte %zu (offset %lld) is %02x, not %02x", i, (long long)offset + (long long)i, p[i],
                  pattern_at(offset + (off_t)i));
}

/* A file in the test's own directory, full of the pattern, on the disk (so that DONTNEED empties the cache), open for
 * reading and writing, its position at 0. */
HELPER int pattern_file(const char *name, size_t bytes) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    SET_UP(fd >= 0);
    size_t piece = bytes < 1 << 20 ? bytes : 1 << 20;
    char *buffer = malloc(piece + 1);
    SET_UP(buffer != NULL);
    for (size_t at = 0; at < bytes;) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        fill_pattern(buffer, n, (off_t)at);
        SET_UP(pwrite(fd, buffer, n, (off_t)at) == (ssize_t)n);
        at += n;
    }
    free(buffer);
    SET_UP(fsync(fd) == 0);
    return fd;
}

/* A pipe in which nothing happens until the test says so: reads from pipe[0] stay in flight. */
HELPER void silent_pipe(int pipe_ends[2]) { SET_UP(pipe2(pipe_ends, O_CLOEXEC) == 0); }

/* A read that does not end until the test writes to blocked_ends[1]. */
HELPER struct aiocb blocked;
HELPER int blocked_ends[2];

HELPER void start_blocked(void) {
    static char byte;
    silent_pipe(blocked_ends);
    blocked = REQUEST(blocked_ends[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&blocked), 0);
}

/* ---- processes ------------------------------------------------------------------------------------------------- */

/* How long the kernel may take to give back the ring of a process that has ended. Until then it counts against its user's
 * RLIMIT_MEMLOCK, of which a hundred rings take all that is usual; root is not bound by it. */
#define RING_FREED_MS (getuid() == 0 ? 0 : 20)

/* Waits for a child and checks that it exited with 0. A failed check in a child has already printed itself. */
#define child_succeeds(PID) child_succeeds_at(__FILE__, __LINE__, (PID))

HELPER void child_succeeds_at(const char *file, int line, pid_t pid) {
    int status;
    int64_t deadline = now_ms() + PATIENCE_MS;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (now_ms() > deadline) {
            kill(pid, SIGKILL);
            leave(1, file, line, "the child still runs after %d ms", PATIENCE_MS);
        }
        sleep_ms(1);
    }
    if (got != pid) leave(1, file, line, "waitpid: errno is %d", errno);
    if (WIFSIGNALED(status)) leave(1, file, line, "the child died of signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 78) _exit(WEXITSTATUS(status));
    if (WEXITSTATUS(status) != 0) leave(1, file, line, "the child exited with %d", WEXITSTATUS(status));
    sleep_ms(RING_FREED_MS);
}

/* ---- main ------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (struct test *t = first_test; t != NULL; t = t->next) printf("%s %s\n", t->name, t->class);
        return 0;
    }
    /* A test that is meant to crash somewhere need not leave a core. */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    for (struct test *t = first_test; argc == 2 && t != NULL; t = t->next)
        if (strcmp(t->name, argv[1]) == 0) {
            t->run();
            return 0;
        }
    fprintf(stderr, "usage: %s --list | TEST\n", argv[0]);
    return 2;
}

#endif
