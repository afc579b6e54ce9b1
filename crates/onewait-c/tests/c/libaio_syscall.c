/*
 * Programs that go past libaio: syscall(SYS_io_setup, …) and the other numbers, alone and mixed with the library's calls;
 * and that all other numbers pass through syscall() as if nobody stood there.
 */
#include "libaio_check.h"

#include <sys/stat.h>
#include <sys/syscall.h>

static char buffer[BLOCK];

static long raw_setup(unsigned requests, io_context_t *ctx) { return syscall(SYS_io_setup, requests, ctx); }
static long raw_destroy(io_context_t ctx) { return syscall(SYS_io_destroy, ctx); }
static long raw_submit(io_context_t ctx, long n, struct iocb **list) { return syscall(SYS_io_submit, ctx, n, list); }
static long raw_cancel(io_context_t ctx, struct iocb *cb, struct io_event *event) {
    return syscall(SYS_io_cancel, ctx, cb, event);
}
static long raw_getevents(io_context_t ctx, long least, long most, struct io_event *events, struct timespec *time) {
    return syscall(SYS_io_getevents, ctx, least, most, events, time);
}
/* The set's size is the kernel's. */
struct mask {
    const sigset_t *set;
    size_t bytes;
};
static long raw_pgetevents(io_context_t ctx, long least, long most, struct io_event *events, struct timespec *time,
                           const struct mask *mask) {
    return syscall(SYS_io_pgetevents, ctx, least, most, events, time, mask);
}

TEST(same, syscall_serves_a_whole_life) {
    io_context_t ctx = NULL;
    int fd = pattern_file("data", 64 * BLOCK), ends[2];
    silent_pipe(ends);
    CHECK_EQ(raw_setup(16, &ctx), 0);
    CHECK(ctx != NULL);
    struct iocb cbs[3] = {read_of(fd, buffer, BLOCK, BLOCK), poll_of(ends[0], POLLIN), write_of(fd, "w", 1, 1 << 20)};
    struct iocb *list[] = {&cbs[0], &cbs[1], &cbs[2]};
    struct io_event events[3];
    CHECK_EQ(raw_submit(ctx, 3, list), 3);
    CHECK_EQ(raw_getevents(ctx, 2, 3, events, NULL), 2);
    check_pattern(buffer, BLOCK, BLOCK);
    CHECK_EQ(raw_getevents(ctx, 0, 3, events, NULL), 0);
    CHECK_EQ(raw_pgetevents(ctx, 1, 3, events, &(struct timespec){0, 1000000}, NULL), 0);
    CHECK_ERRNO(raw_cancel(ctx, &cbs[1], events), EINPROGRESS);
    CHECK_EQ(raw_getevents(ctx, 1, 1, events, NULL), 1);
    CHECK(events[0].obj == &cbs[1] && events[0].res == 0);
    CHECK_EQ(raw_destroy(ctx), 0);
    CHECK_ERRNO(raw_destroy(ctx), EINVAL);
}

TEST(same, syscall_tells_errors_by_errno) {
    io_context_t ctx = NULL;
    struct iocb cb = read_of(-1, buffer, 1, 0), *list[] = {&cb}, *empty[] = {NULL};
    struct io_event event;
    CHECK_ERRNO(raw_setup(0, &ctx), EINVAL);
    CHECK_ERRNO(raw_setup(1u << 30, &ctx), EINVAL);
    CHECK_ERRNO(raw_setup(8, NULL), EFAULT);
    CHECK_EQ(raw_setup(8, &ctx), 0);
    CHECK_ERRNO(raw_setup(8, &ctx), EINVAL);
    CHECK_ERRNO(raw_submit(ctx, 1, list), EBADF);
    CHECK_ERRNO(raw_submit(ctx, -1, list), EINVAL);
    CHECK_ERRNO(raw_submit(ctx, 1, NULL), EFAULT);
    CHECK_ERRNO(raw_submit(ctx, 1, empty), EFAULT);
    CHECK_ERRNO(raw_getevents(ctx, 2, 1, &event, NULL), EINVAL);
    CHECK_ERRNO(raw_pgetevents(ctx, -1, 1, &event, NULL, NULL), EINVAL);
    CHECK_ERRNO(raw_cancel(ctx, &cb, &event), EINVAL);
    const uintptr_t wild[] = {0, 1, 4096, (uintptr_t)buffer, UINTPTR_MAX};
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) {
        io_context_t none = (io_context_t)wild[i];
        CHECK_ERRNO(raw_submit(none, 1, list), EINVAL);
        CHECK_ERRNO(raw_getevents(none, 1, 1, &event, NULL), EINVAL);
        CHECK_ERRNO(raw_pgetevents(none, 1, 1, &event, NULL, NULL), EINVAL);
        CHECK_ERRNO(raw_cancel(none, &cb, &event), EINVAL);
        CHECK_ERRNO(raw_destroy(none), EINVAL);
    }
    errno = 4711;
    CHECK_EQ(raw_submit(ctx, 0, list), 0);
    CHECK_EQ(errno, 4711); /* which a success leaves alone */
}

