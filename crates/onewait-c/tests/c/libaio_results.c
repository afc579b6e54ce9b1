/* Rules 18 to 20, 29, 30 and 34: what a request's completion says. */
#include "libaio_check.h"

#include <linux/ioprio.h>
#include <sys/stat.h>

static char buffer[4 * BLOCK], back[4 * BLOCK];

enum { flag_ioprio = 2 }; /* IOCB_FLAG_IOPRIO of <linux/aio_abi.h>, which cannot be included beside <libaio.h> */

TEST(same, rule_18_a_bad_buffer_is_efault_in_the_completion) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 2 * BLOCK);
    char *hole = mmap(NULL, 2 * BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SET_UP(hole != MAP_FAILED);
    struct iocb cb = read_of(fd, hole, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    cb = write_of(fd, hole, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    cb = read_of(fd, NULL, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    int direct = open_direct("data");
    cb = read_of(direct, hole, BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    /* What comes before the hole is delivered. */
    SET_UP(mprotect(hole, BLOCK, PROT_READ | PROT_WRITE) == 0);
    cb = read_of(fd, hole, 2 * BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    check_pattern(hole, BLOCK, 0);
}

TEST(same, rule_18_uncached_and_a_bad_buffer) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 64 * BLOCK);
    char *hole = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SET_UP(hole != MAP_FAILED);
    uncache(fd);
    struct iocb cb = read_of(fd, hole, BLOCK, 32 * BLOCK);
    CHECK_EQ(result_from(ctx, &cb), -EFAULT);
    context_works(ctx, fd);
}

TEST(same, rule_19_a_misaligned_length_with_o_direct_is_einval_in_the_completion) {
    io_context_t ctx = new_context(8);
    close(pattern_file("data", 4 * BLOCK));
    int direct = open_direct("data");
    char *memory = aligned(2 * BLOCK);
    struct iocb cb = read_of(direct, memory, 100, 0);
    CHECK_EQ(result_from(ctx, &cb), -EINVAL);
    cb = read_of(direct, memory, BLOCK, 100);
    CHECK_EQ(result_from(ctx, &cb), -EINVAL);
    cb = write_of(direct, memory, BLOCK + 1, 0);
    CHECK_EQ(result_from(ctx, &cb), -EINVAL);
    cb = read_of(direct, memory, BLOCK, BLOCK);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    check_pattern(memory, BLOCK, BLOCK);
}

TEST(same, rule_20_data_and_block_come_back_and_res2_is_zero) {
    enum { requests = 32 };
    io_context_t ctx = new_context(requests);
    int fd = pattern_file("data", BLOCK);
    struct iocb cbs[requests], *list[requests];
    struct io_event events[requests];
    for (int i = 0; i < requests; i++) {
        cbs[i] = read_of(fd, buffer, (size_t)i, 0);
        cbs[i].data = (void *)(0x8000000000000000u + (uintptr_t)i);
        list[i] = &cbs[i];
    }
    memset(events, 0xff, sizeof events);
    CHECK_GIVES(io_submit(ctx, requests, list), requests);
    reap(ctx, requests, events);
    bool seen[requests] = {false};
    for (int i = 0; i < requests; i++) {
        long number = events[i].obj - cbs;
        CHECK(number >= 0 && number < requests && !seen[number]);
        seen[number] = true;
        CHECK_EQ((uintptr_t)events[i].data, 0x8000000000000000u + (uintptr_t)number);
        CHECK_EQ(events[i].res, number);
        CHECK_EQ(events[i].res2, 0);
    }
}

TEST(same, rule_20_also_for_a_failed_request) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), NULL, BLOCK, 0);
    cb.data = &cb;
    CHECK_GIVES(submit(ctx, &cb), 1);
    struct io_event event;
    memset(&event, 0xff, sizeof event);
    reap(ctx, 1, &event);
    CHECK(event.data == &cb && event.obj == &cb);
    CHECK_EQ(result_of(&event), -EFAULT);
    CHECK_EQ(event.res2, 0);
}

