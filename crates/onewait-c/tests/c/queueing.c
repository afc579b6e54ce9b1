/* Rules 1 to 8 and 18 to 22: what the call itself checks, promises and returns. */
#include "check.h"

#include <limits.h>
#include <stddef.h>
#include <sys/mman.h>

static char buffer[1 << 16];

static void *map(size_t bytes, int protection) {
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

TEST(same, rule_01_status_is_in_progress_when_the_call_returns) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
}

TEST(same, rule_01_an_old_status_does_not_show_through) {
    int fd = pattern_file("data", sizeof buffer);
    for (int i = 0; i < 2000; i++) {
        /* As after a failure of an earlier life. */
        struct aiocb cb = REQUEST(fd, buffer, 512, i);
        cb.__error_code = EIO;
        cb.__return_value = -1;
        CHECK_EQ(aio_read(&cb), 0);
        int status = aio_error(&cb);
        CHECK(status == EINPROGRESS || status == 0);
        CHECK_EQ(finish(&cb), 512);
    }
}

TEST(same, rule_02_bad_descriptor_completes_with_ebadf) {
    int closed = pattern_file("data", 10);
    close(closed);
    int descriptors[] = {-1, INT_MIN, INT_MAX, 9999, closed, AT_FDCWD};
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++) {
        struct aiocb read = REQUEST(descriptors[i], buffer, 10, 0), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(wait_for(&read), EBADF);
        CHECK_EQ(aio_return(&read), -1);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(wait_for(&write), EBADF);
        CHECK_EQ(aio_return(&write), -1);
    }
}

TEST(same, rule_03_wrong_access_mode_completes_with_ebadf) {
    pattern_file("data", 10);
    struct aiocb read = REQUEST(open("data", O_WRONLY), buffer, 10, 0);
    CHECK_EQ(aio_read(&read), 0);
    CHECK_EQ(wait_for(&read), EBADF);
    CHECK_EQ(aio_return(&read), -1);
    struct aiocb write = REQUEST(open("data", O_RDONLY), buffer, 10, 0);
    CHECK_EQ(aio_write(&write), 0);
    CHECK_EQ(wait_for(&write), EBADF);
    CHECK_EQ(aio_return(&write), -1);
    struct aiocb path = REQUEST(open("data", O_PATH), buffer, 10, 0);
    CHECK_EQ(aio_read(&path), 0);
    CHECK_EQ(wait_for(&path), EBADF);
}

TEST(same, rule_03_wrong_end_of_a_pipe_completes_with_ebadf) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb read = REQUEST(ends[1], buffer, 1, 0), write = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&read), 0);
    CHECK_EQ(aio_write(&write), 0);
    CHECK_EQ(wait_for(&read), EBADF);
    CHECK_EQ(wait_for(&write), EBADF);
}

/* To io_uring -1 means "at the file's position", which would succeed. */
TEST(same, rule_04_negative_offset_completes_with_einval) {
    int fd = pattern_file("data", 4096);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    off_t offsets[] = {-1, -2, -4096, INT64_MIN};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct aiocb read = REQUEST(fd, buffer, 10, offsets[i]), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(wait_for(&read), EINVAL);
        CHECK_EQ(aio_return(&read), -1);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(wait_for(&write), EINVAL);
        CHECK_EQ(aio_return(&write), -1);
    }
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 100);
    CHECK_EQ(pread(fd, buffer, 4096, 0), 4096);
    check_pattern(buffer, 4096, 0);
}

TEST(same, rule_04_negative_offset_is_einval_on_a_pipe_too) {
    int ends[2];
    silent_pipe(ends);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    struct aiocb cb = REQUEST(ends[0], buffer, 3, -1);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EINVAL);
    cb = REQUEST(ends[1], buffer, 3, -1);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), EINVAL);
    CHECK_EQ(read(ends[0], buffer, 10), 3);
}

