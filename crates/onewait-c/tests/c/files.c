/* Rules 9 to 13, 16 and 17 on regular files: the data is right, at every size, cached or not, up to the end. */
#include "check.h"
#include <ulimit.h>

#include <sys/mman.h>

#define PAGE 4096

static char buffer[4 << 20];

static ssize_t read_at(int fd, size_t bytes, off_t offset) {
    memset(buffer, 0xee, bytes);
    struct aiocb cb = REQUEST(fd, buffer, bytes, offset);
    CHECK_EQ(aio_read(&cb), 0);
    return finish(&cb);
}

static void drop_cache(int fd) {
    CHECK_EQ(fdatasync(fd), 0);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static const size_t sizes[] = {1, 2, 511, 512, 513, 4095, 4096, 4097, 8192, 65535, 65536, 1 << 20, (3 << 20) + 7};
#define SIZES (sizeof sizes / sizeof *sizes)

TEST(same, rule_09_zero_bytes_give_zero) {
    int fd = pattern_file("data", PAGE), ends[2];
    silent_pipe(ends);
    void *buffers[] = {buffer, NULL, (void *)8};
    for (int i = 0; i < 3; i++) {
        struct aiocb read = REQUEST(fd, buffers[i], 0, 10), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(finish(&read), 0);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(finish(&write), 0);
        /* On an empty pipe too: there is nothing to wait for. */
        struct aiocb pipe_read = REQUEST(ends[0], buffers[i], 0, 0), pipe_write = REQUEST(ends[1], buffers[i], 0, 0);
        CHECK_EQ(aio_read(&pipe_read), 0);
        CHECK_EQ(finish(&pipe_read), 0);
        CHECK_EQ(aio_write(&pipe_write), 0);
        CHECK_EQ(finish(&pipe_write), 0);
    }
    struct aiocb past = REQUEST(fd, buffer, 0, 1 << 20);
    CHECK_EQ(aio_write(&past), 0);
    CHECK_EQ(finish(&past), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_END), PAGE);
}

TEST(same, rule_09_zero_bytes_of_a_bad_descriptor_are_still_ebadf) {
    struct aiocb cb = REQUEST(-1, buffer, 0, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EBADF);
}

TEST(same, rule_10_bad_buffer_completes_with_efault) {
    int fd = pattern_file("data", PAGE), ends[2];
    silent_pipe(ends);
    char *guarded = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *buffers[] = {NULL, (void *)8, guarded, (void *)-4096, (void *)0x7fffffffffffff};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        struct aiocb read = REQUEST(fd, buffers[i], 100, 0), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(wait_for(&read), EFAULT);
        CHECK_EQ(aio_return(&read), -1);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(wait_for(&write), EFAULT);
        CHECK_EQ(aio_return(&write), -1);
        struct aiocb pipe_write = REQUEST(ends[1], buffers[i], 100, 0);
        CHECK_EQ(aio_write(&pipe_write), 0);
        CHECK_EQ(wait_for(&pipe_write), EFAULT);
    }
    CHECK_EQ(pread(fd, buffer, PAGE, 0), PAGE);
    check_pattern(buffer, PAGE, 0);
}

TEST(same, rule_10_memory_that_ends_in_the_middle_gives_what_read_gives) {
    int fd = pattern_file("data", 2 * PAGE);
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(mprotect(memory + PAGE, PAGE, PROT_NONE), 0);
    ssize_t expected = pread(fd, memory, 2 * PAGE, 0);
    struct aiocb cb = REQUEST(fd, memory, 2 * PAGE, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), expected);
    check_pattern(memory, PAGE, 0);
}

