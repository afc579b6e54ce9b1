/* Rules 23 to 30: what aio_error and aio_return say, and when. */
#include "check.h"

#include <sys/mman.h>

static char buffer[1 << 16];

/* "Takes no lock" is tested where a lock would be felt: in handlers (suspend.c, rule 40). Nor does it write. */
TEST(same, rule_23_aio_error_only_reads) {
    int fd = pattern_file("data", 4096);
    struct aiocb *cb = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(cb), 0);
    CHECK_EQ(wait_for(cb), 0);
    CHECK_EQ(mprotect(cb, 4096, PROT_READ), 0);
    CHECK_EQ(aio_error(cb), 0);
}

TEST(same, rule_24_final_values_are_0_an_errno_or_ecanceled) {
    int fd = pattern_file("data", 4096), ends[2];
    silent_pipe(ends);
    struct aiocb good = REQUEST(fd, buffer, 10, 0), bad = REQUEST(-1, buffer, 10, 0);
    CHECK_EQ(aio_read(&good), 0);
    CHECK_EQ(aio_read(&bad), 0);
    CHECK_EQ(wait_for(&good), 0);
    CHECK_EQ(wait_for(&bad), EBADF);
    /* The second of two, since glibc cannot cancel the one that its thread is busy with. */
    struct aiocb head = REQUEST(ends[0], buffer, 1, 0), queued = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&head), 0);
    CHECK_EQ(aio_read(&queued), 0);
    CHECK_EQ(aio_cancel(ends[0], &queued), AIO_CANCELED);
    CHECK_EQ(aio_error(&queued), ECANCELED);
    /* Final means final. */
    sleep_ms(20);
    CHECK_EQ(aio_error(&good), 0);
    CHECK_EQ(aio_error(&bad), EBADF);
    CHECK_EQ(aio_error(&queued), ECANCELED);
}

TEST(same, rule_25_zeroed_control_block_has_status_0) {
    struct aiocb cb;
    memset(&cb, 0, sizeof cb);
    CHECK_EQ(aio_error(&cb), 0);
    CHECK_EQ(aio_return(&cb), 0);
}

/* The reason of a failure is aio_error's to tell: glibc's aio_return leaves errno alone. */
TEST(same, rule_26_aio_return_gives_bytes_or_minus_1) {
    int fd = pattern_file("data", 4096);
    struct aiocb cb = REQUEST(fd, buffer, 1234, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), 0);
    CHECK_EQ(aio_return(&cb), 1234);
    cb.aio_fildes = -1;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(wait_for(&cb), EBADF);
    errno = 12345;
    CHECK_EQ(aio_return(&cb), -1);
    CHECK_EQ(errno, 12345);
    CHECK_EQ(aio_error(&cb), EBADF);
}

TEST(same, rule_27_a_second_aio_return_gives_the_same) {
    int fd = pattern_file("data", 4096);
    struct aiocb good = REQUEST(fd, buffer, 1234, 0), bad = REQUEST(-1, buffer, 10, 0);
    CHECK_EQ(aio_read(&good), 0);
    CHECK_EQ(aio_read(&bad), 0);
    CHECK_EQ(finish(&good), 1234);
    CHECK_EQ(wait_for(&bad), EBADF);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(aio_return(&good), 1234);
        CHECK_EQ(aio_error(&good), 0);
        CHECK_EQ(aio_return(&bad), -1);
        CHECK_EQ(aio_error(&bad), EBADF);
    }
}

TEST(same, rule_28_aio_return_in_progress_does_no_harm) {
    int ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], buffer, 3, 0);
    CHECK_EQ(aio_read(&cb), 0);
    for (int i = 0; i < 100; i++) aio_return(&cb);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    CHECK_EQ(finish(&cb), 3);
    CHECK_EQ(memcmp(buffer, "abc", 3), 0);
}

/* Each control block is alone on its page, which goes away the moment that aio_return could be called. Whoever touches
 * the block afterwards dies. */
enum how { by_spinning, by_suspend, by_list };

static void *free_at_once(void *how) {
    char own[512];
    int fd = open("data", O_RDWR);
    for (int i = 0; i < 3000; i++) {
        struct aiocb *cb = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(cb != MAP_FAILED);
        *cb = REQUEST(fd, own, sizeof own, i % 64 * 512);
        cb->aio_lio_opcode = i % 2 == 0 ? LIO_READ : LIO_WRITE;
        const struct aiocb *wait[] = {cb};
        struct aiocb *list[] = {cb};
        if (*(enum how *)how == by_list) {
            CHECK_EQ(lio_listio(LIO_WAIT, list, 1, NULL), 0);
        } else {
            CHECK_EQ(i % 2 == 0 ? aio_read(cb) : aio_write(cb), 0);
            while (aio_error(cb) == EINPROGRESS)
                if (*(enum how *)how == by_suspend) CHECK_EQ(aio_suspend(wait, 1, NULL), 0);
        }
        CHECK_EQ(aio_return(cb), sizeof own);
        CHECK_EQ(munmap(cb, 4096), 0);
    }
    return NULL;
}

static void free_at_once_in_threads(enum how how) {
    pthread_t threads[4];
    close(pattern_file("data", sizeof buffer));
    for (int i = 0; i < 4; i++) SET_UP(pthread_create(&threads[i], NULL, free_at_once, &how) == 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(same, rule_29_a_control_block_can_be_freed_after_spinning_on_aio_error) { free_at_once_in_threads(by_spinning); }

TEST(same, rule_29_a_control_block_can_be_freed_after_aio_suspend) { free_at_once_in_threads(by_suspend); }

TEST(same, rule_29_a_control_block_can_be_freed_after_a_list) { free_at_once_in_threads(by_list); }

static void free_in_callback(union sigval value) {
    struct aiocb *cb = value.sival_ptr;
    CHECK_EQ(aio_error(cb), 0);
    CHECK_EQ(aio_return(cb), 512);
    CHECK_EQ(munmap(cb, 4096), 0);
}

TEST(same, rule_29_a_control_block_can_be_freed_by_its_own_notification) {
    int fd = pattern_file("data", sizeof buffer);
    for (int i = 0; i < 1000; i++) {
        struct aiocb *cb = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(cb != MAP_FAILED);
        *cb = REQUEST(fd, buffer, 512, i);
        cb->aio_sigevent.sigev_notify = SIGEV_THREAD;
        cb->aio_sigevent.sigev_notify_function = free_in_callback;
        cb->aio_sigevent.sigev_value.sival_ptr = cb;
        CHECK_EQ(aio_read(cb), 0);
        unsigned char in_core;
        EVENTUALLY(mincore(cb, 4096, &in_core) == -1 && errno == ENOMEM);
    }
}

TEST(same, rule_30_the_error_comes_after_the_data_and_the_return_value) {
    enum { size = 8192 };
    int fd = pattern_file("data", sizeof buffer);
    for (int i = 0; i < 5000; i++) {
        off_t offset = i * 11 % (int)(sizeof buffer - size);
        struct aiocb cb = REQUEST(fd, buffer, size, offset);
        buffer[0] = (char)~pattern_at(offset);
        buffer[size - 1] = (char)~pattern_at(offset + size - 1);
        if (i % 500 == 0) CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(aio_read(&cb), 0);
        while (aio_error(&cb) == EINPROGRESS) {}
        CHECK_EQ(aio_return(&cb), size);
        CHECK_EQ((unsigned char)buffer[0], pattern_at(offset));
        CHECK_EQ((unsigned char)buffer[size - 1], pattern_at(offset + size - 1));
    }
}
