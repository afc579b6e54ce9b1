/*
 * What sockets by completion of onewait.h send: memory of the program's, and what was received.
 */
#include "sockets_check.h"

static unsigned char bytes[4 << 20];

static void *read_the_pattern(void *fd) {
    static unsigned char got[sizeof bytes];
    read_all(*(int *)fd, got, sizeof got);
    check_pattern(got, sizeof got, 0);
    return NULL;
}

TEST(ours, sends_of_a_socket_keep_their_order_and_say_what_is_free_again) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs), random = 5, count = 0;
    static size_t begins[sizeof bytes / 1000];
    fill_pattern(bytes, sizeof bytes, 0);
    for (size_t at = 0; at < sizeof bytes; count++) {
        size_t length = 1000 + next_random(&random) % 5000;
        if (length > sizeof bytes - at) length = sizeof bytes - at;
        CHECK_EQ(ow_socket_send(reactor, socket, bytes + at, length, count), 0);
        begins[count] = at;
        at += length;
    }
    begins[count] = sizeof bytes;
    pthread_t thread;
    start_thread(&thread, read_the_pattern, &theirs);
    for (uint64_t i = 0; i < count; i++) {
        struct ow_socket_completion done = CHECK_NEXT(reactor, i, OW_SENT, begins[i + 1] - begins[i], 1);
        CHECK(done.socket == socket && done.received == NULL);
        CHECK(done.data == bytes + begins[i] && done.length == begins[i + 1] - begins[i]);
    }
    join_thread(thread);
    check_nothing_comes(reactor);
    ow_reactor_destroy(reactor);
}

/* From one socket to the other, with few buffers: each goes back once it is sent. */
TEST(ours, what_was_received_is_sent_on_and_its_buffers_come_back) {
    enum { rounds = 1000 };
    struct ow_reactor_options options = {.size = sizeof options, .socket_memory = 1};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    int from, to;
    uint64_t in = attach_pair(reactor, SOCK_SEQPACKET, &from), out = attach_pair(reactor, SOCK_SEQPACKET, &to);
    CHECK_EQ(ow_socket_receive(reactor, in, 1), 0);
    for (int i = 0; i < rounds; i++) {
        int got = -1;
        CHECK_EQ(write(from, &i, sizeof i), sizeof i);
        struct ow_socket_completion done = CHECK_NEXT(reactor, 1, OW_RECEIVED, sizeof i, 0);
        CHECK_EQ(ow_socket_send_received(reactor, out, done.received, 2), 0);
        done = CHECK_NEXT(reactor, 2, OW_SENT, sizeof i, 1);
        CHECK(done.socket == out && done.data == NULL && done.length == 0);
        read_all(to, &got, sizeof got);
        CHECK_EQ(got, i);
    }
    ow_reactor_destroy(reactor);
}

TEST(ours, part_of_what_was_received_is_sent_as_ones_own) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    char got[4] = "";
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(write(theirs, "get key", 7), 7);
    struct ow_socket_completion request = CHECK_NEXT(reactor, 1, OW_RECEIVED, 7, 0);
    CHECK_EQ(ow_socket_send(reactor, socket, (char *)request.data + 4, 3, 2), 0);
    CHECK(CHECK_NEXT(reactor, 2, OW_SENT, 3, 1).data == (char *)request.data + 4);
    ow_received_destroy(request.received);
    read_all(theirs, got, 3);
    CHECK_EQ(strcmp(got, "key"), 0);
    ow_reactor_destroy(reactor);
}

TEST(ours, no_bytes_are_sent_as_well) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    char got[2];
    uint64_t socket = attach_pair(reactor, SOCK_DGRAM, &theirs);
    CHECK_EQ(ow_socket_send(reactor, socket, NULL, 0, 1), 0);
    CHECK_EQ(ow_socket_send(reactor, socket, "x", 1, 2), 0);
    CHECK_EQ(ow_socket_send(reactor, socket, "y", 0, 3), 0);
    CHECK_NEXT(reactor, 1, OW_SENT, 0, 1);
    CHECK_NEXT(reactor, 2, OW_SENT, 1, 1);
    CHECK_NEXT(reactor, 3, OW_SENT, 0, 1);
    CHECK(read(theirs, got, 2) == 0 && read(theirs, got, 2) == 1 && read(theirs, got, 2) == 0);
    ow_reactor_destroy(reactor);
}

TEST(ours, no_reader_is_an_error_and_no_signal) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(close(theirs), 0);
    CHECK_EQ(ow_socket_send(reactor, socket, bytes, 3, 1), 0);
    struct ow_socket_completion done = CHECK_NEXT(reactor, 1, OW_SENT, -EPIPE, 1);
    CHECK(done.data == bytes && done.length == 3);
    ow_reactor_destroy(reactor);
}

TEST(ours, send_that_is_refused_leaves_the_bytes_with_the_program) {
    enum { most = 65536 };
    ow_reactor *reactor = new_reactor();
    int theirs, end;
    uint64_t full = attach_pair(reactor, SOCK_STREAM, &theirs), socket = attach_pair(reactor, SOCK_STREAM, &end), sent = 0;
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(write(end, "mine", 4), 4);
    struct ow_socket_completion mine = CHECK_NEXT(reactor, 1, OW_RECEIVED, 4, 0);
    CHECK_ERRNO(ow_socket_send_received(NULL, socket, mine.received, 2), EINVAL);
    CHECK_ERRNO(ow_socket_send_received(reactor, 0, mine.received, 2), EBADF);
    CHECK_EQ(ow_socket_send(reactor, full, bytes, sizeof bytes, 2), 0); /* what follows waits */
    while (ow_socket_send(reactor, full, bytes, 1, 2) == 0) CHECK(++sent < most);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(sent, most - 1);
    CHECK_ERRNO(ow_socket_send_received(reactor, socket, mine.received, 2), EAGAIN);
    CHECK_EQ(memcmp(mine.data, "mine", 4), 0);
    ow_received_destroy(mine.received);
    ow_reactor_destroy(reactor);
}

TEST(ours, destroyed_reactor_leaves_the_memory_alone) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    memset(bytes, 'a', sizeof bytes);
    for (uint64_t i = 0; i < 3; i++) CHECK_EQ(ow_socket_send(reactor, socket, bytes, sizeof bytes, i), 0);
    CHECK_QUIET(reactor); /* they are on their way, and the first is stuck */
    ow_reactor_destroy(reactor);
    memset(bytes, 'b', sizeof bytes);
    static char got[1 << 16];
    ssize_t count;
    size_t all = 0;
    while ((count = read(theirs, got, sizeof got)) > 0) {
        CHECK(memchr(got, 'b', (size_t)count) == NULL);
        all += (size_t)count;
    }
    CHECK_EQ(count, 0);
    CHECK(all > 0 && all < sizeof bytes);
}
