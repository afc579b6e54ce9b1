/*
 * What a forked child must not take over: what the parent knew about its descriptors, and the names of its requests; and
 * what a vfork child must not do to its parent, with whom it shares memory, but no descriptors.
 */
#include "hazards.h"

#define BLOCK 4096

static void *do_nothing(void *arg) { return arg; }

/* A number that was a file in the parent, past the cache, is a silent pipe in the child: nothing may wait for it as if it
 * were a file, neither the call nor the thread that the child starts next. */
static void child_finds_a_pipe(int fd) {
    int ends[2];
    char text[8];
    CHECK_EQ(close(fd), 0);
    silent_pipe(ends);
    CHECK_EQ(ends[0], fd);
    alarm(5); /* it is this process that would feed the pipe, so it would hang */
    struct aiocb cb = REQUEST(ends[0], text, sizeof text, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(aio_error(&cb), EINPROGRESS);
    pthread_t thread;
    start_thread(&thread, do_nothing, NULL);
    join_thread(thread);
    CHECK_EQ(write(ends[1], "child", 5), 5);
    CHECK_EQ(finish(&cb), 5);
}

TEST(ours, inherit_nothing_known_about_a_descriptor) {
    char *block = NULL;
    CHECK_EQ(posix_memalign((void **)&block, BLOCK, BLOCK), 0);
    CHECK_EQ(close(pattern_file("data", BLOCK)), 0);
    int fd = open("data", O_RDONLY | O_DIRECT);
    if (fd < 0) SKIP("no O_DIRECT here");
    struct aiocb cb = REQUEST(fd, block, BLOCK, 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), BLOCK);
        child_succeeds(CHILD(child_finds_a_pipe(fd)));
    }
}

/* The blocks are copies of the parent's: whatever they name there, here it is no request of the child's. */
TEST(ours, inherit_no_block_that_can_cancel_the_childs_own_request) {
    enum { count = 8 };
    static struct aiocb inherited[count], own[count];
    static char text[count];
    int theirs[2];
    silent_pipe(theirs);
    for (int i = 0; i < count; i++) {
        inherited[i] = REQUEST(theirs[0], &text[i], 1, 0);
        CHECK_EQ(aio_read(&inherited[i]), 0);
    }
    CHECK_EQ(aio_error(&inherited[0]), EINPROGRESS);
    child_succeeds(CHILD({
        int ends[2];
        silent_pipe(ends);
        for (int i = 0; i < count; i++) {
            own[i] = REQUEST(ends[0], &text[i], 1, 0);
            CHECK_EQ(aio_read(&own[i]), 0);
        }
        for (int i = 0; i < count; i++) CHECK(aio_cancel(theirs[0], &inherited[i]) != AIO_CANCELED);
        for (int i = 0; i < count; i++) CHECK_EQ(aio_error(&own[i]), EINPROGRESS);
        CHECK_EQ(write(ends[1], "abcdefgh", count), count);
        for (int i = 0; i < count; i++) {
            CHECK_EQ(finish(&own[i]), 1);
            CHECK_EQ(text[i], 'a' + i);
        }
    }));
    CHECK_EQ(write(theirs[1], "ABCDEFGH", count), count);
    for (int i = 0; i < count; i++) {
        CHECK_EQ(finish(&inherited[i]), 1);
        CHECK_EQ(text[i], 'A' + i);
    }
}

static void close_in_a_vfork_child(int fd) {
    pid_t pid = vfork();
    SET_UP(pid >= 0);
    if (pid == 0) {
        close(fd);
        _exit(0);
    }
    child_succeeds(pid);
}

/* A vfork child that closes the number leaves the parent's request where aio_cancel finds it. */
TEST(better, inherit_by_vfork_loses_no_request_by_a_close) {
    for (int round = 0; round < 20; round++) {
        int ends[2];
        silent_pipe(ends);
        char byte;
        struct aiocb cb = REQUEST(ends[0], &byte, 1, 0);
        CHECK_EQ(aio_read(&cb), 0);
        if (round % 2) sleep_ms(5);
        close_in_a_vfork_child(ends[0]);
        CHECK_EQ(aio_error(&cb), EINPROGRESS);
        CHECK_EQ(aio_cancel(ends[0], NULL), AIO_CANCELED);
        CHECK_EQ(aio_error(&cb), ECANCELED);
        CHECK_EQ(close(ends[0]), 0);
        CHECK_EQ(close(ends[1]), 0);
    }
}
