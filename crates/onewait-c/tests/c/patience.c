/*
 * Reads whose socket has a time limit of its own (SO_RCVTIMEO), of which a driver may have to wait inside the read call:
 * they keep neither a close nor anybody else waiting, and read what their socket gets, whatever their number means.
 */
#include "hazards.h"

#include <sys/socket.h>

enum { readers = 66 }; /* more than any pool has threads */

static int pairs[readers][2];
static struct aiocb cb[readers];
static char text[readers][16];

static void start_reader(int i, int limit_ms) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
    struct timeval limit = {limit_ms / 1000, limit_ms % 1000 * 1000};
    CHECK_EQ(setsockopt(pairs[i][0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    cb[i] = REQUEST(pairs[i][0], text[i], sizeof text[i], 0);
    CHECK_EQ(aio_read(&cb[i]), 0);
}

static void close_at_once(int fd) {
    int64_t start = now_ms();
    CHECK_EQ(close(fd), 0);
    int64_t took = now_ms() - start;
    if (took > 1000) FAIL("close took %lld ms", (long long)took);
}

TEST(same, patient_read_lets_its_descriptor_be_closed_at_once) {
    start_reader(0, 3000);
    sleep_ms(50);
    close_at_once(pairs[0][0]);
    CHECK_EQ(write(pairs[0][1], "right", 5), 5);
    CHECK_EQ(finish(&cb[0]), 5);
    CHECK(memcmp(text[0], "right", 5) == 0);
}

TEST(same, patient_read_still_gives_up_after_the_close) {
    start_reader(0, 500);
    sleep_ms(200); /* until glibc's thread, which nobody can ask, has begun to read: else it finds nothing to read from */
    close_at_once(pairs[0][0]);
    CHECK_EQ(wait_for(&cb[0]), EAGAIN);
    CHECK_EQ(aio_return(&cb[0]), -1);
}

/* Also the reads that nobody has begun yet. (glibc begins them on whatever has the number by then.) */
TEST(ours, patient_reads_by_the_dozen_keep_their_files_after_close_and_reuse) {
    for (int i = 0; i < readers; i++) start_reader(i, 1500);
    sleep_ms(50);
    int closed[] = {0, readers / 2, readers - 2, readers - 1}, wrong[4][2];
    for (int i = 0; i < 4; i++) {
        int number = pairs[closed[i]][0];
        close_at_once(number);
        silent_pipe(wrong[i]);
        CHECK_EQ(wrong[i][0], number);
        CHECK_EQ(write(wrong[i][1], "WRONG", 5), 5);
    }
    for (int i = 0; i < 4; i++) CHECK_EQ(write(pairs[closed[i]][1], "right", 5), 5);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(finish(&cb[closed[i]]), 5);
        CHECK(memcmp(text[closed[i]], "right", 5) == 0);
        CHECK_EQ(read(wrong[i][0], text[0], 16), 5); /* nobody has touched it */
    }
}

TEST(better, patient_reads_by_the_dozen_do_not_stall_files) {
    static char block[4096];
    int fd = pattern_file("data", sizeof block);
    for (int i = 0; i < readers; i++) start_reader(i, 5000);
    sleep_ms(50);
    int64_t start = now_ms();
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    struct aiocb read_cb = REQUEST(fd, block, sizeof block, 0), sync = REQUEST(fd, NULL, 0, 0);
    CHECK_EQ(aio_read(&read_cb), 0);
    CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
    while (aio_error(&read_cb) == EINPROGRESS || aio_error(&sync) == EINPROGRESS) {
        if (now_ms() - start > 2000) FAIL("files wait for sockets");
        sleep_ms(1);
    }
    CHECK_EQ(finish(&read_cb), sizeof block);
    CHECK_EQ(finish(&sync), 0);
    check_pattern(block, sizeof block, 0);
}