TEST(same, rule_05_offset_overflow_completes_with_einval) {
    int fd = pattern_file("data", 4096);
    off_t offsets[] = {INT64_MAX, INT64_MAX - 4094};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct aiocb read = REQUEST(fd, buffer, 4096, offsets[i]), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(wait_for(&read), EINVAL);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(wait_for(&write), EINVAL);
    }
}

TEST(same, rule_05_a_far_offset_that_does_not_overflow_is_the_file_systems_business) {
    int fd = pattern_file("data", 4096);
    off_t offset = INT64_MAX - 4096;
    struct aiocb read = REQUEST(fd, buffer, 4096, offset), write = read;
    ssize_t expected = pwrite(fd, buffer, 4096, offset);
    int reason = errno;
    if (expected != -1) SKIP("this file system has files of 8 EiB");
    CHECK_EQ(aio_read(&read), 0);
    CHECK_EQ(finish(&read), 0);
    CHECK_EQ(aio_write(&write), 0);
    CHECK_EQ(wait_for(&write), reason);
}

TEST(same, rule_06_priority_out_of_range_is_refused_at_the_call) {
    int fd = pattern_file("data", 4096);
    int priorities[] = {-1, 21, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
        struct aiocb read = REQUEST(fd, buffer, 10, 0);
        read.aio_reqprio = priorities[i];
        struct aiocb write = read;
        CHECK_ERRNO(aio_read(&read), EINVAL);
        CHECK_EQ(aio_error(&read), EINVAL);
        CHECK_EQ(aio_return(&read), -1);
        CHECK_ERRNO(aio_write(&write), EINVAL);
        CHECK_EQ(aio_error(&write), EINVAL);
        CHECK_EQ(aio_return(&write), -1);
        CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
    }
}

TEST(same, rule_06_every_priority_in_range_works) {
    int fd = pattern_file("data", 4096);
    for (int priority = 0; priority <= 20; priority++) {
        struct aiocb cb = REQUEST(fd, buffer, 10, priority);
        cb.aio_reqprio = priority;
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 10);
        check_pattern(buffer, 10, priority);
    }
}

/* POSIX says EINVAL; the kernel looks at the end of the buffer first, and says EFAULT. The original is right. */
TEST(same, rule_07_more_bytes_than_ssize_max_fail_like_read) {
    int fd = pattern_file("data", 4096), ends[2];
    silent_pipe(ends);
    volatile size_t lengths[] = {(size_t)SSIZE_MAX + 1, SIZE_MAX, SIZE_MAX - 4095, SSIZE_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        CHECK_EQ(pread(fd, buffer, lengths[i], 0), -1);
        int reason = errno;
        CHECK(reason == EINVAL || reason == EFAULT);
        struct aiocb read = REQUEST(fd, buffer, lengths[i], 0), write = read;
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(wait_for(&read), reason);
        CHECK_EQ(aio_return(&read), -1);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(wait_for(&write), reason);
        struct aiocb pipe_read = REQUEST(ends[0], buffer, lengths[i], 0);
        CHECK_EQ(aio_read(&pipe_read), 0);
        CHECK_EQ(wait_for(&pipe_read), reason);
        struct aiocb bad = REQUEST(-1, buffer, lengths[i], 0);
        CHECK_EQ(aio_read(&bad), 0);
        CHECK_EQ(wait_for(&bad), EBADF);
    }
}

/* /dev/null takes what it is given without looking at it, so nothing of the buffer becomes real memory. */
TEST(same, rule_08_lengths_are_clamped_like_those_of_write) {
    int fd = open("/dev/null", O_WRONLY);
    size_t lengths[] = {0x7ffff000, 0x7ffff001, 0x80000000, 0x100000000, 0x100000001, 0x17ffff000};
    char *huge = map((size_t)7 << 30, PROT_READ);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct aiocb cb = REQUEST(fd, huge, lengths[i], 0);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), 0x7ffff000);
    }
}

