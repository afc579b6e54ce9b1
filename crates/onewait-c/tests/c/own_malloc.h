/*
 * own_malloc.h - an allocator of the program's, which tells whether calls take memory from it.
 *
 * A signal handler that has interrupted malloc finds its lock taken, by the thread that it runs on. What it may call even
 * then must not call malloc: AS_IN_MALLOC makes calls that would hang there fail here, each time.
 */
#ifndef OWN_MALLOC_H
#define OWN_MALLOC_H

#include "hazards.h"

/* glibc's own, behind the names that are taken over below. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* What this thread calls in the midst, as it were, of an allocation. (volatile: see check.h.) */
static __thread const char *volatile in_malloc;

static void be_asked(const char *function) {
    if (in_malloc) leave(1, __FILE__, __LINE__, "%s calls %s", in_malloc, function);
}

void *malloc(size_t bytes) {
    be_asked("malloc");
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    be_asked("calloc");
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes) {
    be_asked("realloc");
    return __libc_realloc(memory, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    be_asked("posix_memalign");
    *memory = __libc_memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

void *memalign(size_t alignment, size_t bytes) {
    be_asked("memalign");
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    be_asked("aligned_alloc");
    return __libc_memalign(alignment, bytes);
}

void free(void *memory) {
    if (memory) be_asked("free");
    __libc_free(memory);
}

/* The value of a call that may be made by a handler that has interrupted malloc. */
#define AS_IN_MALLOC(CALL)                                                                                             \
    ({                                                                                                                 \
        in_malloc = #CALL;                                                                                             \
        __auto_type value_ = (CALL);                                                                                   \
        in_malloc = NULL;                                                                                              \
        value_;                                                                                                        \
    })

#endif