/* Unlike libaio's function, the kernel looks at the numbers before it looks into the ring. */
TEST(same, syscall_refuses_bad_numbers_on_an_empty_ring) {
    io_context_t ctx = new_context(8);
    struct io_event event;
    CHECK_ERRNO(raw_getevents(ctx, 2, 1, &event, &(struct timespec){0, 0}), EINVAL);
    CHECK_ERRNO(raw_getevents(ctx, -1, 1, &event, &(struct timespec){0, 0}), EINVAL);
}

static void do_nothing(int signal) { (void)signal; }

TEST(same, syscall_pgetevents_takes_a_mask) {
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing}, NULL) == 0);
    sigset_t blocked, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    SET_UP(pthread_sigmask(SIG_SETMASK, &blocked, NULL) == 0);
    io_context_t ctx = new_context(8);
    struct io_event event;
    struct timespec soon = {0, 10000000}, late = {100, 0};
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raw_pgetevents(ctx, 1, 1, &event, &soon, NULL), 0);
    CHECK_EQ(raw_pgetevents(ctx, 1, 1, &event, &soon, &(struct mask){&blocked, 8}), 0);
    CHECK_EQ(raw_pgetevents(ctx, 1, 1, &event, &soon, &(struct mask){NULL, 0}), 0);
    CHECK_ERRNO(raw_pgetevents(ctx, 1, 1, &event, &soon, &(struct mask){&none, 16}), EINVAL);
    CHECK_ERRNO(raw_pgetevents(ctx, 1, 1, &event, &late, &(struct mask){&none, 8}), EINTR);
}

/* Both ways on one context, each call by either. */
TEST(same, syscall_and_library_mix) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2];
    silent_pipe(ends);
    for (unsigned ways = 0; ways < 64; ways++) {
        io_context_t ctx = NULL;
        struct iocb cbs[2] = {read_of(fd, buffer, BLOCK, ways % 64 * BLOCK), poll_of(ends[0], POLLIN)};
        struct iocb *list[] = {&cbs[0], &cbs[1]};
        struct io_event events[2];
        CHECK_EQ(ways & 1 ? raw_setup(8, &ctx) : io_setup(8, &ctx), 0);
        CHECK_EQ(ways & 2 ? raw_submit(ctx, 2, list) : io_submit(ctx, 2, list), 2);
        CHECK_EQ(ways & 4 ? raw_getevents(ctx, 1, 2, events, NULL) : io_getevents(ctx, 1, 2, events, NULL), 1);
        CHECK(events[0].obj == &cbs[0] && events[0].res == BLOCK);
        check_pattern(buffer, BLOCK, ways % 64 * BLOCK);
        long said = ways & 8 ? raw_cancel(ctx, &cbs[1], events) : io_cancel(ctx, &cbs[1], events);
        CHECK(said < 0);
        struct timespec time = {PATIENCE_MS / 1000, 0};
        CHECK_EQ(ways & 16 ? raw_pgetevents(ctx, 1, 2, events, &time, NULL)
                           : io_pgetevents(ctx, 1, 2, events, &time, NULL), 1);
        CHECK(events[0].obj == &cbs[1] && events[0].res == 0);
        CHECK_EQ(ways & 32 ? raw_destroy(ctx) : io_destroy(ctx), 0);
    }
}

TEST(same, syscall_children_have_no_part_in_the_context) {
    io_context_t ctx = NULL;
    int fd = pattern_file("data", BLOCK);
    CHECK_EQ(raw_setup(8, &ctx), 0);
    context_works(ctx, fd);
    child_succeeds(CHILD({
        struct iocb cb = read_of(fd, buffer, 1, 0), *list[] = {&cb};
        struct io_event event;
        CHECK_ERRNO(raw_submit(ctx, 1, list), EINVAL);
        CHECK_ERRNO(raw_getevents(ctx, 1, 1, &event, NULL), EINVAL);
        CHECK_ERRNO(raw_destroy(ctx), EINVAL);
        ctx = NULL;
        CHECK_EQ(raw_setup(8, &ctx), 0);
        context_works(ctx, fd);
    }));
    context_works(ctx, fd);
}

TEST(same, syscall_reads_through_the_page_cache_are_right) {
    enum { requests = 64 };
    io_context_t ctx = NULL;
    int fd = pattern_file("data", requests * BLOCK);
    char *memory = aligned(requests * BLOCK);
    CHECK_EQ(raw_setup(requests, &ctx), 0);
    uncache(fd);
    static struct iocb cbs[requests];
    struct iocb *list[requests];
    struct io_event events[requests];
    for (int i = 0; i < requests; i++) {
        cbs[i] = read_of(fd, memory + i * BLOCK, BLOCK, i * BLOCK);
        list[i] = &cbs[i];
    }
    CHECK_EQ(raw_submit(ctx, requests, list), requests);
    CHECK_EQ(raw_getevents(ctx, requests, requests, events, NULL), requests);
    check_pattern(memory, requests * BLOCK, 0);
    CHECK_EQ(raw_destroy(ctx), 0);
}

/* ---- everything else ------------------------------------------------------------------------------------------- */