TEST(same, rule_11_end_of_file_gives_zero_and_before_it_a_short_read) {
    int fd = pattern_file("data", 10000);
    CHECK_EQ(read_at(fd, 4096, 10000), 0);
    CHECK_EQ(read_at(fd, 4096, 1 << 30), 0);
    CHECK_EQ(read_at(fd, 4096, 9999), 1);
    check_pattern(buffer, 1, 9999);
    CHECK_EQ((unsigned char)buffer[1], 0xee);
    CHECK_EQ(read_at(fd, 4096, 8000), 2000);
    check_pattern(buffer, 2000, 8000);
    drop_cache(fd);
    CHECK_EQ(read_at(fd, 65536, 1), 9999);
    check_pattern(buffer, 9999, 1);
    int empty = pattern_file("empty", 0);
    CHECK_EQ(read_at(empty, 4096, 0), 0);
}

/* A read that does not wait stops where the page cache stops. That is no end of file, and must not look like one. */
TEST(same, rule_11_a_partly_cached_range_is_read_to_its_end) {
    enum { pages = 12 };
    size_t size = pages * PAGE + 100;
    int fd = pattern_file("data", size);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
    /* Which pages are cached: one bit a page, the short last one included. */
    unsigned masks[] = {0, 1, 3, 1 << pages, 0x0ff, 0xf00, 0x555, 0xaaa, 0x1001, 0x1fff, 0x1ffe, 0x0fff};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++)
        for (off_t offset = 0; offset < 2 * PAGE; offset += 1000) {
            drop_cache(fd);
            for (int page = 0; page <= pages; page++)
                if (masks[i] >> page & 1) CHECK_EQ(pread(fd, buffer, 1, page * PAGE), 1);
            CHECK_EQ(read_at(fd, size, offset), (off_t)size - offset);
            check_pattern(buffer, size - (size_t)offset, offset);
        }
}

TEST(same, rule_11_a_hole_reads_as_zeroes) {
    int fd = pattern_file("data", 0);
    SET_UP(ftruncate(fd, 1 << 20) == 0);
    CHECK_EQ(pwrite(fd, "x", 1, (1 << 20) - 1), 1);
    CHECK_EQ(read_at(fd, 1 << 20, 0), 1 << 20);
    CHECK_EQ(buffer[0] | buffer[500000], 0);
    CHECK_EQ(buffer[(1 << 20) - 1], 'x');
}

TEST(same, rule_11_every_size_reads_right_cached_and_not) {
    size_t size = 4 << 20;
    int fd = pattern_file("data", size);
    off_t offsets[] = {0, 1, 511, 4096, 5000, 1 << 20};
    for (int cached = 0; cached < 2; cached++)
        for (size_t i = 0; i < SIZES; i++)
            for (size_t j = 0; j < sizeof offsets / sizeof *offsets; j++) {
                if (!cached) drop_cache(fd);
                size_t left = size - (size_t)offsets[j], expected = sizes[i] < left ? sizes[i] : left;
                CHECK_EQ(read_at(fd, sizes[i], offsets[j]), expected);
                check_pattern(buffer, expected, offsets[j]);
            }
}

TEST(same, rule_11_every_size_writes_right) {
    static char back[sizeof buffer];
    for (size_t i = 0; i < SIZES; i++) {
        int fd = pattern_file("data", 0);
        off_t offset = (off_t)i * 777;
        fill_pattern(buffer, sizes[i], offset);
        struct aiocb cb = REQUEST(fd, buffer, sizes[i], offset);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), sizes[i]);
        CHECK_EQ(pread(fd, back, sizeof back, offset), sizes[i]);
        check_pattern(back, sizes[i], offset);
        close(fd);
    }
}

TEST(same, rule_11_many_at_once_read_and_write_right) {
    enum { count = 256, size = 6000 };
    static struct aiocb cbs[count];
    int fd = pattern_file("data", 0);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < count; i++) {
            cbs[i] = REQUEST(fd, buffer + i * size, size, i * size);
            fill_pattern(buffer + i * size, size, i * size);
            CHECK_EQ(aio_write(&cbs[i]), 0);
        }
        for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), size);
        memset(buffer, 0, sizeof buffer);
        if (round % 2 == 0) drop_cache(fd);
        for (int i = 0; i < count; i++) CHECK_EQ(aio_read(&cbs[i]), 0);
        for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), size);
        check_pattern(buffer, count * size, 0);
    }
}

