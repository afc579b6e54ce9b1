/* Rules 7 to 17: what io_submit takes, and what it refuses, before anything is done. */
#include "libaio_check.h"

#include <sys/syscall.h>

static char buffer[4 * BLOCK];

/* Refused, and nothing comes of it. */
#define REFUSED(CTX, CB, ERROR)                                                                                        \
    do {                                                                                                               \
        CHECK_GIVES(submit((CTX), (CB)), -(ERROR));                                                                    \
        nothing_to_reap(CTX);                                                                                          \
    } while (0)

TEST(same, rule_07_none_is_none_and_less_is_einval) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0), *list[] = {&cb};
    CHECK_GIVES(io_submit(ctx, 0, list), 0);
    CHECK_GIVES(io_submit(ctx, 0, NULL), 0);
    CHECK_GIVES(io_submit(ctx, -1, list), -EINVAL);
    CHECK_GIVES(io_submit(ctx, INT64_MIN, list), -EINVAL);
    nothing_to_reap(ctx);
}

TEST(same, rule_08_a_bad_context_is_einval) {
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0), *list[] = {&cb};
    CHECK_GIVES(io_submit(NULL, 1, list), -EINVAL);
    CHECK_GIVES(io_submit(NULL, 0, NULL), -EINVAL);
    io_context_t ctx = new_context(8);
    CHECK_GIVES(io_destroy(ctx), 0);
    CHECK_GIVES(io_submit(ctx, 1, list), -EINVAL);
    CHECK_GIVES(io_submit(ctx, 0, NULL), -EINVAL);
}

TEST(same, rule_09_no_array_or_no_entry_is_efault) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    struct iocb *empty[] = {NULL}, *broken[] = {&cb, NULL, &cb};
    CHECK_GIVES(io_submit(ctx, 1, NULL), -EFAULT);
    CHECK_GIVES(io_submit(ctx, 1, empty), -EFAULT);
    nothing_to_reap(ctx);
    CHECK_GIVES(io_submit(ctx, 3, broken), 1);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, BLOCK);
    nothing_to_reap(ctx);
}

TEST(same, rule_10_what_stands_before_a_bad_one_is_done) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 4 * BLOCK);
    struct iocb cbs[5];
    struct iocb *list[5];
    for (int i = 0; i < 5; i++) {
        cbs[i] = read_of(fd, buffer, BLOCK, 0);
        list[i] = &cbs[i];
    }
    for (int bad = 0; bad < 5; bad++) {
        cbs[bad].aio_fildes = -1;
        CHECK_GIVES(io_submit(ctx, 5, list), bad == 0 ? -EBADF : bad);
        struct io_event events[5];
        reap(ctx, bad, events);
        for (int i = 0; i < bad; i++) CHECK_EQ(events[i].res, BLOCK);
        nothing_to_reap(ctx);
        cbs[bad].aio_fildes = fd;
    }
    CHECK_GIVES(io_submit(ctx, 5, list), 5);
    struct io_event events[5];
    reap(ctx, 5, events);
}

TEST(same, rule_11_a_bad_descriptor_or_access_mode_is_ebadf) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK), ends[2];
    silent_pipe(ends);
    int reader = open("data", O_RDONLY), writer = open("data", O_WRONLY), path = open("data", O_PATH);
    int closed = dup(fd);
    close(closed);
    struct iovec vector = {buffer, BLOCK};
    struct iocb cbs[11] = {
        read_of(-1, buffer, BLOCK, 0),     read_of(closed, buffer, BLOCK, 0), read_of(1 << 20, buffer, BLOCK, 0),
        read_of(writer, buffer, BLOCK, 0), write_of(reader, buffer, 1, 0),    read_of(ends[1], buffer, 1, 0),
        write_of(ends[0], buffer, 1, 0),   poll_of(closed, POLLIN),           read_of(path, buffer, BLOCK, 0),
    };
    io_prep_fsync(&cbs[9], closed);
    io_prep_preadv(&cbs[10], writer, &vector, 1, 0);
    for (int i = 0; i < 11; i++) REFUSED(ctx, &cbs[i], EBADF);
    io_prep_fdsync(&cbs[9], -1);
    REFUSED(ctx, &cbs[9], EBADF);
    io_prep_pwritev(&cbs[10], reader, &vector, 1, 0);
    REFUSED(ctx, &cbs[10], EBADF);
}

TEST(same, rule_12_an_unknown_opcode_is_einval) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    const short opcodes[] = {4, IO_CMD_NOOP, 9, 10, 100, -1, INT16_MIN};
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++) {
        struct iocb cb = read_of(fd, buffer, BLOCK, 0);
        cb.aio_lio_opcode = opcodes[i];
        REFUSED(ctx, &cb, EINVAL);
    }
}

TEST(same, rule_12_a_reserved_field_is_einval) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    cb.u.c.__pad3 = 1;
    REFUSED(ctx, &cb, EINVAL);
    cb.aio_fildes = -1; /* which is looked at later */
    REFUSED(ctx, &cb, EINVAL);
}

