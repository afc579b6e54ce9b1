/*
 * close() and its relatives while requests are in flight: a request finishes on the file that its descriptor meant at
 * the call, never on another that got the number later; and once a request is over, nothing of ours keeps its file
 * open, locked or busy.
 */
#include "hazards.h"

#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BLOCK 4096
enum { depth = 16, ways = 5 };

/* Every way in which a number comes to mean another file. Returns with `fd` open on the file `next`. */
static void replace(int way, int fd, const char *next) {
    int other;
    switch (way) {
    case 0: CHECK_EQ(close(fd), 0); break;
    case 1: {
        FILE *file = fdopen(fd, "r+");
        SET_UP(file != NULL);
        CHECK_EQ(fclose(file), 0);
        break;
    }
    case 2: CHECK_EQ(close_range((unsigned)fd, (unsigned)fd, 0), 0); break;
    case 3:
    case 4:
        other = open(next, O_RDWR | O_CREAT, 0600);
        SET_UP(other >= 0);
        CHECK_EQ(way == 3 ? dup2(other, fd) : dup3(other, fd, O_CLOEXEC), fd);
        CHECK_EQ(close(other), 0);
        return;
    }
    other = open(next, O_RDWR | O_CREAT, 0600);
    SET_UP(other >= 0);
    if (other != fd) { /* another thread's file has taken the number, or a lower one is free */
        CHECK_EQ(dup2(other, fd), fd);
        CHECK_EQ(close(other), 0);
    }
}

static atomic_bool stop;
/*
 * Rounds that each thread has made. In its first a thread opens its file, and malloc looks into a file of the system's: both
 * may get the number that `replace` has closed and is about to use.
 */
static atomic_int rounds[2];

static void *load(void *arg) {
    int number = (int)(intptr_t)arg;
    char name[16], *buffer = malloc(depth * BLOCK);
    snprintf(name, sizeof name, "load-%d", number);
    int fd = pattern_file(name, depth * BLOCK);
    struct aiocb cb[depth];
    for (; !atomic_load(&stop); atomic_fetch_add(&rounds[number], 1)) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        for (int i = 0; i < depth; i++) {
            cb[i] = REQUEST(fd, buffer + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_EQ(aio_read(&cb[i]), 0);
        }
        for (int i = 0; i < depth; i++) CHECK_EQ(finish(&cb[i]), BLOCK);
        check_pattern(buffer, depth * BLOCK, 0);
    }
    free(buffer);
    return NULL;
}

static void under_load(void (*body)(void)) {
    pthread_t thread[2];
    for (intptr_t i = 0; i < 2; i++) start_thread(&thread[i], load, (void *)i);
    while (atomic_load(&rounds[0]) == 0 || atomic_load(&rounds[1]) == 0) sleep_ms(1);
    body();
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) join_thread(thread[i]);
}

static void writes_stay_in_their_file(void) {
    static char buffer[depth][BLOCK], back[BLOCK];
    struct aiocb cb[depth];
    for (TURNS(round, 240)) {
        int fd = open("right", O_RDWR | O_CREAT | O_TRUNC | (round / ways % 4 == 3 ? O_SYNC : 0), 0600);
        SET_UP(fd >= 0);
        for (int i = 0; i < depth; i++) {
            fill_pattern(buffer[i], BLOCK, round * 1000 + i * BLOCK);
            cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
            CHECK_EQ(aio_write(&cb[i]), 0);
        }
        replace((int)(round % ways), fd, "wrong");
        for (int i = 0; i < depth; i++) CHECK_EQ(finish(&cb[i]), BLOCK);
        CHECK_EQ(pread(fd, back, 1, 0), 0);
        CHECK_EQ(close(fd), 0);
        fd = open("right", O_RDONLY);
        for (int i = 0; i < depth; i++) {
            CHECK_EQ(pread(fd, back, BLOCK, i * BLOCK), BLOCK);
            check_pattern(back, BLOCK, round * 1000 + i * BLOCK);
        }
        CHECK_EQ(close(fd), 0);
    }
}

TEST(ours, close_and_reuse_lets_no_write_into_the_wrong_file) { writes_stay_in_their_file(); }

