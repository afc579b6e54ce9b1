/*
 * Where the system gives less than usual: io_uring refused, no descriptors, no threads, no memory, no disk. A call may
 * then fail with EAGAIN; what it accepted must end, with the right result, and when there is room again it must work.
 */
#include "hazards.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define BLOCK 4096

/* ---- what is tried in every corner ------------------------------------------------------------------------------ */

/* True if the call was accepted; EAGAIN is the one other answer. */
static bool accepted(int result) {
    if (result == 0) return true;
    CHECK_EQ(result, -1);
    CHECK_EQ(errno, EAGAIN);
    return false;
}

/* Reads, writes, syncs, and waits for a pipe, as far as the calls are accepted; gives the number that were. The file is
 * of the pattern and stays so; `ends` is a pipe, or both are -1. */
static int try_aio(int fd, const int ends[2]) {
    static char buffer[8][BLOCK];
    static struct aiocb cb[8];
    struct aiocb sync = REQUEST(fd, NULL, 0, 0);
    char text[8];
    struct aiocb pipe_cb = REQUEST(ends[0], text, sizeof text, 0);
    bool in_flight[8];
    int count = 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    bool pipe_in_flight = ends[0] >= 0 && accepted(aio_read(&pipe_cb));
    for (int i = 0; i < 8; i++) {
        cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
        fill_pattern(buffer[i], BLOCK, i * BLOCK);
        if (i % 4 != 3) memset(buffer[i], 0, BLOCK);
        in_flight[i] = accepted(i % 4 == 3 ? aio_write(&cb[i]) : aio_read(&cb[i]));
    }
    bool sync_in_flight = accepted(aio_fsync(O_DSYNC, &sync));
    for (int i = 0; i < 8; i++) {
        if (!in_flight[i]) continue;
        CHECK_EQ(finish(&cb[i]), BLOCK);
        check_pattern(buffer[i], BLOCK, i * BLOCK);
        count++;
    }
    if (sync_in_flight) {
        CHECK_EQ(finish(&sync), 0);
        count++;
    }
    if (pipe_in_flight) {
        CHECK_EQ(aio_error(&pipe_cb), EINPROGRESS);
        CHECK_EQ(write(ends[1], "fed", 3), 3);
        CHECK_EQ(finish(&pipe_cb), 3);
        CHECK(memcmp(text, "fed", 3) == 0);
        count++;
    }
    return count;
}

enum { everything = 10 }; /* what try_aio gives when all is well */

static const int no_pipe[2] = {-1, -1};

static void use_aio(int fd) {
    int ends[2];
    silent_pipe(ends);
    CHECK_EQ(try_aio(fd, ends), everything);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);
}

/* Without the strict switch, so that the library may fall back. It is read when AIO is first used. */
static void choose_any_driver(void) { CHECK_EQ(unsetenv("ONEWAIT_DRIVER"), 0); }

/* ---- io_uring refused ------------------------------------------------------------------------------------------ */

enum { uring_setup = 425, uring_enter = 426, uring_register = 427 }; /* everywhere but on Alpha */

static const int refusals[] = {ENOSYS, EPERM, EACCES, EINVAL, ENOMEM};
enum { refusal_count = sizeof refusals / sizeof *refusals };

TEST(same, limits_io_uring_refused_falls_back) {
    int fd = pattern_file("data", 64 * BLOCK);
    choose_any_driver();
    for (int i = 0; i < refusal_count; i++)
        child_succeeds(CHILD({
            refuse(uring_setup, uring_register, refusals[i]);
            use_aio(fd);
        }));
}

/* Allowed to make a ring, but not to use it: only a real request tells. */
TEST(same, limits_io_uring_refused_after_its_set_up_falls_back) {
    int fd = pattern_file("data", 64 * BLOCK);
    choose_any_driver();
    for (int call = uring_enter; call <= uring_register; call++)
        for (int i = 0; i < 3; i++)
            child_succeeds(CHILD({
                refuse(call, call, refusals[i]);
                use_aio(fd);
            }));
}

TEST(ours, limits_io_uring_refused_is_an_error_where_the_driver_is_strict) {
    int fd = pattern_file("data", BLOCK);
    CHECK_EQ(setenv("ONEWAIT_DRIVER", "uring", 1), 0);
    for (int i = 0; i < refusal_count; i++)
        child_succeeds(CHILD({
            refuse(uring_setup, uring_register, refusals[i]);
            int ends[2];
            silent_pipe(ends);
            for (int turn = 0; turn < 3; turn++) {
                char buffer[64];
                struct aiocb cb = REQUEST(ends[0], buffer, 64, 0);
                CHECK_ERRNO(aio_read(&cb), EAGAIN); /* of what is at hand, a read would need no driver */
                CHECK(aio_error(&cb) != EINPROGRESS);
                CHECK_EQ(aio_cancel(ends[0], NULL), AIO_ALLDONE);
                cb.aio_fildes = fd;
                CHECK_ERRNO(aio_write(&cb), EAGAIN);
                CHECK_ERRNO(aio_fsync(O_SYNC, &cb), EAGAIN);
                CHECK(aio_error(&cb) != EINPROGRESS); /* nothing was queued */
                cb.aio_lio_opcode = LIO_WRITE;
                struct aiocb *list[1] = {&cb};
                CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, 1, NULL), EAGAIN);
                CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
            }
        }));
}

