/* Rules 35, 36 and 39: the end of a context, and what is none. */
#include "libaio_check.h"

#include <sys/syscall.h>

static char buffer[64 * BLOCK];

/* All calls with something that is no context. */
static void is_no_context(io_context_t ctx) {
    static char byte;
    struct iocb cb = read_of(0, &byte, 1, 0), *list[] = {&cb};
    struct io_event event;
    struct timespec now = {0, 0}, soon = {0, 1000000};
    CHECK_GIVES(io_submit(ctx, 1, list), -EINVAL);
    CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 0, 1, &event, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 1, 1, &event, &now), -EINVAL);
    CHECK_GIVES(io_getevents(ctx, 1, 1, &event, &soon), -EINVAL);
    CHECK_GIVES(io_pgetevents(ctx, 0, 1, &event, NULL, NULL), -EINVAL);
    CHECK_GIVES(io_pgetevents(ctx, 1, 1, &event, &now, NULL), -EINVAL);
    CHECK_GIVES(io_destroy(ctx), -EINVAL);
    CHECK_GIVES(io_queue_release(ctx), -EINVAL);
}

TEST(same, rule_35_destroying_twice_is_einval) {
    io_context_t ctx = new_context(8);
    context_works(ctx, pattern_file("data", BLOCK));
    CHECK_GIVES(io_destroy(ctx), 0);
    CHECK_GIVES(io_destroy(ctx), -EINVAL);
    CHECK_GIVES(io_destroy(NULL), -EINVAL);
}