TEST(ours, close_and_reuse_under_load_lets_no_write_into_the_wrong_file) { under_load(writes_stay_in_their_file); }

static void reads_stay_in_their_file(void) {
    static char buffer[depth][BLOCK];
    struct aiocb cb[depth];
    int wrong = open("wrong", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < depth; i++) CHECK_EQ(pwrite(wrong, buffer[0], BLOCK, i * BLOCK), BLOCK);
    CHECK_EQ(close(wrong), 0);
    int right = pattern_file("right", depth * BLOCK);
    for (TURNS(round, 240)) {
        CHECK_EQ(posix_fadvise(right, 0, 0, POSIX_FADV_DONTNEED), 0);
        int fd = open("right", O_RDWR);
        SET_UP(fd >= 0);
        memset(buffer, 0, sizeof buffer);
        for (int i = 0; i < depth; i++) {
            cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
            CHECK_EQ(aio_read(&cb[i]), 0);
        }
        replace((int)(round % ways), fd, "wrong");
        for (int i = 0; i < depth; i++) {
            CHECK_EQ(finish(&cb[i]), BLOCK);
            check_pattern(buffer[i], BLOCK, i * BLOCK);
        }
        CHECK_EQ(close(fd), 0);
    }
}

TEST(ours, close_and_reuse_gives_no_read_the_data_of_another_file) { reads_stay_in_their_file(); }

TEST(ours, close_and_reuse_under_load_gives_no_read_the_data_of_another_file) { under_load(reads_stay_in_their_file); }

/* A silent read outlives its number, and a second one, on another pipe with the same number, is another request. */
TEST(better, close_and_reuse_of_a_silent_pipe) {
    int old[2], new[2];
    char old_text[8], new_text[8];
    for (int round = 0; round < 20; round++) {
        silent_pipe(old);
        struct aiocb old_cb = REQUEST(old[0], old_text, 8, 0);
        CHECK_EQ(aio_read(&old_cb), 0);
        CHECK_EQ(aio_error(&old_cb), EINPROGRESS);
        CHECK_EQ(close(old[0]), 0);
        silent_pipe(new);
        CHECK_EQ(new[0], old[0]);
        struct aiocb new_cb = REQUEST(new[0], new_text, 8, 0);
        CHECK_EQ(aio_read(&new_cb), 0);
        CHECK_EQ(write(new[1], "new", 3), 3); /* glibc has it wait for the old one */
        CHECK_EQ(finish(&new_cb), 3);
        CHECK(memcmp(new_text, "new", 3) == 0);
        CHECK_EQ(aio_error(&old_cb), EINPROGRESS);
        CHECK_EQ(write(old[1], "older", 5), 5);
        CHECK_EQ(finish(&old_cb), 5);
        CHECK(memcmp(old_text, "older", 5) == 0);
        CHECK_EQ(close(new[0]), 0);
        CHECK_EQ(close(new[1]), 0);
        CHECK_EQ(close(old[1]), 0);
    }
}

/* The second read of a pipe begins when the first is over: just then the number comes to mean another pipe. */
TEST(ours, close_and_reuse_while_the_next_read_of_a_pipe_begins) {
    int64_t end = now_ms() + 1500;
    for (int round = 0; now_ms() < end; round++) {
        int old[2], new[2];
        char text[2] = {0};
        silent_pipe(old);
        struct aiocb first = REQUEST(old[0], &text[0], 1, 0), second = REQUEST(old[0], &text[1], 1, 0);
        CHECK_EQ(aio_read(&first), 0);
        CHECK_EQ(aio_read(&second), 0);
        CHECK_EQ(write(old[1], "1", 1), 1);
        while (aio_error(&first) == EINPROGRESS) {}
        for (volatile int spin = round % 64 * 40; spin > 0; spin--) {}
        CHECK_EQ(close(old[0]), 0);
        silent_pipe(new);
        CHECK_EQ(new[0], old[0]);
        CHECK_EQ(write(new[1], "W", 1), 1);
        if (round % 8 == 0) sleep_ms(1);
        CHECK_EQ(write(old[1], "2", 1), 1);
        CHECK_EQ(finish(&first), 1);
        CHECK_EQ(finish(&second), 1);
        CHECK(memcmp(text, "12", 2) == 0);
        CHECK_EQ(close(new[0]), 0);
        CHECK_EQ(close(new[1]), 0);
        CHECK_EQ(close(old[1]), 0);
    }
}

