/* Rules 53 to 59: aio_fsync. */
#include "check.h"

static char buffer[1 << 20];

TEST(same, rule_53_bad_operation_is_einval) {
    int fd = pattern_file("data", 10), operations[] = {0, -1, 77, O_RDWR, O_SYNC | O_DSYNC | 1};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        struct aiocb cb = REQUEST(fd, NULL, 0, 0);
        CHECK_ERRNO(aio_fsync(operations[i], &cb), EINVAL);
    }
    /* Before the descriptor is looked at. */
    struct aiocb bad = REQUEST(-1, NULL, 0, 0);
    CHECK_ERRNO(aio_fsync(77, &bad), EINVAL);
}

TEST(same, rule_54_bad_descriptor_is_ebadf_at_the_call) {
    struct aiocb cb = REQUEST(-1, NULL, 0, 0);
    CHECK_ERRNO(aio_fsync(O_SYNC, &cb), EBADF);
    cb.aio_fildes = 9999;
    CHECK_ERRNO(aio_fsync(O_DSYNC, &cb), EBADF);
    cb.aio_fildes = pattern_file("data", 10);
    close(cb.aio_fildes);
    CHECK_ERRNO(aio_fsync(O_SYNC, &cb), EBADF);
}

TEST(same, rule_55_a_read_only_descriptor_succeeds) {
    pattern_file("data", 10);
    struct aiocb cb = REQUEST(open("data", O_RDONLY), NULL, 0, 0);
    int operations[] = {O_SYNC, O_DSYNC};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(aio_fsync(operations[i], &cb), 0);
        CHECK_EQ(wait_for(&cb), 0);
        CHECK_EQ(aio_return(&cb), 0);
    }
    struct aiocb directory = REQUEST(open(".", O_RDONLY | O_DIRECTORY), NULL, 0, 0);
    CHECK_EQ(aio_fsync(O_SYNC, &directory), 0);
    CHECK_EQ(finish(&directory), 0);
}

TEST(same, rule_55_only_the_descriptor_and_the_event_of_the_block_count) {
    struct aiocb cb = REQUEST(pattern_file("data", 10), (void *)8, SIZE_MAX, -5);
    cb.aio_lio_opcode = 77;
    cb.aio_reqprio = 99;
    CHECK_EQ(aio_fsync(O_SYNC, &cb), 0);
    CHECK_EQ(finish(&cb), 0);
}

TEST(same, rule_56_a_pipe_completes_with_einval) {
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 2; i++) {
        struct aiocb cb = REQUEST(ends[i], NULL, 0, 0);
        CHECK_EQ(aio_fsync(i == 0 ? O_SYNC : O_DSYNC, &cb), 0);
        CHECK_EQ(wait_for(&cb), EINVAL);
        CHECK_EQ(aio_return(&cb), -1);
    }
}

/* Queues writes of the given priorities, then a sync, and looks at the moment it is over whether the writes are. */
static void sync_covers_writes(int fd, int lowest, int highest, size_t bytes) {
    enum { count = 48 };
    static struct aiocb cbs[count];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < count; i++) {
            cbs[i] = REQUEST(fd, buffer, bytes, i * (off_t)bytes);
            cbs[i].aio_reqprio = lowest + i % (highest - lowest + 1);
            CHECK_EQ(aio_write(&cbs[i]), 0);
        }
        struct aiocb sync = REQUEST(fd, NULL, 0, 0);
        CHECK_EQ(aio_fsync(round % 2 == 0 ? O_DSYNC : O_SYNC, &sync), 0);
        CHECK_EQ(wait_for(&sync), 0);
        for (int i = 0; i < count; i++) CHECK_EQ(aio_error(&cbs[i]), 0);
        for (int i = 0; i < count; i++) CHECK_EQ(aio_return(&cbs[i]), bytes);
        CHECK_EQ(aio_return(&sync), 0);
    }
}

TEST(same, rule_57_it_covers_all_earlier_writes) {
    int fd = pattern_file("data", 0);
    sync_covers_writes(fd, 0, 0, 4096);
    sync_covers_writes(fd, 0, 0, sizeof buffer);
}

TEST(better, rule_57_it_covers_earlier_writes_of_any_priority) {
    int fd = pattern_file("data", 0);
    sync_covers_writes(fd, 1, 20, 256 << 10);
}

TEST(same, rule_58_silent_descriptors_do_not_delay_it) {
    enum { count = 8 };
    int pipes[count][2], fd = pattern_file("data", 4096);
    struct aiocb cbs[count], sync = REQUEST(fd, NULL, 0, 0), write_cb = REQUEST(fd, buffer, 4096, 0);
    for (int i = 0; i < count; i++) {
        silent_pipe(pipes[i]);
        cbs[i] = REQUEST(pipes[i][0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    CHECK_EQ(aio_write(&write_cb), 0);
    CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
    CHECK_EQ(finish(&sync), 0);
    CHECK_EQ(aio_error(&write_cb), 0);
    for (int i = 0; i < count; i++) {
        CHECK_EQ(aio_error(&cbs[i]), EINPROGRESS);
        CHECK_EQ(write(pipes[i][1], "x", 1), 1);
        CHECK_EQ(finish(&cbs[i]), 1);
    }
}

TEST(same, rule_58_it_does_not_delay_other_descriptors) {
    int slow = pattern_file("slow", 0), other = pattern_file("other", 4096);
    for (int i = 0; i < 20; i++) {
        struct aiocb cb = REQUEST(slow, buffer, sizeof buffer, 0), sync = REQUEST(slow, NULL, 0, 0);
        struct aiocb read = REQUEST(other, buffer, 4096, 0);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(finish(&read), 4096);
        CHECK_EQ(finish(&sync), 0);
        CHECK_EQ(aio_error(&cb), 0);
    }
}

/* They may go first or wait; what matters is that a stream of them does not keep the sync from its turn for ever. */
TEST(same, rule_59_later_writes_do_not_hold_it_up) {
    enum { count = 64 };
    static struct aiocb cbs[count];
    int fd = pattern_file("data", 0);
    struct aiocb first = REQUEST(fd, buffer, 4096, 0), sync = REQUEST(fd, NULL, 0, 0);
    CHECK_EQ(aio_write(&first), 0);
    CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
    for (int i = 0; i < count; i++) {
        cbs[i] = REQUEST(fd, buffer, 4096, 4096);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
    int64_t end = now_ms() + PATIENCE_MS;
    for (int i = 0; aio_error(&sync) == EINPROGRESS; i = (i + 1) % count) {
        CHECK_EQ(finish(&cbs[i]), 4096);
        CHECK_EQ(aio_write(&cbs[i]), 0);
        CHECK(now_ms() < end);
    }
    CHECK_EQ(aio_return(&sync), 0);
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), 4096);
}

TEST(same, rule_59_several_syncs_in_a_row_complete) {
    enum { count = 16 };
    struct aiocb writes[count], syncs[count];
    int fd = pattern_file("data", 0);
    for (int i = 0; i < count; i++) {
        writes[i] = REQUEST(fd, buffer, 4096, i * 4096);
        syncs[i] = REQUEST(fd, NULL, 0, 0);
        CHECK_EQ(aio_write(&writes[i]), 0);
        CHECK_EQ(aio_fsync(i % 2 == 0 ? O_SYNC : O_DSYNC, &syncs[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        CHECK_EQ(finish(&syncs[i]), 0);
        for (int j = 0; j <= i; j++) CHECK_EQ(aio_error(&writes[j]), 0);
    }
}