TEST(same, rule_08_a_length_that_is_small_modulo_32_bits_is_not_small) {
    int fd = pattern_file("data", 10000);
    char *huge = map((size_t)5 << 30, PROT_READ | PROT_WRITE);
    struct aiocb cb = REQUEST(fd, huge, ((size_t)1 << 32) + 100, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 10000);
    check_pattern(huge, 10000, 0);
}

/* Whether a thread or a ring can be had in so little memory is the engine's business; that it is said with EAGAIN, and
 * that it is no lasting harm, is the rule. */
TEST(same, rule_18_without_memory_the_call_fails_with_eagain_or_the_request_completes) {
    int fd = pattern_file("data", 4096);
    FILE *statm = fopen("/proc/self/statm", "re");
    SET_UP(statm != NULL);
    long pages;
    CHECK_EQ(fscanf(statm, "%ld", &pages), 1);
    struct rlimit before, tight;
    CHECK_EQ(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)pages * 4096 + (64 << 10);
    SET_UP(setrlimit(RLIMIT_AS, &tight) == 0);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    int result = aio_read(&cb);
    int reason = errno;
    SET_UP(setrlimit(RLIMIT_AS, &before) == 0);
    if (result == 0) {
        CHECK_EQ(finish(&cb), 4096);
    } else {
        CHECK_EQ(reason, EAGAIN);
        CHECK(aio_error(&cb) != EINPROGRESS);
        CHECK_EQ(aio_cancel(fd, NULL), AIO_ALLDONE);
    }
    cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
}

TEST(same, rule_18_a_flood_is_accepted_or_refused_but_never_lost) {
    enum { count = 10000 };
    static struct aiocb cbs[count];
    static bool accepted[count];
    int ends[2], taken = 0;
    silent_pipe(ends);
    for (int i = 0; i < count; i++) {
        cbs[i] = REQUEST(ends[0], &buffer[i], 1, 0);
        int result = aio_read(&cbs[i]);
        CHECK(result == 0 || (result == -1 && errno == EAGAIN));
        accepted[i] = result == 0;
        taken += accepted[i];
    }
    CHECK(taken > 0);
    /* A pipe holds 64 KiB, so this does not wait. */
    for (int i = 0; i < taken; i++) CHECK_EQ(write(ends[1], "x", 1), 1);
    for (int i = 0; i < count; i++)
        if (accepted[i]) CHECK_EQ(finish(&cbs[i]), 1);
}

/* A program may not change a control block in flight, but some do; the request that was asked for is the one that is
 * carried out. (glibc looks at a request that waits behind another only when its turn comes.) */
TEST(better, rule_19_the_fields_are_read_at_the_call) {
    static char first[4], second[4], wrong[4];
    int ends[2];
    silent_pipe(ends);
    struct aiocb a = REQUEST(ends[0], first, 4, 0), b = REQUEST(ends[0], second, 4, 0);
    CHECK_EQ(aio_read(&a), 0);
    CHECK_EQ(aio_read(&b), 0);
    a.aio_buf = b.aio_buf = wrong;
    a.aio_nbytes = b.aio_nbytes = 1;
    CHECK_EQ(write(ends[1], "abcdefgh", 8), 8);
    CHECK_EQ(finish(&a), 4);
    CHECK_EQ(finish(&b), 4);
    CHECK_EQ(memcmp(wrong, "\0\0\0\0", 4), 0);
    CHECK_EQ(memcmp(first, "abcd", 4), 0);
    CHECK_EQ(memcmp(second, "efgh", 4), 0);
}

TEST(same, rule_20_the_list_opcode_is_ignored_by_read_and_write) {
    int fd = pattern_file("data", 4096);
    int opcodes[] = {LIO_READ, LIO_WRITE, LIO_NOP, 77, -1};
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        struct aiocb cb = REQUEST(fd, buffer, 100, 0);
        memset(buffer, 0, 100);
        cb.aio_lio_opcode = opcodes[i];
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 100);
        check_pattern(buffer, 100, 0);
        cb.aio_offset = 4096;
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(finish(&cb), 100);
        CHECK_EQ(lseek(fd, 0, SEEK_END), 4196);
        SET_UP(ftruncate(fd, 4096) == 0);
    }
}

