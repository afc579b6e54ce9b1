/*
 * The library's own limits and its own words: what can be done when no further request fits, and a complaint that has
 * nowhere to go.
 */
#include "hazards.h"

/* ---- no room for another request -------------------------------------------------------------------------------- */

enum { most = 300000 };

/* Fills all the places there are with reads of one silent pipe; gives their number. */
static int take_every_place(int fd, struct aiocb *cb) {
    static char byte;
    for (int i = 0; i < most; i++) {
        cb[i] = REQUEST(fd, &byte, 1, 0);
        if (aio_read(&cb[i]) == 0) continue;
        CHECK_EQ(errno, EAGAIN);
        return i;
    }
    FAIL("there is no limit below %d", most);
}

TEST(ours, full_house_can_still_be_cancelled_and_closed) {
    struct aiocb *cb = calloc(most, sizeof *cb);
    CHECK(cb != NULL);
    int ends[2], other = pattern_file("data", 10);
    silent_pipe(ends);
    struct aiocb one_more = REQUEST(ends[0], NULL, 0, 0);
    int count = take_every_place(ends[0], cb);
    CHECK(count > 1000);
    CHECK_EQ(aio_cancel(other, NULL), AIO_ALLDONE);
    CHECK_EQ(close(other), 0);
    int some[] = {5, count / 2, count - 1, 0};
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(aio_cancel(ends[0], &cb[some[i]]), AIO_CANCELED);
        CHECK_EQ(aio_error(&cb[some[i]]), ECANCELED);
        CHECK_EQ(aio_return(&cb[some[i]]), -1);
        CHECK_EQ(aio_read(&cb[some[i]]), 0); /* there is room for this one, and then for none */
        if (i == 0) CHECK_ERRNO(aio_read(&one_more), EAGAIN);
    }
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    EVENTUALLY(aio_error(&cb[1]) == 0);
    CHECK_EQ(aio_return(&cb[1]), 1);
}

/* ---- a complaint that nobody hears ------------------------------------------------------------------------------ */

static void complain_into(int fd) {
    CHECK_EQ(setenv("ONEWAIT_DRIVER", "bogus", 1), 0); /* read when AIO is first used */
    int file = pattern_file("data", 4096);
    if (fd < 0) {
        CHECK_EQ(close(2), 0);
    } else {
        CHECK_EQ(dup2(fd, 2), 2);
        CHECK_EQ(close(fd), 0);
    }
    static char block[4096];
    struct aiocb cb = REQUEST(file, block, sizeof block, 0);
    CHECK_EQ(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), sizeof block);
    check_pattern(block, sizeof block, 0);
}

TEST(same, complaint_about_the_driver_with_stderr_closed) { child_succeeds(CHILD(complain_into(-1))); }

TEST(same, complaint_about_the_driver_with_stderr_on_a_full_disk) {
    int full = open("/dev/full", O_WRONLY);
    if (full < 0) SKIP("no /dev/full here");
    child_succeeds(CHILD(complain_into(full)));
}

TEST(same, complaint_about_the_driver_with_stderr_in_a_broken_pipe) {
    int ends[2];
    silent_pipe(ends);
    CHECK_EQ(close(ends[0]), 0);
    child_succeeds(CHILD(complain_into(ends[1])));
}
