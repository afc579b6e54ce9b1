/*
 * libaio_check.h - what the tests of libaio share on top of check.h and hazards.h.
 *
 * Programs whose name begins with libaio_ are compiled against the system's <libaio.h> and run on the faces
 *     native             the system's libaio and the kernel's AIO: the oracle
 *     uring, epoll       ours, preloaded
 *     replaced           ours, in place of the file libaio.so.1
 *     linked             ours, by linking, without libaio
 * The classes of check.h speak of `native` here.
 */
#ifndef LIBAIO_CHECK_H
#define LIBAIO_CHECK_H

#include "hazards.h"

#include <libaio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BLOCK 4096

/* The call gives this value (libaio: a negative errno) and leaves errno alone (rule 1). */
#define CHECK_GIVES(CALL, VALUE)                                                                                       \
    do {                                                                                                               \
        errno = 4711;                                                                                                  \
        long long left_ = (long long)(CALL);                                                                           \
        int errno_ = errno;                                                                                            \
        long long right_ = (long long)(VALUE);                                                                         \
        if (left_ != right_) FAIL("%s gave %lld, not %s (%lld)", #CALL, left_, #VALUE, right_);                        \
        if (errno_ != 4711) FAIL("%s changed errno to %d", #CALL, errno_);                                             \
    } while (0)

/* A context for at least so many requests. */
HELPER io_context_t new_context(int requests) {
    io_context_t ctx = NULL;
    errno = 4711;
    int result = io_setup(requests, &ctx);
    if (result != 0 || ctx == NULL || errno != 4711)
        FAIL("io_setup(%d) gave %d, context %p, errno %d", requests, result, (void *)ctx, errno);
    return ctx;
}

HELPER struct iocb read_of(int fd, void *buffer, size_t bytes, long long offset) {
    struct iocb cb;
    io_prep_pread(&cb, fd, buffer, bytes, offset);
    return cb;
}

HELPER struct iocb write_of(int fd, const void *buffer, size_t bytes, long long offset) {
    struct iocb cb;
    io_prep_pwrite(&cb, fd, (void *)buffer, bytes, offset);
    return cb;
}

HELPER struct iocb poll_of(int fd, int events) {
    struct iocb cb;
    io_prep_poll(&cb, fd, events);
    return cb;
}

/* What the submission of this one gives: 1, or a negative errno. */
HELPER int submit(io_context_t ctx, struct iocb *cb) { return io_submit(ctx, 1, &cb); }

HELPER long result_of(const struct io_event *event) { return (long)event->res; }

/* Takes exactly so many completions, waiting for them. */
#define reap(CTX, COUNT, EVENTS) reap_at(__FILE__, __LINE__, (CTX), (COUNT), (EVENTS))

HELPER void reap_at(const char *file, int line, io_context_t ctx, long count, struct io_event *events) {
    int64_t deadline = now_ms() + PATIENCE_MS;
    for (long have = 0; have < count;) {
        struct timespec pause = {0, 100000000};
        int result = io_getevents(ctx, 1, count - have, events + have, &pause);
        if (result < 0 && result != -EINTR) leave(1, file, line, "io_getevents gave %d", result);
        if (result > count - have) leave(1, file, line, "io_getevents gave %d of %ld", result, count - have);
        if (result > 0) have += result;
        if (now_ms() > deadline) leave(1, file, line, "%ld of %ld came in %d ms", have, count, PATIENCE_MS);
    }
}

/* Nothing is there to be taken. */
HELPER void nothing_to_reap(io_context_t ctx) {
    struct io_event event;
    struct timespec now = {0, 0};
    CHECK_GIVES(io_getevents(ctx, 0, 1, &event, &now), 0);
}

/* The whole life of one request, alone in its context: its result. */
#define result_from(CTX, CB) result_from_at(__FILE__, __LINE__, (CTX), (CB))

HELPER long result_from_at(const char *file, int line, io_context_t ctx, struct iocb *cb) {
    int submitted = submit(ctx, cb);
    if (submitted != 1) leave(1, file, line, "io_submit gave %d", submitted);
    struct io_event event;
    reap_at(file, line, ctx, 1, &event);
    if (event.obj != cb) leave(1, file, line, "the completion is of %p, not of %p", (void *)event.obj, (void *)cb);
    if (event.res2 != 0) leave(1, file, line, "res2 is %ld", (long)event.res2);
    return result_of(&event);
}

/* Memory for O_DIRECT. */
HELPER void *aligned(size_t bytes) {
    void *memory = NULL;
    SET_UP(posix_memalign(&memory, BLOCK, bytes) == 0);
    memset(memory, 0, bytes);
    return memory;
}

/* The same file without the page cache. */
HELPER int open_direct(const char *name) {
    int fd = open(name, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL) SKIP("no O_DIRECT on this file system");
    SET_UP(fd >= 0);
    return fd;
}

/* Nothing of the file is in the page cache any more. */
HELPER void uncache(int fd) {
    SET_UP(fsync(fd) == 0);
    SET_UP(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

/* The context works: a read of the file comes back with its data. */
#define context_works(CTX, FD) context_works_at(__FILE__, __LINE__, (CTX), (FD))

HELPER void context_works_at(const char *file, int line, io_context_t ctx, int fd) {
    char buffer[512];
    struct iocb cb = read_of(fd, buffer, sizeof buffer, 100);
    long result = result_from_at(file, line, ctx, &cb);
    if (result != (long)sizeof buffer) leave(1, file, line, "the read gave %ld", result);
    check_pattern_at(file, line, buffer, sizeof buffer, 100);
}

#endif