TEST(same, rule_35_destroying_cancels_polls) {
    enum { polls = 100 };
    io_context_t ctx = new_context(polls);
    int ends[2];
    silent_pipe(ends);
    static struct iocb cbs[polls];
    for (int i = 0; i < polls; i++) {
        cbs[i] = poll_of(ends[0], POLLIN);
        CHECK_GIVES(submit(ctx, &cbs[i]), 1);
    }
    CHECK_GIVES(io_destroy(ctx), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(read(ends[0], buffer, 1), 1);
    /* Nobody holds the pipe any more. */
    CHECK_EQ(close(ends[0]), 0);
    SET_UP(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    EVENTUALLY(write(ends[1], "x", 1) == -1 && errno == EPIPE);
}

/* When io_destroy is back, no memory is written to any more. */
TEST(same, rule_35_destroying_waits_for_what_is_under_way) {
    enum { requests = 64 };
    int fd = pattern_file("data", requests * BLOCK), direct = open_direct("data");
    for (int round = 0; round < 20; round++) {
        io_context_t ctx = new_context(requests);
        static struct iocb cbs[requests];
        struct iocb *list[requests];
        char *memory = mmap(NULL, requests * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        SET_UP(memory != MAP_FAILED);
        uncache(fd);
        for (int i = 0; i < requests; i++) {
            cbs[i] = read_of(round % 2 ? fd : direct, memory + i * BLOCK, BLOCK, i * BLOCK);
            list[i] = &cbs[i];
        }
        CHECK_GIVES(io_submit(ctx, requests, list), requests);
        CHECK_GIVES(io_destroy(ctx), 0);
        memset(memory, 0x77, requests * BLOCK);
        sleep_ms(5);
        for (int i = 0; i < requests * BLOCK; i++) CHECK_EQ(memory[i], 0x77);
        SET_UP(munmap(memory, requests * BLOCK) == 0);
    }
}

/* Writes that were taken are done, or were cancelled whole: no later write is overtaken by them. */
TEST(same, rule_35_no_write_comes_after_the_end) {
    enum { requests = 32 };
    static char back[requests * BLOCK];
    int fd = pattern_file("data", requests * BLOCK), direct = open_direct("data");
    char *memory = aligned(BLOCK);
    for (int round = 0; round < 10; round++) {
        io_context_t ctx = new_context(requests);
        struct iocb cbs[requests];
        memset(memory, 'o', BLOCK);
        for (int i = 0; i < requests; i++) {
            cbs[i] = write_of(round % 2 ? fd : direct, memory, BLOCK, i * BLOCK);
            CHECK_GIVES(submit(ctx, &cbs[i]), 1);
        }
        CHECK_GIVES(io_destroy(ctx), 0);
        memset(buffer, 'n', requests * BLOCK);
        CHECK_EQ(pwrite(fd, buffer, requests * BLOCK, 0), requests * BLOCK);
        sleep_ms(5);
        CHECK_EQ(pread(fd, back, requests * BLOCK, 0), requests * BLOCK);
        CHECK_EQ(memcmp(back, buffer, requests * BLOCK), 0);
    }
}

/* Who waits in another thread is let go. */
static io_context_t waited_for;
static atomic_int waiter;

static void *wait_in_vain(void *arg) {
    struct io_event event;
    (void)arg;
    waiter = gettid();
    int result = io_getevents(waited_for, 1, 1, &event, NULL);
    CHECK(result == -EINVAL || result == 0 || (result == 1 && event.res == 0));
    return NULL;
}

static bool sleeps(int thread) {
    char name[64], state = 0;
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(name, "r");
    if (file == NULL) return false;
    SET_UP(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
    return state == 'S';
}

TEST(same, rule_35_destroying_wakes_who_waits) {
    int ends[2];
    silent_pipe(ends);
    for (int i = 0; i < 10; i++) {
        waiter = 0;
        waited_for = new_context(8);
        struct iocb cb = poll_of(ends[0], POLLIN);
        CHECK_GIVES(submit(waited_for, &cb), 1);
        pthread_t thread;
        start_thread(&thread, wait_in_vain, NULL);
        EVENTUALLY(waiter != 0 && sleeps(waiter));
        CHECK_GIVES(io_destroy(waited_for), 0);
        join_thread(thread);
    }
}

TEST(same, rule_35_a_context_may_be_made_again_and_again) {
    int fd = pattern_file("data", BLOCK);
    for (TURNS(i, 500)) {
        io_context_t ctx = new_context(1 + (int)i % 100);
        if (i % 10 == 0) context_works(ctx, fd);
        CHECK_GIVES(io_destroy(ctx), 0);
    }
}

TEST(same, rule_36_a_child_has_no_part_in_its_parents_context) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    context_works(ctx, fd);
    child_succeeds(CHILD({
        struct iocb cb = read_of(fd, buffer, BLOCK, 0), *list[] = {&cb};
        struct io_event event;
        CHECK_GIVES(io_submit(ctx, 1, list), -EINVAL);
        CHECK_GIVES(io_cancel(ctx, &cb, &event), -EINVAL);
        CHECK_GIVES(io_getevents(ctx, 1, 1, &event, NULL), -EINVAL);
        CHECK_GIVES(io_pgetevents(ctx, 0, 1, &event, NULL, NULL), -EINVAL);
        CHECK_GIVES(io_destroy(ctx), -EINVAL);
    }));
    context_works(ctx, fd);
    CHECK_GIVES(io_destroy(ctx), 0);
}

TEST(same, rule_36_a_child_has_contexts_of_its_own) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    for (int i = 0; i < 5; i++)
        child_succeeds(CHILD({
            io_context_t own = new_context(8);
            context_works(own, fd);
            if (i % 2) CHECK_GIVES(io_destroy(own), 0);
            context_works(new_context(8), fd);
        }));
    context_works(ctx, fd);
}

TEST(same, rule_39_zero_is_no_context) {
    struct iocb cb = read_of(0, buffer, 1, 0), *list[] = {&cb};
    struct io_event event;
    CHECK_GIVES(io_submit(NULL, 1, list), -EINVAL);
    CHECK_GIVES(io_getevents(NULL, 1, 1, &event, NULL), -EINVAL);
    CHECK_GIVES(io_getevents(NULL, 0, 1, &event, &(struct timespec){0, 0}), -EINVAL);
    CHECK_GIVES(io_pgetevents(NULL, 1, 1, &event, NULL, NULL), -EINVAL);
    CHECK_GIVES(io_destroy(NULL), -EINVAL);
}

TEST(better, rule_39_a_destroyed_context_is_einval) {
    io_context_t ctx = new_context(8);
    CHECK_GIVES(io_destroy(ctx), 0);
    is_no_context(ctx);
    /* Nor is it the next one. */
    io_context_t other = new_context(8);
    if (other != ctx) is_no_context(ctx);
    context_works(other, pattern_file("data", BLOCK));
}

TEST(better, rule_39_wild_pointers_are_einval) {
    static char zeros[BLOCK];
    char *hole = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SET_UP(hole != MAP_FAILED);
    const uintptr_t wild[] = {1, 8, 4096, (uintptr_t)zeros, (uintptr_t)zeros + 1, (uintptr_t)hole, UINTPTR_MAX,
                              UINTPTR_MAX << 12, 0xdeadbeef, (uintptr_t)1 << 47, (uintptr_t)1 << 63};
    for (size_t i = 0; i < sizeof wild / sizeof *wild; i++) is_no_context((io_context_t)wild[i]);
}

/* Also near a real one. */
TEST(better, rule_39_a_place_beside_a_context_is_einval) {
    io_context_t ctx = new_context(8);
    const long beside[] = {-4096, -64, -8, -1, 1, 8, 16, 64, 4096};
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) is_no_context((io_context_t)((char *)ctx + beside[i]));
    int fd = pattern_file("data", BLOCK);
    context_works(ctx, fd);
    /* A copy of what it points at is none. */
    static _Alignas(64) char copy[64];
    memcpy(copy, ctx, 32);
    is_no_context((io_context_t)copy);
}

/* Programs look for the kernel's ring there, and must not find one where there is none. */
TEST(ours, the_context_is_readable_and_has_no_magic) {
    io_context_t ctx = new_context(8);
    uint32_t header[8];
    memcpy(header, ctx, sizeof header);
    CHECK(header[4] != 0xa10a10a1);
    context_works(ctx, pattern_file("data", BLOCK));
}