/* A program that puts itself into a sandbox when it is ready has used AIO before. */
TEST(same, limits_io_uring_refused_between_two_requests) {
    int fd = pattern_file("data", 64 * BLOCK);
    choose_any_driver();
    for (int i = 0; i < 3; i++)
        child_succeeds(CHILD({
            use_aio(fd);
            refuse(uring_setup, uring_register, refusals[i]);
            use_aio(fd);
            use_aio(fd);
        }));
}

TEST(same, limits_native_aio_and_io_uring_refused_fall_back) {
    int fd = pattern_file("data", 64 * BLOCK), direct = open("data", O_RDWR | O_DIRECT);
    choose_any_driver();
    child_succeeds(CHILD({
        refuse(uring_setup, uring_register, ENOSYS);
        refuse(SYS_io_setup, SYS_io_setup, ENOSYS);
        use_aio(fd);
        char *buffer = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        struct aiocb cb = REQUEST(direct >= 0 ? direct : fd, buffer, BLOCK, BLOCK);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), BLOCK);
        check_pattern(buffer, BLOCK, BLOCK);
    }));
}

/* ---- memory, descriptors, threads ------------------------------------------------------------------------------ */

TEST(same, limits_no_locked_memory_without_privilege) {
    int fd = pattern_file("data", 64 * BLOCK);
    choose_any_driver();
    child_succeeds(CHILD({
        SET_UP(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}) == 0);
        become_a_user_of_its_own();
        use_aio(fd);
    }));
}

/* Descriptors of a file of the program's, up to the limit; nobody else may ever write there. */
static int fill_descriptors(int fds[64]) {
    int n = 0;
    SET_UP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){48, 48}) == 0);
    while ((fds[n] = open("filler", O_RDWR | O_CREAT, 0600)) >= 0) n++;
    CHECK_EQ(errno, EMFILE);
    CHECK(n > 12);
    return n;
}

TEST(same, limits_no_descriptor_is_left_before_the_first_request) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2], fds[64];
    silent_pipe(ends);
    int n = fill_descriptors(fds);
    for (int turn = 0; turn < 3; turn++) {
        try_aio(fd, no_pipe);
        try_aio(fd, ends);
    }
    CHECK_EQ(pread(fds[0], &(char){0}, 1, 0), 0); /* the filler is still empty */
    while (n > 0) CHECK_EQ(close(fds[--n]), 0);
    use_aio(fd); /* and there is no grudge */
    use_aio(fd);
}

TEST(same, limits_no_descriptor_is_left_after_the_first_request) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2], fds[64];
    use_aio(fd);
    silent_pipe(ends);
    int n = fill_descriptors(fds);
    for (int turn = 0; turn < 3; turn++) {
        CHECK_EQ(try_aio(fd, no_pipe), everything - 1);
        try_aio(fd, ends);
    }
    CHECK_EQ(pread(fds[0], &(char){0}, 1, 0), 0);
    while (n > 0) CHECK_EQ(close(fds[--n]), 0);
    use_aio(fd);
}

/* A limit of 0: what is open stays open, and that is all. */
TEST(same, limits_no_descriptor_is_allowed_at_all) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2];
    silent_pipe(ends);
    struct rlimit before;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    SET_UP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}) == 0);
    try_aio(fd, ends);
    SET_UP(setrlimit(RLIMIT_NOFILE, &before) == 0);
    use_aio(fd);
}

TEST(same, limits_no_thread_can_be_made) {
    if (getuid() != 0) SKIP("needs root, to become a user whose limits are this test's own");
    int fd = pattern_file("data", 64 * BLOCK);
    for (int used_before = 0; used_before < 2; used_before++)
        child_succeeds(CHILD({
            become_a_user_of_its_own();
            int ends[2];
            silent_pipe(ends);
            if (used_before) use_aio(fd);
            SET_UP(setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 4096}) == 0);
            for (int turn = 0; turn < 5; turn++) try_aio(fd, ends);
            SET_UP(setrlimit(RLIMIT_NPROC, &(struct rlimit){4096, 4096}) == 0);
            use_aio(fd);
            use_aio(fd);
        }));
}