/* A sync's file is the old one, too, and it comes after the writes that were made through the old number. */
TEST(same, close_and_reuse_after_a_sync) {
    static char buffer[BLOCK];
    for (int round = 0; round < 10; round++) {
        int fd = open("right", O_RDWR | O_CREAT | O_TRUNC, 0600);
        struct aiocb cb = REQUEST(fd, buffer, BLOCK, 0), sync = REQUEST(fd, NULL, 0, 0);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
        CHECK_EQ(finish(&sync), 0);
        CHECK_EQ(aio_error(&cb), 0);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(aio_return(&cb), BLOCK);
    }
}

/* ---- nothing stays open ---------------------------------------------------------------------------------------- */

static void reach_the_end(bool close_in_flight) {
    for (int round = 0; round < 200; round++) {
        int ends[2];
        if (round % 2)
            silent_pipe(ends);
        else
            SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        char text[8];
        struct aiocb cb = REQUEST(ends[1], "last", 4, 0);
        CHECK_EQ(aio_write(&cb), 0);
        if (!close_in_flight) CHECK_EQ(finish(&cb), 4);
        CHECK_EQ(close(ends[1]), 0);
        CHECK_EQ(read(ends[0], text, 8), 4);
        struct pollfd fd = {.fd = ends[0], .events = POLLIN};
        CHECK_EQ(poll(&fd, 1, PATIENCE_MS), 1);
        CHECK_EQ(read(ends[0], text, 8), 0);
        CHECK_EQ(finish(&cb), 4);
        CHECK_EQ(close(ends[0]), 0);
    }
}

/* The reader sees the end as soon as the request is over and the program has closed its descriptor. */
TEST(same, closed_pipe_and_socket_reach_their_end) { reach_the_end(false); }

/* glibc may find the number closed by the time that it writes. */
TEST(ours, closed_pipe_and_socket_with_a_write_in_flight_reach_their_end) { reach_the_end(true); }

/* The lock belongs to the open file, so it ends with its last descriptor: at the program's close, not a moment later. */
TEST(same, closed_file_is_unlocked_at_once) {
    static char buffer[16 * BLOCK];
    int other = pattern_file("data", sizeof buffer);
    for (TURNS(round, 300)) {
        int fd = open("data", O_RDWR);
        CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
        struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
        if (round % 4 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(round % 4 == 3 ? aio_write(&cb) : aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), sizeof buffer);
        CHECK_EQ(close(fd), 0);
        CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
        CHECK_EQ(flock(other, LOCK_UN), 0);
    }
}

/* A file that anybody has open for writing cannot be run: ETXTBSY. */
TEST(same, closed_program_can_be_run_at_once) {
    const char *text = "#!/bin/sh\nexit 0\n";
    for (int round = 0; round < 40; round++) {
        char name[32];
        snprintf(name, sizeof name, "./program-%d", round);
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        struct aiocb cb = REQUEST(fd, (void *)(uintptr_t)text, strlen(text), 0), sync = REQUEST(fd, NULL, 0, 0);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), strlen(text));
        if (round % 2) {
            CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
            CHECK_EQ(finish(&sync), 0);
        }
        CHECK_EQ(close(fd), 0);
        pid_t pid;
        char *argv[] = {name, NULL};
        CHECK_EQ(posix_spawn(&pid, name, NULL, NULL, argv, NULL), 0);
        child_succeeds(pid);
    }
}

TEST(same, closed_descriptors_do_not_pile_up) {
    static char buffer[BLOCK];
    int fd = pattern_file("data", BLOCK);
    for (TURNS(i, 5000)) {
        int copy = dup(fd);
        CHECK(copy >= 0 && copy < 64); /* the lowest free number: a leak would push it up */
        struct aiocb cb = REQUEST(copy, buffer, BLOCK, 0);
        CHECK_EQ(aio_read(&cb), 0);
        if (i % 2) CHECK_EQ(finish(&cb), BLOCK);
        CHECK_EQ(close(copy), 0);
        if (i % 2 == 0) CHECK(wait_for(&cb) == 0 || aio_error(&cb) == EBADF); /* glibc may see the closed number */
    }
}