TEST(same, rule_12_directory_completes_with_eisdir) {
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EISDIR);
    CHECK_EQ(aio_return(&cb), -1);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EBADF);
}

TEST(same, rule_13_append_ignores_the_offset) {
    pattern_file("data", 100);
    int fd = open("data", O_RDWR | O_APPEND);
    struct aiocb cb = REQUEST(fd, "end", 3, 10);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(finish(&cb), 3);
    CHECK_EQ(pread(fd, buffer, 200, 0), 103);
    check_pattern(buffer, 100, 0);
    CHECK_EQ(memcmp(buffer + 100, "end", 3), 0);
    /* A read still goes where it is told. */
    CHECK_EQ(read_at(fd, 10, 20), 10);
    check_pattern(buffer, 10, 20);
}

/* POSIX: appending writes happen in the order of the calls. */
TEST(same, rule_13_appends_happen_in_the_order_of_the_calls) {
    enum { count = 500 };
    static struct aiocb cbs[count];
    static uint32_t records[count][64];
    pattern_file("data", 0);
    int fd = open("data", O_RDWR | O_APPEND);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < 64; j++) records[i][j] = (uint32_t)i;
        /* Of different lengths, so that some would overtake if they could. */
        cbs[i] = REQUEST(fd, records[i], 4 * (size_t)(1 + i * 37 % 64), 0);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), cbs[i].aio_nbytes);
    off_t at = 0;
    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < cbs[i].aio_nbytes / 4; j++, at += 4) {
            uint32_t value;
            CHECK_EQ(pread(fd, &value, 4, at), 4);
            CHECK_EQ(value, i);
        }
    CHECK_EQ(pread(fd, buffer, 1, at), 0);
}

/* What was learned of the descriptor before it had O_APPEND must not let whole pages overtake. */
TEST(same, rule_13_appends_keep_their_order_also_if_append_is_set_later) {
    enum { rounds = 50, count = 8 };
    static char small[5], page[PAGE];
    memset(small, 's', sizeof small);
    memset(page, 'p', sizeof page);
    for (int round = 0; round < rounds; round++) {
        int fd = pattern_file("data", 0);
        struct aiocb cb = REQUEST(fd, page, PAGE, 0), appends[count];
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), PAGE);
        CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND), 0);
        for (int i = 0; i < count; i++) {
            appends[i] = i % 2 ? REQUEST(fd, page, PAGE, 0) : REQUEST(fd, small, 5, 0);
            CHECK_EQ(aio_write(&appends[i]), 0);
        }
        off_t at = PAGE;
        for (int i = 0; i < count; i++) CHECK_EQ(finish(&appends[i]), i % 2 ? PAGE : 5);
        for (int i = 0; i < count; i++) {
            char first;
            CHECK_EQ(pread(fd, &first, 1, at), 1);
            CHECK_EQ(first, i % 2 ? 'p' : 's');
            at += i % 2 ? PAGE : 5;
        }
        CHECK_EQ(close(fd), 0);
    }
}

/* The default action of SIGXFSZ ends the process. */
TEST(same, rule_16_beyond_the_file_size_limit_is_efbig_without_a_signal) {
    int fd = pattern_file("data", 100);
    SET_UP(setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, 8192}) == 0);
    struct aiocb beyond = REQUEST(fd, buffer, 100, 8192);
    CHECK_EQ(aio_write(&beyond), 0);
    CHECK_EQ(wait_for(&beyond), EFBIG);
    CHECK_EQ(aio_return(&beyond), -1);
    struct aiocb across = REQUEST(fd, buffer, 8192, 4096);
    CHECK_EQ(aio_write(&across), 0);
    CHECK_EQ(finish(&across), 4096);
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGXFSZ), 0);
}