TEST(same, files_end_where_they_end) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 5000), direct = open_direct("data");
    char *memory = aligned(2 * BLOCK);
    struct iocb cb = read_of(fd, buffer, BLOCK, 4000);
    CHECK_EQ(result_from(ctx, &cb), 1000);
    check_pattern(buffer, 1000, 4000);
    cb = read_of(fd, buffer, BLOCK, 5000);
    CHECK_EQ(result_from(ctx, &cb), 0);
    cb = read_of(fd, buffer, BLOCK, 1LL << 40);
    CHECK_EQ(result_from(ctx, &cb), 0);
    cb = read_of(direct, memory, 2 * BLOCK, 0);
    CHECK_EQ(result_from(ctx, &cb), 5000);
    check_pattern(memory, 5000, 0);
    cb = read_of(fd, buffer, 0, 0);
    CHECK_EQ(result_from(ctx, &cb), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(same, a_directory_is_eisdir) {
    io_context_t ctx = new_context(8);
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    SET_UP(fd >= 0);
    struct iocb cb = read_of(fd, buffer, BLOCK, 0);
    int submitted = submit(ctx, &cb);
    CHECK_EQ(submitted, -EINVAL); /* the kernel has no asynchronous way to read it */
}

TEST(same, writes_arrive_and_sync) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    fill_pattern(buffer, BLOCK, 77);
    struct iocb cb = write_of(fd, buffer, BLOCK, 3 * BLOCK);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    io_prep_fsync(&cb, fd);
    CHECK_EQ(result_from(ctx, &cb), 0);
    io_prep_fdsync(&cb, fd);
    CHECK_EQ(result_from(ctx, &cb), 0);
    CHECK_EQ(pread(fd, back, BLOCK, 3 * BLOCK), BLOCK);
    CHECK_EQ(memcmp(buffer, back, BLOCK), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
}

TEST(same, appending_ignores_the_offset) {
    io_context_t ctx = new_context(8);
    close(pattern_file("data", 100));
    int fd = open("data", O_RDWR | O_APPEND);
    struct iocb cb = write_of(fd, "end", 3, 10);
    CHECK_EQ(result_from(ctx, &cb), 3);
    CHECK_EQ(pread(fd, back, 10, 100), 3);
    CHECK_EQ(memcmp(back, "end", 3), 0);
    /* The same by a flag of the request. */
    fd = open("data", O_RDWR);
    cb = write_of(fd, "more", 4, 10);
    cb.aio_rw_flags = RWF_APPEND;
    CHECK_EQ(result_from(ctx, &cb), 4);
    CHECK_EQ(pread(fd, back, 10, 103), 4);
    CHECK_EQ(memcmp(back, "more", 4), 0);
}

TEST(same, flags_of_a_write_are_taken) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    const int flags[] = {RWF_DSYNC, RWF_SYNC, RWF_HIPRI};
    for (int i = 0; i < 3; i++) {
        struct iocb cb = write_of(fd, "x", 1, i);
        cb.aio_rw_flags = flags[i];
        CHECK_EQ(result_from(ctx, &cb), 1);
    }
    CHECK_EQ(pread(fd, back, 3, 0), 3);
    CHECK_EQ(memcmp(back, "xxx", 3), 0);
}

TEST(same, rule_29_the_flag_takes_the_priority) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    cb.u.c.flags = flag_ioprio;
    for (short level = 0; level < 8; level++) {
        cb.aio_reqprio = (short)(IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | level);
        CHECK_EQ(result_from(ctx, &cb), BLOCK);
    }
    cb.aio_reqprio = (short)(IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    cb.aio_reqprio = 0;
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    cb.aio_reqprio = (short)(7 << IOPRIO_CLASS_SHIFT); /* no such class */
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    cb.u.c.flags = 0;
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
}

TEST(same, rule_29_real_time_needs_privilege) {
    close(pattern_file("data", BLOCK));
    SET_UP(chmod("data", 0666) == 0);
    int fd = open("data", O_RDWR);
    become_a_user_of_its_own();
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(fd, buffer, BLOCK, 0);
    cb.u.c.flags = flag_ioprio;
    cb.aio_reqprio = (short)(IOPRIO_CLASS_RT << IOPRIO_CLASS_SHIFT | 4);
    CHECK_GIVES(submit(ctx, &cb), -EPERM);
    nothing_to_reap(ctx);
}