/* ---- record locks ---------------------------------------------------------------------------------------------- */

/* A process loses its POSIX locks on a file when it closes *any* descriptor of it, so also one that is ours. */
static void check_locked(const char *name) {
    child_succeeds(CHILD({
        int fd = open(name, O_RDWR);
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
        CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
        CHECK_EQ(lock.l_type, F_WRLCK);
        CHECK_EQ(lock.l_pid, getppid());
    }));
}

TEST(same, record_locks_survive_aio_on_the_file) {
    static char buffer[depth][BLOCK];
    int fd = pattern_file("data", depth * BLOCK);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    int again = dup(fd);
    struct aiocb cb[depth];
    for (int round = 0; round < 20; round++) {
        if (round % 2) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        for (int i = 0; i < depth; i++) {
            cb[i] = REQUEST(i % 2 ? fd : again, buffer[i], BLOCK, i * BLOCK);
            int result;
            if (i == 7)
                result = aio_fsync(O_SYNC, &cb[i]);
            else
                result = round > 5 && i % 4 == 0 ? aio_write(&cb[i]) : aio_read(&cb[i]);
            CHECK_EQ(result, 0);
        }
        if (round % 5 == 4) aio_cancel(fd, NULL);
        for (int i = 0; i < depth; i++) {
            int status = wait_for(&cb[i]);
            CHECK(status == 0 || status == ECANCELED);
        }
        check_locked("data");
    }
}

TEST(same, record_locks_survive_aio_on_a_direct_descriptor) {
    int fd = pattern_file("data", depth * BLOCK), direct = open("data", O_RDWR | O_DIRECT);
    if (direct < 0) SKIP("no O_DIRECT here");
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    char *buffer = mmap(NULL, depth * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int round = 0; round < 20; round++) {
        struct aiocb cb[depth];
        for (int i = 0; i < depth; i++) {
            cb[i] = REQUEST(direct, buffer + i * BLOCK, BLOCK, i * BLOCK);
            CHECK_EQ(round % 4 == 3 ? aio_write(&cb[i]) : aio_read(&cb[i]), 0);
        }
        for (int i = 0; i < depth; i++) CHECK_EQ(finish(&cb[i]), BLOCK);
        check_locked("data");
    }
}

/* What is known of a number may be wrong, if it was closed past libc. A stream is then still a stream: its reads wait,
 * do not stop the caller, and are served in their order. */
static void a_number_that_nobody_saw_closed(int flags) {
    enum { count = 8 };
    char bytes[count];
    struct aiocb cbs[count];
    int fd = pattern_file("data", 4096), ends[2];
    fd = open("data", O_RDONLY | flags);
    if (fd < 0) SKIP("no O_DIRECT on this file system: %s", strerror(errno));
    char *page = aligned_alloc(4096, 4096);
    for (int i = 0; i < 4; i++) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct aiocb cb = REQUEST(fd, page, 4096, 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 4096);
    }
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    SET_UP(syscall(SYS_close, fd) == 0);
    SET_UP(fcntl(ends[0], F_DUPFD, fd) == fd);
    for (int i = 0; i < count; i++) {
        cbs[i] = REQUEST(fd, &bytes[i], 1, 0);
        CHECK_EQ(aio_read(&cbs[i]), 0);
        CHECK_EQ(aio_error(&cbs[i]), EINPROGRESS);
    }
    CHECK_EQ(write(ends[1], "abcdefgh", count), count);
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), 1);
    CHECK_EQ(memcmp(bytes, "abcdefgh", count), 0);
}

TEST(same, close_past_libc_and_reuse_for_a_stream) { a_number_that_nobody_saw_closed(0); }

TEST(same, close_past_libc_and_reuse_for_a_stream_after_direct_reads) { a_number_that_nobody_saw_closed(O_DIRECT); }