/* No thread's stack fits, then nothing does: at each size the calls work or say EAGAIN, and nobody aborts. */
TEST(same, limits_no_address_space_is_left) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2];
    silent_pipe(ends);
    static const size_t spare[] = {0, 4, 16, 64, 256, 1024, 4096, 9000, 16384, 65536, 262144};
    for (int used_before = 0; used_before < 2; used_before++)
        for (size_t i = 0; i < sizeof spare / sizeof *spare; i++)
            child_succeeds(CHILD({
                if (used_before) use_aio(fd);
                long pages = 0;
                FILE *file = fopen("/proc/self/statm", "r");
                CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
                fclose(file);
                struct rlimit limit = {(rlim_t)(pages * sysconf(_SC_PAGESIZE)) + spare[i] * 1024, RLIM_INFINITY};
                SET_UP(setrlimit(RLIMIT_AS, &limit) == 0);
                try_aio(fd, ends);
                limit.rlim_cur = RLIM_INFINITY;
                SET_UP(setrlimit(RLIMIT_AS, &limit) == 0);
                use_aio(fd);
            }));
}

/* ---- every descriptor closed ----------------------------------------------------------------------------------- */

static void close_all(int way) {
    switch (way) {
    case 0:
        for (int fd = 3; fd < 1024; fd++) close(fd);
        break;
    case 1: CHECK_EQ(close_range(3, ~0U, 0), 0); break;
    case 2: closefrom(3); break;
    case 3: CHECK_EQ(syscall(SYS_close_range, 3, ~0U, 0), 0); break; /* behind the back of whoever replaces it */
    case 4: {
        struct rlimit limit;
        CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
        for (int fd = 3; fd < (int)limit.rlim_cur && fd < 70000; fd++) syscall(SYS_close, fd);
        break;
    }
    }
}

enum { library_ways = 3, ways_to_close = 5 };

static void close_all_between_requests(int first, int end) {
    CHECK_EQ(close(pattern_file("data", 64 * BLOCK)), 0);
    for (int way = first; way < end; way++)
        child_succeeds(CHILD({
            for (int turn = 0; turn < 4; turn++) { /* before the first use and after */
                close_all(way);
                int fd = open("data", O_RDWR);
                CHECK_EQ(fd, 3);
                use_aio(fd);
            }
        }));
}

TEST(same, limits_every_descriptor_closed_as_daemons_do) { close_all_between_requests(0, library_ways); }

/* The ring is entered by a registered index and woken by a futex; the epoll driver needs the numbers of its descriptors,
 * and can only defend them against calls that it sees. */
static bool works_with_numbers(void) {
    const char *driver = getenv("ONEWAIT_DRIVER");
    return driver != NULL && strcmp(driver, "epoll") == 0;
}

TEST(same, limits_every_descriptor_closed_by_system_calls) {
    if (works_with_numbers()) SKIP("the epoll driver cannot see these closes");
    close_all_between_requests(library_ways, ways_to_close);
}