TEST(same, rule_13_a_length_beyond_63_bits_is_einval) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    struct iocb cb = read_of(fd, buffer, (size_t)1 << 63, 0);
    REFUSED(ctx, &cb, EINVAL);
    cb = write_of(fd, buffer, SIZE_MAX, 0);
    REFUSED(ctx, &cb, EINVAL);
}

TEST(same, rule_14_unknown_read_and_write_flags_are_eopnotsupp) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    const int flags[] = {1 << 12, 1 << 20, INT32_MIN, 1 << 30 | RWF_NOWAIT};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct iocb cb = read_of(fd, buffer, BLOCK, 0);
        cb.aio_rw_flags = flags[i];
        REFUSED(ctx, &cb, EOPNOTSUPP);
        cb = write_of(fd, buffer, BLOCK, 0);
        cb.aio_rw_flags = flags[i];
        REFUSED(ctx, &cb, EOPNOTSUPP);
    }
    struct iocb cb = read_of(fd, buffer, BLOCK, 0); /* appending is for those who write */
    cb.aio_rw_flags = RWF_APPEND;
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
}

TEST(same, rule_15_unknown_flags_are_ignored) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    cb.u.c.flags = 0xfffffffc; /* all but RESFD and IOPRIO */
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    check_pattern(buffer, BLOCK, 0);
}

TEST(same, rule_16_fsync_takes_no_offset_buffer_or_length) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    for (int i = 0; i < 2; i++) {
        struct iocb cb;
        i == 0 ? io_prep_fsync(&cb, fd) : io_prep_fdsync(&cb, fd);
        CHECK_EQ(result_from(ctx, &cb), 0);
        struct iocb other = cb;
        other.u.c.offset = 1;
        REFUSED(ctx, &other, EINVAL);
        other = cb;
        other.u.c.buf = buffer;
        REFUSED(ctx, &other, EINVAL);
        other = cb;
        other.u.c.nbytes = 1;
        REFUSED(ctx, &other, EINVAL);
        other = cb;
        other.aio_rw_flags = RWF_DSYNC;
        REFUSED(ctx, &other, EINVAL);
        other = cb;
        other.aio_fildes = open("data", O_RDONLY);
        CHECK_EQ(result_from(ctx, &other), 0);
        int ends[2];
        silent_pipe(ends);
        other.aio_fildes = ends[1];
        REFUSED(ctx, &other, EINVAL);
    }
}

TEST(same, rule_17_a_negative_offset_is_einval) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    const long long offsets[] = {-1, -BLOCK, INT64_MIN, INT64_MAX, INT64_MAX - BLOCK + 1}; /* and beyond the last one */
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct iocb cb = read_of(fd, buffer, BLOCK, offsets[i]);
        REFUSED(ctx, &cb, EINVAL);
        cb = write_of(fd, buffer, BLOCK, offsets[i]);
        REFUSED(ctx, &cb, EINVAL);
    }
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

/* The kernel says with the key that the block has been taken; io_cancel looks at it. */
TEST(same, the_key_is_made_zero) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    cb.key = 99;
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    CHECK_EQ(cb.key, 0);
}

/* The block is read at the call: it may be used for something else at once. */
TEST(same, the_block_is_free_when_the_call_returns) {
    enum { requests = 64 };
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", requests * BLOCK), direct = open_direct("data");
    uncache(fd);
    char *memory = aligned(requests * BLOCK);
    struct iocb *list[1], *cb = list[0] = malloc(sizeof *cb);
    SET_UP(cb != NULL);
    for (int i = 0; i < requests; i++) {
        *cb = read_of(i % 2 == 0 ? fd : direct, memory + i * BLOCK, BLOCK, i * BLOCK);
        cb->data = (void *)(intptr_t)(i + 1);
        CHECK_GIVES(io_submit(ctx, 1, list), 1);
        memset(cb, 0xff, sizeof *cb);
    }
    struct io_event events[requests];
    free(cb);
    reap(ctx, requests, events);
    bool seen[requests + 1] = {false};
    for (int i = 0; i < requests; i++) {
        intptr_t number = (intptr_t)events[i].data;
        CHECK(number > 0 && number <= requests && !seen[number]);
        seen[number] = true;
        CHECK_EQ(events[i].res, BLOCK);
    }
    check_pattern(memory, requests * BLOCK, 0);
}

/* The vectors, too, are read at the call. */
TEST(same, the_vectors_are_free_when_the_call_returns) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 4 * BLOCK);
    uncache(fd);
    struct iovec vectors[2] = {{buffer, BLOCK}, {buffer + BLOCK, 3 * BLOCK}};
    struct iocb cb;
    io_prep_preadv(&cb, fd, vectors, 2, 0);
    CHECK_GIVES(submit(ctx, &cb), 1);
    memset(vectors, 0xff, sizeof vectors);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 4 * BLOCK);
    check_pattern(buffer, 4 * BLOCK, 0);
}