TEST(same, rule_30_nowait_gives_what_is_cached) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    SET_UP(pread(fd, back, BLOCK, 0) == BLOCK);
    struct iocb cb = read_of(fd, buffer, BLOCK, 0);
    cb.aio_rw_flags = RWF_NOWAIT;
    CHECK_EQ(result_from(ctx, &cb), BLOCK);
    check_pattern(buffer, BLOCK, 0);
}

TEST(same, rule_30_nowait_does_not_wait_for_the_disk) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 1024 * BLOCK);
    for (int i = 0; i < 20; i++) { /* a page may stay that was just in use */
        uncache(fd);
        struct iocb cb = read_of(fd, buffer, BLOCK, 777 * BLOCK);
        cb.aio_rw_flags = RWF_NOWAIT;
        long result = result_from(ctx, &cb);
        if (result == -EAGAIN) return;
        CHECK_EQ(result, BLOCK);
    }
    SKIP("the page cache cannot be emptied here");
}

TEST(same, rule_30_nowait_on_an_empty_pipe) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = read_of(ends[0], buffer, 1, 0);
    cb.aio_rw_flags = RWF_NOWAIT;
    CHECK_EQ(result_from(ctx, &cb), -EAGAIN);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(result_from(ctx, &cb), 1);
}

TEST(same, rule_34_vectors_are_filled_in_order) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 4 * BLOCK);
    struct iovec vectors[4] = {{buffer, 100}, {buffer + 100, 0}, {buffer + 100, 900}, {buffer + 1000, 3000}};
    struct iocb cb;
    io_prep_preadv(&cb, fd, vectors, 4, 50);
    CHECK_EQ(result_from(ctx, &cb), 4000);
    check_pattern(buffer, 4000, 50);
    io_prep_pwritev(&cb, fd, vectors, 4, 2 * BLOCK);
    CHECK_EQ(result_from(ctx, &cb), 4000);
    CHECK_EQ(pread(fd, back, 4000, 2 * BLOCK), 4000);
    CHECK_EQ(memcmp(buffer, back, 4000), 0);
    io_prep_preadv2(&cb, fd, vectors, 4, 50, RWF_NOWAIT);
    CHECK_EQ(result_from(ctx, &cb), 4000);
    io_prep_pwritev2(&cb, fd, vectors, 4, 50, RWF_DSYNC);
    CHECK_EQ(result_from(ctx, &cb), 4000);
}

TEST(same, rule_34_no_vectors_are_nothing_and_too_many_are_einval) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", 4 * BLOCK);
    static struct iovec vectors[1025];
    for (int i = 0; i < 1025; i++) vectors[i] = (struct iovec){buffer + i, 1};
    struct iocb cb;
    io_prep_preadv(&cb, fd, vectors, 0, 0);
    CHECK_EQ(result_from(ctx, &cb), 0);
    io_prep_pwritev(&cb, fd, NULL, 0, 0);
    CHECK_EQ(result_from(ctx, &cb), 0);
    io_prep_preadv(&cb, fd, vectors, 1024, 0);
    CHECK_EQ(result_from(ctx, &cb), 1024);
    check_pattern(buffer, 1024, 0);
    for (int i = 0; i < 2; i++) {
        io_prep_preadv(&cb, fd, vectors, i == 0 ? 1025 : 1 << 20, 0);
        CHECK_GIVES(submit(ctx, &cb), -EINVAL);
        io_prep_pwritev(&cb, fd, vectors, i == 0 ? 1025 : 1 << 20, 0);
        CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    }
    nothing_to_reap(ctx);
}

TEST(same, rule_34_a_bad_list_of_vectors_is_efault) {
    io_context_t ctx = new_context(8);
    struct iocb cb;
    io_prep_preadv(&cb, pattern_file("data", BLOCK), NULL, 1, 0);
    CHECK_GIVES(submit(ctx, &cb), -EFAULT);
    nothing_to_reap(ctx);
}

TEST(same, rule_34_a_vector_of_more_than_63_bits_is_einval) {
    io_context_t ctx = new_context(8);
    struct iovec vectors[2] = {{buffer, 10}, {buffer, SIZE_MAX}};
    struct iocb cb;
    io_prep_preadv(&cb, pattern_file("data", BLOCK), vectors, 2, 0);
    CHECK_GIVES(submit(ctx, &cb), -EINVAL);
    nothing_to_reap(ctx);
}