#define SAME_PLACE(FIELD) _Static_assert(offsetof(struct aiocb, FIELD) == offsetof(struct aiocb64, FIELD), #FIELD)
_Static_assert(sizeof(struct aiocb) == sizeof(struct aiocb64), "size");
SAME_PLACE(aio_fildes);
SAME_PLACE(aio_lio_opcode);
SAME_PLACE(aio_reqprio);
SAME_PLACE(aio_buf);
SAME_PLACE(aio_nbytes);
SAME_PLACE(aio_sigevent);
SAME_PLACE(aio_offset);

TEST(same, rule_21_the_64_names_do_the_same) {
    int fd = pattern_file("data", 4096);
    struct aiocb64 cb = {.aio_fildes = fd, .aio_buf = buffer, .aio_nbytes = 4096};
    cb.aio_sigevent.sigev_notify = SIGEV_NONE;
    const struct aiocb64 *wait[] = {&cb};
    CHECK_EQ(aio_read64(&cb), 0);
    while (aio_error64(&cb) == EINPROGRESS) CHECK_EQ(aio_suspend64(wait, 1, NULL), 0);
    CHECK_EQ(aio_return64(&cb), 4096);
    check_pattern(buffer, 4096, 0);
    cb.aio_offset = 4096;
    CHECK_EQ(aio_write64(&cb), 0);
    CHECK_EQ(aio_suspend64(wait, 1, NULL), 0);
    CHECK_EQ(aio_return64(&cb), 4096);
    CHECK_EQ(aio_fsync64(O_SYNC, &cb), 0);
    CHECK_EQ(aio_suspend64(wait, 1, NULL), 0);
    CHECK_EQ(aio_return64(&cb), 0);
    CHECK_EQ(aio_cancel64(fd, &cb), AIO_ALLDONE);
    struct aiocb64 *list[] = {&cb};
    cb.aio_lio_opcode = LIO_READ;
    CHECK_EQ(lio_listio64(LIO_WAIT, list, 1, NULL), 0);
    CHECK_EQ(aio_return64(&cb), 4096);
    check_pattern(buffer, 4096, 0);
}

TEST(same, rule_21_the_64_names_and_the_others_mix) {
    int fd = pattern_file("data", 4096), ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read64((struct aiocb64 *)&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    struct aiocb head = REQUEST(ends[0], buffer, 1, 0), queued = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&head), 0);
    CHECK_EQ(aio_read(&queued), 0);
    CHECK_EQ(aio_cancel64(ends[0], (struct aiocb64 *)&queued), AIO_CANCELED);
    CHECK_EQ(aio_error64((struct aiocb64 *)&queued), ECANCELED);
}

TEST(same, rule_22_a_completed_control_block_can_be_used_again_without_aio_return) {
    int fd = pattern_file("data", sizeof buffer);
    struct aiocb cb = REQUEST(fd, buffer, 512, 0);
    for (int i = 0; i < 5000; i++) {
        cb.aio_offset = i * 7;
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(wait_for(&cb), 0);
        check_pattern(buffer, 512, i * 7);
    }
    CHECK_EQ(aio_return(&cb), 512);
}

TEST(same, aio_init_takes_any_numbers) {
    struct aioinit init = {.aio_threads = -5, .aio_num = INT_MIN, .aio_locks = -1, .aio_usedba = -1, .aio_debug = 7};
    aio_init(&init);
    int fd = pattern_file("data", 4096);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    init = (struct aioinit){.aio_threads = 64, .aio_num = 1024, .aio_idle_time = 1};
    aio_init(&init);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
}
