/*
 * Large writes to streams, of which a part is written while the rest waits for room: the rest goes where the first part
 * went, also after the descriptor was closed and its number means another file; and what is cancelled half-way ends with
 * what was written.
 */
#include "hazards.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

enum kind { a_pipe, a_socket };
enum { large = 1 << 20 };

static char sent[large], received[large];

static void open_kind(enum kind kind, int ends[2]) {
    if (kind == a_pipe)
        silent_pipe(ends);
    else
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static int bytes_waiting(int fd) {
    int bytes;
    CHECK_EQ(ioctl(fd, FIONREAD, &bytes), 0);
    return bytes;
}

/* A write of which a part is in the stream, and the rest waits. */
static void write_in_part(const int ends[2], struct aiocb *cb) {
    fill_pattern(sent, large, 0);
    *cb = REQUEST(ends[1], sent, large, 0);
    CHECK_EQ(aio_write(cb), 0);
    EVENTUALLY(bytes_waiting(ends[0]) > 0);
    sleep_ms(30);
    CHECK_EQ(aio_error(cb), EINPROGRESS);
}

static void read_everything(int fd, size_t bytes) {
    for (size_t got = 0; got < bytes;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        CHECK_EQ(poll(&ready, 1, PATIENCE_MS), 1);
        ssize_t n = read(fd, received + got, bytes - got);
        if (n <= 0) FAIL("the stream ends after %zu bytes of %zu (errno is %d)", got, bytes, errno);
        got += (size_t)n;
    }
    check_pattern(received, bytes, 0);
}

static void check_empty(int file) { CHECK_EQ(lseek(file, 0, SEEK_END), 0); }

/* Has the number mean an empty file, by a close and an open, or by dup2. */
static void replace(int number, bool by_dup2) {
    if (!by_dup2) CHECK_EQ(close(number), 0);
    int file = open("wrong", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(file >= 0);
    if (file == number) return;
    CHECK_EQ(dup2(file, number), number);
    CHECK_EQ(close(file), 0);
}

static void write_goes_on(enum kind kind) {
    for (int by_dup2 = 0; by_dup2 < 2; by_dup2++) {
        int ends[2];
        open_kind(kind, ends);
        struct aiocb cb;
        write_in_part(ends, &cb);
        replace(ends[1], by_dup2);
        read_everything(ends[0], large);
        CHECK_EQ(finish(&cb), large);
        check_empty(ends[1]);
        CHECK_EQ(read(ends[0], received, 1), 0); /* nothing of ours keeps the stream open */
        CHECK_EQ(close(ends[0]), 0);
        CHECK_EQ(close(ends[1]), 0);
    }
}

TEST(same, partial_pipe_write_goes_on_after_close_and_reuse) { write_goes_on(a_pipe); }

TEST(same, partial_socket_write_goes_on_after_close_and_reuse) { write_goes_on(a_socket); }

/* The write behind it has not begun at all. (glibc begins it on whatever has the number by then.) */
static void second_write_goes_on(enum kind kind) {
    int ends[2];
    open_kind(kind, ends);
    struct aiocb cb, next = REQUEST(ends[1], "next", 4, 0);
    write_in_part(ends, &cb);
    CHECK_EQ(aio_write(&next), 0);
    replace(ends[1], false);
    read_everything(ends[0], large);
    CHECK_EQ(read(ends[0], received, 8), 4);
    CHECK(memcmp(received, "next", 4) == 0);
    CHECK_EQ(finish(&cb), large);
    CHECK_EQ(finish(&next), 4);
    check_empty(ends[1]);
}

TEST(better, partial_pipe_write_and_the_next_go_on_after_close_and_reuse) { second_write_goes_on(a_pipe); }

TEST(better, partial_socket_write_and_the_next_go_on_after_close_and_reuse) { second_write_goes_on(a_socket); }

/* The part is in the stream, so the request was not cancelled: its status is 0, its result the part. */
static void part_counts(enum kind kind, bool all) {
    int ends[2];
    open_kind(kind, ends);
    struct aiocb cb;
    write_in_part(ends, &cb);
    int result = aio_cancel(ends[1], all ? NULL : &cb);
    CHECK(result == AIO_NOTCANCELED || result == AIO_ALLDONE);
    ssize_t part = finish(&cb);
    CHECK(part > 0 && part < large);
    read_everything(ends[0], (size_t)part);
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    CHECK_ERRNO(read(ends[0], received, 1), EAGAIN);
    struct aiocb after = REQUEST(ends[1], "after", 5, 0);
    CHECK_EQ(aio_write(&after), 0);
    CHECK_EQ(finish(&after), 5);
    CHECK_EQ(read(ends[0], received, 8), 5);
}

TEST(better, partial_pipe_write_ends_with_its_part_when_cancelled) {
    part_counts(a_pipe, false);
    part_counts(a_pipe, true);
}

TEST(better, partial_socket_write_ends_with_its_part_when_cancelled) {
    part_counts(a_socket, false);
    part_counts(a_socket, true);
}