TEST(same, syscall_passes_others_through) {
    CHECK_EQ(syscall(SYS_getpid), getpid());
    CHECK_EQ(syscall(SYS_getppid), getppid());
    int fd = pattern_file("data", 4 * BLOCK);
    CHECK_EQ(syscall(SYS_pread64, fd, buffer, (size_t)BLOCK, (off_t)BLOCK), BLOCK); /* four arguments */
    check_pattern(buffer, BLOCK, BLOCK);
    off_t from = 2 * BLOCK, to = 0; /* six */
    int out = open("copy", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(syscall(SYS_copy_file_range, fd, &from, out, &to, (size_t)BLOCK, 0u), BLOCK);
    CHECK_EQ(pread(out, buffer, BLOCK, 0), BLOCK);
    check_pattern(buffer, BLOCK, 2 * BLOCK);
    CHECK_EQ(from, 3 * BLOCK);
}

/* The sixth argument arrives, and an address comes back whole. */
TEST(same, syscall_passes_six_arguments) {
    int fd = pattern_file("data", 4 * BLOCK);
    for (int page = 0; page < 4; page++) {
        void *memory = (void *)syscall(SYS_mmap, NULL, (size_t)BLOCK, PROT_READ, MAP_PRIVATE, fd, (off_t)page * BLOCK);
        CHECK(memory != MAP_FAILED);
        check_pattern(memory, BLOCK, page * BLOCK);
        CHECK_EQ(syscall(SYS_munmap, memory, (size_t)BLOCK), 0);
    }
    CHECK_ERRNO(syscall(SYS_mmap, NULL, (size_t)BLOCK, PROT_READ, MAP_PRIVATE, fd, (off_t)1), EINVAL);
    int word = 0;
    struct timespec soon = {0, 1000000};
    CHECK_ERRNO(syscall(SYS_futex, &word, 9 /* WAIT_BITSET */, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_futex, &word, 0 /* WAIT */, 0, &soon, NULL, 0), ETIMEDOUT);
    CHECK_ERRNO(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, (void *)8), EFAULT);
}

TEST(same, syscall_passes_errors) {
    CHECK_ERRNO(syscall(SYS_close, -1), EBADF);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, "not/there", O_RDONLY, 0), ENOENT);
    CHECK_ERRNO(syscall(100000), ENOSYS);
    CHECK_ERRNO(syscall(-1L), ENOSYS);
    CHECK_ERRNO(syscall(SYS_read, 0, (void *)8, (size_t)-1), EFAULT);
    errno = 4711;
    CHECK_EQ(syscall(SYS_umask, 022), umask(022));
    CHECK_EQ(errno, 4711);
}

/* Neighbours of the numbers that are served. */
TEST(same, syscall_passes_the_neighbours) {
    unsigned long set[16];
    CHECK(syscall(SYS_sched_getaffinity, 0, sizeof set, set) > 0);
    CHECK_ERRNO(syscall(SYS_lookup_dcookie, 0, NULL, (size_t)0), ENOSYS);
    CHECK(syscall(SYS_epoll_create1, 0) >= 0);
    unsigned seen = 0;
    CHECK(syscall(SYS_statx, AT_FDCWD, ".", 0, STATX_MODE, buffer) == 0);
    CHECK_ERRNO(syscall(SYS_rseq, NULL, 0u, 0, seen), EINVAL);
}

TEST(same, syscall_forks) {
#ifdef SYS_fork
    pid_t pid = (pid_t)syscall(SYS_fork);
    SET_UP(pid >= 0);
    if (pid == 0) syscall(SYS_exit_group, 0);
    child_succeeds(pid);
#else
    SKIP("there is no such number here");
#endif
}

/* From a handler, too, which may have interrupted it. */
static volatile sig_atomic_t handled, stop;

static void ask_for_the_process(int signal) {
    (void)signal;
    int before = errno;
    if (syscall(SYS_getpid) > 0) handled++;
    errno = before;
}

static void *signal_often(void *target) {
    while (!stop) {
        pthread_kill(*(pthread_t *)target, SIGUSR1);
        sleep_ms(1);
    }
    return NULL;
}

TEST(same, syscall_works_in_a_handler) {
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = ask_for_the_process, .sa_flags = SA_RESTART}, 0) == 0);
    pthread_t self = pthread_self(), thread;
    io_context_t ctx = NULL;
    int fd = pattern_file("data", BLOCK);
    CHECK_EQ(raw_setup(8, &ctx), 0);
    start_thread(&thread, signal_often, &self);
    int64_t end = now_ms() + 500;
    while (now_ms() < end) {
        struct iocb cb = read_of(fd, buffer, BLOCK, 0), *list[] = {&cb};
        struct io_event event;
        CHECK_EQ(raw_submit(ctx, 1, list), 1);
        long result;
        while ((result = raw_getevents(ctx, 1, 1, &event, NULL)) == -1 && errno == EINTR) {}
        CHECK_EQ(result, 1);
        CHECK_ERRNO(syscall(SYS_close, -1), EBADF);
    }
    stop = 1;
    join_thread(thread);
    CHECK(handled > 0);
}