/* Whichever way the limit is set, also after many writes that met none. */
TEST(same, rule_16_a_file_size_limit_that_comes_later_holds) {
    int fd = pattern_file("data", 1 << 16);
    for (int way = 0; way < 4; way++) {
        for (int i = 0; i < 5; i++) {
            struct aiocb cb = REQUEST(fd, buffer, 4096, 16384);
            CHECK_EQ(aio_write(&cb), 0);
            CHECK_EQ(finish(&cb), 4096);
        }
        struct rlimit limit = {8192, RLIM_INFINITY}, none = {RLIM_INFINITY, RLIM_INFINITY};
        switch (way) {
        case 0: SET_UP(setrlimit(RLIMIT_FSIZE, &limit) == 0); break;
        case 1: SET_UP(setrlimit64(RLIMIT_FSIZE, (const struct rlimit64 *)&limit) == 0); break;
        case 2: SET_UP(prlimit(0, RLIMIT_FSIZE, &limit, NULL) == 0); break;
        case 3: SET_UP(ulimit(UL_SETFSIZE, 16L) == 16); break; /* blocks of 512 bytes */
        }
        struct aiocb beyond = REQUEST(fd, buffer, 4096, 16384);
        CHECK_EQ(aio_write(&beyond), 0);
        CHECK_EQ(wait_for(&beyond), EFBIG);
        CHECK_EQ(aio_return(&beyond), -1);
        SET_UP(way == 3 || setrlimit(RLIMIT_FSIZE, &none) == 0);
    }
}

TEST(same, rule_17_the_file_position_does_not_move) {
    int fd = pattern_file("data", 8192);
    CHECK_EQ(lseek(fd, 123, SEEK_SET), 123);
    CHECK_EQ(read_at(fd, 1000, 4000), 1000);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 123);
    drop_cache(fd);
    CHECK_EQ(read_at(fd, 1000, 0), 1000);
    struct aiocb cb = REQUEST(fd, buffer, 1000, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(finish(&cb), 1000);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 123);
}

/* Opens for direct I/O and gives a buffer that suits it. */
static int open_direct(const char *name, char **aligned) {
    int fd = open(name, O_RDWR | O_DIRECT);
    if (fd < 0) SKIP("no O_DIRECT on this file system: %s", strerror(errno));
    CHECK_EQ(posix_memalign((void **)aligned, PAGE, 1 << 20), 0);
    return fd;
}

TEST(same, direct_reads_and_writes_are_right) {
    enum { size = 1 << 20 };
    char *aligned;
    pattern_file("data", size + 100);
    int fd = open_direct("data", &aligned);
    for (size_t bytes = PAGE; bytes <= size; bytes *= 2) {
        memset(aligned, 0, size);
        struct aiocb cb = REQUEST(fd, aligned, bytes, size - (off_t)bytes);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), bytes);
        check_pattern(aligned, bytes, size - (off_t)bytes);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), bytes);
    }
    /* Short at the end of the file, and nothing behind it. */
    struct aiocb cb = REQUEST(fd, aligned, 2 * PAGE, size);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 100);
    check_pattern(aligned, 100, size);
    cb.aio_offset = size + PAGE;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 0);
}

/* What is misaligned depends on the file system, so a plain pread says what is expected. */
TEST(same, direct_misaligned_gives_what_pread_gives) {
    char *aligned;
    pattern_file("data", 1 << 20);
    int fd = open_direct("data", &aligned);
    static const struct {
        int shift;
        size_t bytes;
        off_t offset;
    } cases[] = {{0, PAGE, 1}, {1, PAGE, 0}, {0, 100, 0}, {4, PAGE, 0}, {512, 512, 512}, {0, 513, 512}, {3, 7, 11}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        errno = 0;
        ssize_t expected = pread(fd, aligned + cases[i].shift, cases[i].bytes, cases[i].offset);
        int reason = errno;
        struct aiocb cb = REQUEST(fd, aligned + cases[i].shift, cases[i].bytes, cases[i].offset);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(wait_for(&cb), reason);
        CHECK_EQ(aio_return(&cb), expected);
    }
}
