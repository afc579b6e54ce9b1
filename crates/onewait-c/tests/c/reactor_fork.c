/*
 * What a child of fork may do with the handles of onewait.h: with its own all, with inherited ones what the header says.
 */
#include "sockets_check.h"

static void use_all(void) {
    ow_reactor *reactor = new_reactor();
    ow_queue *queue = new_queue(4);
    int ends[2], theirs;
    char byte;
    silent_pipe(ends);
    CHECK_EQ(ow_add(reactor, ow_queue_source(queue), EPOLLIN, 1), 0);
    CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 2, NULL), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_REPORTS(reactor, 1, EPOLLIN);
    CHECK_COMPLETES(queue, 2, 1);
    CHECK_EQ(ow_timer_arm(reactor, 0, 3, NULL), 0);
    CHECK_REPORTS(reactor, 3, EPOLLIN);
    CHECK_EQ(ow_delete(reactor, ow_queue_source(queue)), 0);
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 4), 0);
    CHECK_EQ(write(theirs, "x", 1), 1);
    CHECK_RECEIVES(reactor, 4, "x", 0);
    ow_queue_destroy(queue);
    ow_reactor_destroy(reactor);
}

TEST(ours, child_makes_handles_of_its_own) {
    use_all();
    child_succeeds(CHILD(use_all()));
    use_all();
}

TEST(ours, inherited_queue_refuses_and_the_parents_goes_on) {
    ow_queue *queue = new_queue(4);
    int ends[2];
    char byte = 0;
    silent_pipe(ends);
    uint64_t request = 0;
    CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 1, &request), 0);
    child_succeeds(CHILD({
        struct ow_completion completion;
        CHECK_ERRNO(ow_read(queue, ends[0], &byte, 1, 0, 2, NULL), ECHILD);
        CHECK_ERRNO(ow_fsync(queue, ends[0], 2, NULL), ECHILD);
        CHECK_ERRNO(ow_reap(queue, &completion, 1, -1), ECHILD);
        CHECK_ERRNO(ow_cancel(queue, request), ECHILD);
        CHECK_ERRNO(ow_queue_outstanding(queue), ECHILD);
        ow_queue_destroy(queue);
        use_all();
    }));
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_COMPLETES(queue, 1, 1);
    CHECK_EQ(byte, 'x');
    ow_queue_destroy(queue);
}

TEST(ours, inherited_reactor_shares_the_descriptors_and_nothing_else) {
    ow_reactor *reactor = new_reactor();
    int mine = eventfd(0, EFD_CLOEXEC), theirs = eventfd(1, EFD_CLOEXEC);
    SET_UP(mine >= 0 && theirs >= 0);
    ow_event *event = ow_event_create(0, 0);
    CHECK_EQ(ow_add_fd(reactor, mine, EPOLLIN, 1), 0);
    CHECK_EQ(ow_add(reactor, ow_event_source(event), EPOLLIN, 2), 0);
    child_succeeds(CHILD({
        CHECK_EQ(ow_event_write(event, 1), 0);
        CHECK_REPORTS(reactor, 2, EPOLLIN);
        CHECK_EQ(ow_timer_arm(reactor, 0, 4, NULL), 0);
        CHECK_EQ(ow_add_fd(reactor, theirs, EPOLLIN, 3), 0);
        CHECK_EQ(ow_wake(reactor), 0);
        ow_reactor_destroy(reactor);
        ow_event_destroy(event);
    }));
    CHECK_REPORTS(reactor, 3, EPOLLIN); /* as with an epoll: rule 46 */
    CHECK_EQ(ow_delete_fd(reactor, theirs), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_event_write(event, 1), 0);
    CHECK_REPORTS(reactor, 2, EPOLLIN);
    ow_reactor_destroy(reactor);
    ow_event_destroy(event);
}

TEST(ours, inherited_sockets_are_the_parents) {
    ow_reactor *reactor = new_reactor();
    int theirs, fd = eventfd(0, EFD_CLOEXEC);
    SET_UP(fd >= 0);
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(write(theirs, "first", 5), 5);
    struct ow_socket_completion kept = CHECK_NEXT(reactor, 1, OW_RECEIVED, 5, 0);
    CHECK_EQ(write(theirs, "second", 6), 6);
    CHECK_REPORTS(reactor, OW_SOCKETS, EPOLLIN);
    child_succeeds(CHILD({
        struct ow_socket_completion done;
        struct ow_ready ready;
        CHECK_ERRNO(ow_reactor_wait(reactor, &ready, 1, -1), ECHILD);
        CHECK_ERRNO(ow_sockets_take(reactor, &done, 1), ECHILD);
        CHECK_ERRNO(ow_socket_attach(reactor, fd, &(uint64_t){0}), ECHILD);
        CHECK_ERRNO(ow_socket_receive(reactor, socket, 2), ECHILD);
        CHECK_ERRNO(ow_socket_send(reactor, socket, "x", 1, 2), ECHILD);
        CHECK_ERRNO(ow_socket_send_received(reactor, socket, kept.received, 2), ECHILD);
        CHECK_ERRNO(ow_socket_stop(reactor, socket), ECHILD);
        CHECK_ERRNO(ow_socket_close(reactor, socket), ECHILD);
        CHECK_ERRNO(ow_socket_descriptor(reactor, socket), ECHILD);
        ow_received_destroy(kept.received);
        ow_reactor_destroy(reactor);
        use_all();
    }));
    CHECK_RECEIVES(reactor, 1, "second", 0);
    CHECK_EQ(memcmp(kept.data, "first", 5), 0);
    ow_received_destroy(kept.received);
    CHECK_EQ(write(theirs, "third", 5), 5);
    CHECK_RECEIVES(reactor, 1, "third", 0);
    ow_reactor_destroy(reactor);
}

/* How many descriptors a program has that a child of ours becomes. */
static int count_after_exec(void) {
    child_succeeds(CHILD({
        execl("/bin/sh", "sh", "-c", "set -- /proc/self/fd/*; echo $# >count", (char *)NULL);
        _exit(1);
    }));
    FILE *file = fopen("count", "re");
    int count = 0;
    SET_UP(file != NULL && fscanf(file, "%d", &count) == 1 && fclose(file) == 0);
    return count;
}

TEST(ours, nothing_of_ours_outlives_exec) {
    int before = count_after_exec(), ends[2];
    CHECK(before > 0);
    ow_reactor *reactor = new_reactor();
    ow_queue *queue = new_queue(4);
    char byte;
    silent_pipe(ends);
    CHECK_EQ(ow_read(queue, ends[0], &byte, 1, 0, 1, NULL), 0);
    CHECK_EQ(ow_socket_receive(reactor, attach_pair(reactor, SOCK_STREAM, &ends[1]), 1), 0);
    CHECK_EQ(count_after_exec(), before);
    ow_queue_destroy(queue);
    ow_reactor_destroy(reactor);
}