/* What is in flight then must still end. Its own descriptor is closed, too, so glibc may find nothing to read. */
static void close_all_in_flight(int way) {
    CHECK_EQ(close(pattern_file("data", 256 * BLOCK)), 0);
    child_succeeds(CHILD({
        for (int turn = 0; turn < 4; turn++) {
            enum { depth = 32 };
            static struct aiocb cb[depth];
            static struct aiocb pipe_cb;
            static char byte;
            char *buffer = mmap(NULL, depth * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            int fd = open("data", O_RDONLY | O_DIRECT);
            if (fd < 0) fd = open("data", O_RDONLY);
            SET_UP(fd >= 0);
            int ends[2];
            silent_pipe(ends);
            pipe_cb = REQUEST(ends[0], &byte, 1, 0);
            CHECK_EQ(aio_read(&pipe_cb), 0);
            for (int i = 0; i < depth; i++) {
                cb[i] = REQUEST(fd, buffer + i * BLOCK, BLOCK, i * BLOCK);
                CHECK_EQ(aio_read(&cb[i]), 0);
            }
            close_all(way); /* both ends of the pipe: the read ends with the end of the file */
            for (int i = 0; i < depth; i++) {
                CHECK_EQ(wait_for(&cb[i]), 0);
                CHECK_EQ(aio_return(&cb[i]), BLOCK);
                check_pattern(buffer + i * BLOCK, BLOCK, i * BLOCK);
            }
            int status = wait_for(&pipe_cb);
            CHECK(status == 0 || status == ECANCELED || status == EBADF);
        }
    }));
}

TEST(ours, limits_every_descriptor_closed_with_requests_in_flight) {
    for (int way = 0; way < library_ways; way++) close_all_in_flight(way);
}

/* Worse: each number that was ours is the program's next file. Not a byte of ours may go there. */
TEST(ours, limits_every_descriptor_closed_and_its_number_reused) {
    CHECK_EQ(close(pattern_file("data", 64 * BLOCK)), 0);
    CHECK_EQ(close(pattern_file("innocent", 64 * BLOCK)), 0);
    for (int way = 1; way < (works_with_numbers() ? library_ways : ways_to_close); way++)
        child_succeeds(CHILD({
            int fd = open("data", O_RDWR);
            use_aio(fd);
            static int number[4096];
            int count = 0;
            for (int n = 3; n < 1 << 20 && count < 4096; n = n == 70000 ? (1 << 20) - 4096 : n + 1)
                if (fcntl(n, F_GETFD) >= 0) number[count++] = n;
            close_all(way);
            int innocent = open("innocent", O_RDWR);
            for (int i = 0; i < count; i++)
                if (number[i] != innocent && dup2(innocent, number[i]) < 0) {
                    CHECK_EQ(errno, EBUSY); /* it was not closed, and is defended */
                    number[i] = innocent;
                }
            fd = open("data", O_RDWR);
            SET_UP(fd >= 0);
            use_aio(fd);
            use_aio(fd);
            static char buffer[64 * BLOCK + 1];
            CHECK_EQ(pread(innocent, buffer, sizeof buffer, 0), 64 * BLOCK);
            check_pattern(buffer, 64 * BLOCK, 0);
            CHECK_EQ(lseek(innocent, 0, SEEK_CUR), 0); /* nor was it read from */
            for (int i = 0; i < count; i++) CHECK(fcntl(number[i], F_GETFD) >= 0); /* nor closed */
        }));
}

/* ---- disks and devices ----------------------------------------------------------------------------------------- */

TEST(same, limits_disk_is_full) {
    enum { writes = 32, bytes = 16384, room = 128 * 1024 };
    CHECK_EQ(mkdir("small", 0700), 0);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        SKIP("needs privilege for a file system of its own");
    if (mount("tmpfs", "small", "tmpfs", 0, "size=128k") != 0) SKIP("no tmpfs here");
    int fd = open("small/file", O_RDWR | O_CREAT, 0600);
    SET_UP(fd >= 0);
    static char buffer[bytes], back[bytes];
    static struct aiocb cb[writes];
    for (int i = 0; i < writes; i++) {
        fill_pattern(buffer, bytes, 0);
        cb[i] = REQUEST(fd, buffer, bytes, (off_t)i * bytes);
        CHECK_EQ(aio_write(&cb[i]), 0);
    }
    ssize_t written = 0;
    int full = 0;
    for (int i = 0; i < writes; i++) {
        int status = wait_for(&cb[i]);
        ssize_t result = aio_return(&cb[i]);
        if (status != 0) {
            CHECK_EQ(status, ENOSPC);
            CHECK_EQ(result, -1);
            full++;
            continue;
        }
        CHECK(result > 0 && result <= bytes);
        CHECK_EQ(pread(fd, back, (size_t)result, (off_t)i * bytes), result);
        check_pattern(back, (size_t)result, 0);
        written += result;
    }
    CHECK(written > 0 && written <= room);
    CHECK(full >= writes - room / bytes - 1);
    SET_UP(ftruncate(fd, 0) == 0); /* room again */
    cb[0] = REQUEST(fd, buffer, bytes, 0);
    CHECK_EQ(aio_write(&cb[0]), 0);
    CHECK_EQ(finish(&cb[0]), bytes);
}

TEST(same, limits_devices_that_fail) {
    static char buffer[BLOCK];
    int fd = open("/dev/full", O_RDWR);
    SET_UP(fd >= 0);
    struct aiocb cb = REQUEST(fd, buffer, BLOCK, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), ENOSPC);
    CHECK_EQ(aio_return(&cb), -1);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), BLOCK);

    fd = open("/proc/self/mem", O_RDWR); /* nothing is mapped at 4096 */
    if (fd >= 0) {
        cb = REQUEST(fd, buffer, BLOCK, BLOCK);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(wait_for(&cb), EIO);
        CHECK_EQ(aio_return(&cb), -1);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(wait_for(&cb), EIO);
    }

    int master = posix_openpt(O_RDWR | O_NOCTTY); /* whose other side hangs up in the middle of the read */
    char name[64];
    if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0 && ptsname_r(master, name, sizeof name) == 0) {
        int slave = open(name, O_RDWR | O_NOCTTY);
        SET_UP(slave >= 0);
        cb = REQUEST(master, buffer, BLOCK, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(aio_error(&cb), EINPROGRESS);
        CHECK_EQ(close(slave), 0);
        CHECK_EQ(wait_for(&cb), EIO);
    }
}
