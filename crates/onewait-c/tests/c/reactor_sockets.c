/*
 * Sockets by completion of onewait.h: what they are asked for, and what comes of it. Sends are in reactor_sends.c.
 */
#include "sockets_check.h"

#include <dirent.h>
#include <limits.h>
#include <sys/un.h>

_Static_assert(sizeof(struct ow_socket_completion) == 80, "ow_socket_completion");
_Static_assert(offsetof(struct ow_socket_completion, kind) == 16, "kind");
_Static_assert(offsetof(struct ow_socket_completion, is_last) == 20, "is_last");
_Static_assert(offsetof(struct ow_socket_completion, result) == 24, "result");
_Static_assert(offsetof(struct ow_socket_completion, accepted) == 32, "accepted");
_Static_assert(offsetof(struct ow_socket_completion, data) == 40, "data");
_Static_assert(offsetof(struct ow_socket_completion, length) == 48, "length");
_Static_assert(offsetof(struct ow_socket_completion, received) == 56, "received");

/* ---- accepting ------------------------------------------------------------------------------------------------- */

TEST(ours, each_connection_is_accepted_and_echoed) {
    enum { count = 20 };
    ow_reactor *reactor = new_reactor();
    struct sockaddr_in address;
    uint64_t listener = attach(reactor, new_listener(&address));
    int clients[count], accepted = 0, echoed = 0;
    CHECK_EQ(ow_socket_accept(reactor, listener, 7), 0);
    for (int i = 0; i < count; i++) {
        clients[i] = new_client(&address);
        SET_UP(dprintf(clients[i], "hello %02d", i) == 8);
    }
    while (echoed < count) {
        struct ow_socket_completion done = next(reactor);
        switch (done.kind) {
        case OW_ACCEPTED:
            CHECK(done.token == 7 && done.socket == listener && !done.is_last && done.result == 0);
            int fd = ow_socket_descriptor(reactor, done.accepted);
            CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
            CHECK_EQ(ow_socket_receive(reactor, done.accepted, (uint64_t)100 + (uint64_t)accepted++), 0);
            break;
        case OW_RECEIVED:
            CHECK(done.token >= 100 && done.token < 100 + count && !done.is_last && done.result == 8);
            CHECK_EQ(ow_socket_send_received(reactor, done.socket, done.received, 8), 0);
            break;
        default:
            CHECK(done.kind == OW_SENT && done.token == 8 && done.is_last && done.result == 8 && done.data == NULL);
            echoed++;
        }
    }
    CHECK_EQ(accepted, count);
    for (int i = 0; i < count; i++) {
        char answer[9] = "", expected[9];
        read_all(clients[i], answer, 8);
        snprintf(expected, sizeof expected, "hello %02d", i);
        CHECK_EQ(strcmp(answer, expected), 0);
    }
    check_nothing_comes(reactor);
    ow_reactor_destroy(reactor);
    for (int i = 0; i < count; i++) CHECK_EQ(read(clients[i], &(char){0}, 1), 0); /* closed with the reactor */
}

TEST(ours, completions_come_in_as_many_calls_as_there_is_room) {
    enum { count = 10, room = 4 };
    ow_reactor *reactor = new_reactor();
    int theirs[count], taken = 0;
    uint64_t sockets[count];
    for (int i = 0; i < count; i++) {
        sockets[i] = attach_pair(reactor, SOCK_STREAM, &theirs[i]);
        CHECK_EQ(ow_socket_receive(reactor, sockets[i], (uint64_t)i), 0);
        CHECK_EQ(write(theirs[i], "x", 1), 1);
    }
    for (unsigned seen = 0; seen != (1u << count) - 1;) {
        struct ow_socket_completion done[room + 1];
        memset(done, 0xee, sizeof done);
        struct ow_ready ready[4];
        CHECK(ow_reactor_wait(reactor, ready, 4, PATIENCE_NS) == 1); /* what is left is reported again */
        int some = ow_sockets_take(reactor, done, room);
        CHECK(some > 0 && some <= room);
        CHECK_EQ(done[some].token, UINT64_C(0xeeeeeeeeeeeeeeee));
        for (int i = 0; i < some; i++) {
            CHECK(done[i].kind == OW_RECEIVED && done[i].socket == sockets[done[i].token]);
            CHECK(!(seen & 1u << done[i].token));
            seen |= 1u << done[i].token;
            ow_received_destroy(done[i].received);
        }
        taken += some;
    }
    CHECK_EQ(taken, count);
    ow_reactor_destroy(reactor);
}

TEST(ours, once_is_once) {
    ow_reactor *reactor = new_reactor();
    struct sockaddr_in address;
    int theirs;
    uint64_t listener = attach(reactor, new_listener(&address));
    new_client(&address);
    new_client(&address);
    CHECK_EQ(ow_socket_accept_once(reactor, listener, 1), 0);
    CHECK_NEXT(reactor, 1, OW_ACCEPTED, 0, 1);
    check_nothing_comes(reactor);
    CHECK_EQ(ow_socket_accept_once(reactor, listener, 2), 0);
    CHECK_NEXT(reactor, 2, OW_ACCEPTED, 0, 1);

    uint64_t socket = attach_pair(reactor, SOCK_SEQPACKET, &theirs);
    CHECK(write(theirs, "one", 3) == 3 && write(theirs, "two", 3) == 3);
    CHECK_EQ(ow_socket_receive_once(reactor, socket, 3), 0);
    CHECK_RECEIVES(reactor, 3, "one", 1);
    check_nothing_comes(reactor);
    CHECK_EQ(ow_socket_receive_once(reactor, socket, 4), 0);
    CHECK_RECEIVES(reactor, 4, "two", 1);
    ow_reactor_destroy(reactor);
}

/* ---- connecting ------------------------------------------------------------------------------------------------ */

/* Connects to a listener of this address, and says something. Whether there is such a family here. */
static bool connects(struct sockaddr *address, socklen_t length) {
    ow_reactor *reactor = new_reactor();
    int listener = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, address, length) != 0) return false;
    socklen_t known = sizeof(struct sockaddr_storage);
    SET_UP(listen(listener, 1) == 0);
    if (address->sa_family != AF_UNIX) SET_UP(getsockname(listener, address, &known) == 0);
    uint64_t ours = attach(reactor, socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct sockaddr_storage copied;
    memcpy(&copied, address, length);
    CHECK_EQ(ow_socket_connect(reactor, ours, (struct sockaddr *)&copied, length, 5), 0);
    memset(&copied, 0, sizeof copied);
    CHECK_EQ(CHECK_NEXT(reactor, 5, OW_CONNECTED, 0, 1).socket, ours);
    int theirs = accept(listener, NULL, NULL);
    CHECK(theirs >= 0);
    CHECK_EQ(ow_socket_receive(reactor, ours, 6), 0);
    CHECK_EQ(write(theirs, "hello", 5), 5);
    CHECK_RECEIVES(reactor, 6, "hello", 0);
    ow_reactor_destroy(reactor);
    close(theirs);
    close(listener);
    return true;
}

TEST(ours, sockets_connect_in_each_family) {
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&storage;
    *four = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(connects((struct sockaddr *)four, sizeof *four));
    storage = (struct sockaddr_storage){0};
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&storage;
    *six = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    if (!connects((struct sockaddr *)six, sizeof *six)) puts("NOT TESTED: IPv6 (there is none here)");
    struct sockaddr_un path = {AF_UNIX, "name"};
    CHECK(connects((struct sockaddr *)&path, sizeof path));
    struct sockaddr_un abstract = {AF_UNIX, ""};
    int length = snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "onewait-test-%d", getpid());
    length += (int)offsetof(struct sockaddr_un, sun_path) + 1;
    CHECK(connects((struct sockaddr *)&abstract, (socklen_t)length));
}

TEST(ours, connection_that_fails_says_why) {
    ow_reactor *reactor = new_reactor();
    struct sockaddr_in address;
    close(new_listener(&address)); /* nobody is there */
    uint64_t socket_ = attach(reactor, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_EQ(ow_socket_connect(reactor, socket_, (struct sockaddr *)&address, sizeof address, 1), 0);
    CHECK_NEXT(reactor, 1, OW_CONNECTED, -ECONNREFUSED, 1);
    uint64_t other = attach(reactor, socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_EQ(ow_socket_connect(reactor, other, (struct sockaddr *)&address, 1, 2), 0);
    CHECK_NEXT(reactor, 2, OW_CONNECTED, -EINVAL, 1);
    ow_reactor_destroy(reactor);
}

/* ---- receiving ------------------------------------------------------------------------------------------------- */

TEST(ours, end_of_the_other_side_is_no_bytes_and_the_last) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(write(theirs, "last words", 10), 10);
    CHECK_EQ(close(theirs), 0);
    CHECK_RECEIVES(reactor, 1, "last words", 0);
    CHECK_NEXT(reactor, 1, OW_RECEIVED, 0, 1);
    check_nothing_comes(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, messages_stay_apart_and_an_empty_one_is_no_end) {
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_DGRAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK(send(theirs, "a", 1, 0) == 1 && send(theirs, NULL, 0, 0) == 0 && send(theirs, "bc", 2, 0) == 2);
    CHECK_RECEIVES(reactor, 1, "a", 0);
    CHECK_NEXT(reactor, 1, OW_RECEIVED, 0, 0);
    CHECK_RECEIVES(reactor, 1, "bc", 0);
    ow_reactor_destroy(reactor);
}

static void *destroy_one(void *received) {
    sleep_ms(20);
    ow_received_destroy(received);
    return NULL;
}

/* The next one, of a byte that is its token. */
static struct ow_socket_completion next_byte(ow_reactor *reactor, unsigned char *seen) {
    struct ow_socket_completion done = next(reactor);
    CHECK(done.kind == OW_RECEIVED && done.length == 1 && *(unsigned char *)done.data == done.token);
    CHECK_EQ(++seen[done.token], 1);
    return done;
}

TEST(ours, long_message_comes_whole_and_a_longer_one_is_told_of) {
    enum { longest = 64 << 10 };
    static char message[longest + 1];
    memset(message, 'm', sizeof message);
    ow_reactor *reactor = new_reactor();
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_DGRAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(write(theirs, message, longest), longest);
    struct ow_socket_completion done = CHECK_NEXT(reactor, 1, OW_RECEIVED, longest, 0);
    CHECK(done.length == longest && memcmp(done.data, message, longest) == 0);
    ow_received_destroy(done.received);
    CHECK_EQ(write(theirs, message, longest + 1), longest + 1);
    done = CHECK_NEXT(reactor, 1, OW_RECEIVED, -EMSGSIZE, 0);
    CHECK(done.length == 0 && done.data == NULL && done.received == NULL);
    CHECK_EQ(write(theirs, "next", 4), 4);
    CHECK_RECEIVES(reactor, 1, "next", 0);
    ow_reactor_destroy(reactor);
}

TEST(ours, what_was_received_is_kept_until_it_is_given_back) {
    enum { count = 40, buffers = 16 };
    struct ow_reactor_options options = {.size = sizeof options, .socket_memory = 1};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    struct ow_socket_completion kept[buffers], last;
    unsigned char seen[count] = {0};
    for (int i = 0; i < count; i++) {
        int theirs;
        uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
        CHECK_EQ(ow_socket_receive(reactor, socket, (uint64_t)i), 0);
        CHECK_EQ(write(theirs, &(char){(char)i}, 1), 1);
    }
    for (int i = 0; i < buffers; i++) kept[i] = next_byte(reactor, seen);
    check_nothing_comes(reactor); /* all buffers are here */
    pthread_t thread;
    start_thread(&thread, destroy_one, kept[0].received);
    kept[0] = next_byte(reactor, seen); /* a thread that gives one back ends the wait for it */
    join_thread(thread);
    check_nothing_comes(reactor);
    for (int i = 0; i < buffers; i++) {
        CHECK_EQ(*(unsigned char *)kept[i].data, kept[i].token); /* as it was */
        *(char *)kept[i].data = 'x';                             /* and to be changed */
        ow_received_destroy(kept[i].received);
    }
    ow_received_destroy(NULL);
    for (int i = buffers + 1; i < count; i++) {
        last = next_byte(reactor, seen);
        if (i < count - 1) ow_received_destroy(last.received);
    }
    ow_reactor_destroy(reactor);
    CHECK_EQ(*(unsigned char *)last.data, last.token); /* it outlives the reactor */
    ow_received_destroy(last.received);
}

/* ---- stopping and closing -------------------------------------------------------------------------------------- */

TEST(ours, stop_ends_with_a_completion_and_loses_nothing) {
    ow_reactor *reactor = new_reactor();
    struct sockaddr_in address;
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs), listener = attach(reactor, new_listener(&address));
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_EQ(ow_socket_stop(reactor, socket), 0);
    CHECK_NEXT(reactor, 1, OW_RECEIVED, -ECANCELED, 1);
    CHECK_EQ(write(theirs, "later", 5), 5);
    check_nothing_comes(reactor);
    CHECK_EQ(ow_socket_receive(reactor, socket, 2), 0);
    CHECK_RECEIVES(reactor, 2, "later", 0);
    CHECK_EQ(ow_socket_accept(reactor, listener, 3), 0);
    CHECK_EQ(ow_socket_stop(reactor, listener), 0);
    CHECK_NEXT(reactor, 3, OW_ACCEPTED, -ECANCELED, 1);
    new_client(&address);
    check_nothing_comes(reactor);
    CHECK_EQ(ow_socket_stop(reactor, listener), 0); /* it does nothing */
    check_nothing_comes(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, close_cancels_all_with_a_completion_each) {
    enum { sends = 4, length = 8 << 20 };
    ow_reactor *reactor = new_reactor();
    char *memory = calloc(1, length);
    SET_UP(memory != NULL);
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 0), 0);
    for (uint64_t i = 1; i <= sends; i++) CHECK_EQ(ow_socket_send(reactor, socket, memory, length, i), 0);
    CHECK_EQ(ow_socket_close(reactor, socket), 0);
    unsigned seen = 0;
    for (int i = 0; i <= sends; i++) {
        struct ow_socket_completion done = next(reactor);
        CHECK(done.result == -ECANCELED && done.is_last && done.socket == socket);
        CHECK_EQ(done.kind, done.token == 0 ? OW_RECEIVED : OW_SENT);
        CHECK(done.data == (done.token == 0 ? NULL : memory));
        CHECK_EQ(done.length, done.token == 0 ? 0 : length);
        seen |= 1u << done.token;
    }
    CHECK_EQ(seen, (1u << (sends + 1)) - 1);
    check_nothing_comes(reactor);
    ssize_t count;
    while ((count = read(theirs, memory, length)) > 0) {}
    CHECK_EQ(count, 0); /* it is closed */
    /* Its number names nothing, and not the next socket. */
    uint64_t next_one = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK(next_one != socket);
    CHECK_ERRNO(ow_socket_receive(reactor, socket, 1), EBADF);
    CHECK_ERRNO(ow_socket_close(reactor, socket), EBADF);
    ow_reactor_destroy(reactor);
    free(memory);
}

static int open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    SET_UP(directory != NULL);
    while (readdir(directory) != NULL) count++;
    closedir(directory);
    return count;
}

TEST(ours, no_descriptor_is_left_behind) {
    int before = open_descriptors(), theirs;
    for (int round = 0; round < 3; round++) {
        ow_reactor *reactor = new_reactor();
        struct sockaddr_in address;
        int clients[10], pipe_ends[2];
        uint64_t listener = attach(reactor, new_listener(&address)), refused;
        silent_pipe(pipe_ends);
        CHECK_ERRNO(ow_socket_attach(reactor, pipe_ends[0], &refused), ENOTSOCK);
        CHECK(close(pipe_ends[0]) == 0 && close(pipe_ends[1]) == 0); /* still the program's */
        CHECK_EQ(ow_socket_accept(reactor, listener, 0), 0);
        for (int i = 0; i < 10; i++) clients[i] = new_client(&address);
        /* Some are accepted and in use, some are on their way. */
        for (int i = 0; i < 5; i++) {
            struct ow_socket_completion done = next(reactor);
            CHECK_EQ(ow_socket_receive(reactor, done.accepted, 1), 0);
        }
        uint64_t closed = attach_pair(reactor, SOCK_STREAM, &theirs);
        CHECK_EQ(ow_socket_close(reactor, closed), 0);
        CHECK_EQ(read(theirs, &(char){0}, 1), 0); /* at once: it did nothing */
        close(theirs);
        ow_reactor_destroy(reactor);
        for (int i = 0; i < 10; i++) close(clients[i]);
    }
    CHECK_EQ(open_descriptors(), before);
}

/* ---- arguments and options ------------------------------------------------------------------------------------- */

TEST(ours, wrong_arguments_are_errors) {
    ow_reactor *reactor = new_reactor();
    struct ow_socket_completion done;
    struct sockaddr_storage address[2] = {{.ss_family = AF_INET}};
    struct sockaddr *to = (struct sockaddr *)address;
    uint64_t number = 0;
    int theirs, ends[2], pipe_ends[2];
    char byte = 0;
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    silent_pipe(pipe_ends);

    /* No sockets yet. */
    CHECK_EQ(ow_sockets_take(reactor, &done, 1), 0);
    CHECK_ERRNO(ow_socket_receive(reactor, 1, 0), EBADF);
    CHECK_ERRNO(ow_socket_descriptor(reactor, 1), EBADF);

    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_ERRNO(ow_socket_attach(NULL, ends[0], &number), EINVAL);
    CHECK_ERRNO(ow_socket_attach(reactor, ends[0], NULL), EINVAL);
    CHECK_ERRNO(ow_socket_attach(reactor, -1, &number), EBADF);
    CHECK_ERRNO(ow_socket_attach(reactor, INT32_MIN, &number), EBADF);
    CHECK_ERRNO(ow_socket_attach(reactor, 9999, &number), EBADF);
    CHECK_ERRNO(ow_socket_attach(reactor, pipe_ends[0], &number), ENOTSOCK);
    CHECK(number == 0 && fcntl(ends[0], F_GETFD) >= 0);
    CHECK_ERRNO(ow_socket_connect(reactor, socket, NULL, sizeof *address, 0), EINVAL);
    CHECK_ERRNO(ow_socket_connect(reactor, socket, to, sizeof *address + 1, 0), EINVAL);
    CHECK_ERRNO(ow_socket_connect(reactor, socket, to, (socklen_t)-1, 0), EINVAL);
    CHECK_ERRNO(ow_socket_send(reactor, socket, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(ow_socket_send(reactor, socket, &byte, (size_t)SSIZE_MAX + 1, 0), EINVAL);
    CHECK_ERRNO(ow_socket_send_received(reactor, socket, NULL, 0), EINVAL);
    CHECK_ERRNO(ow_sockets_take(NULL, &done, 1), EINVAL);
    CHECK_ERRNO(ow_sockets_take(reactor, NULL, 1), EINVAL);
    CHECK_ERRNO(ow_sockets_take(reactor, &done, 0), EINVAL);
    CHECK_ERRNO(ow_sockets_take(reactor, &done, -1), EINVAL);

    /* One thing at a time, which ends when its last completion was taken. */
    CHECK_EQ(ow_socket_receive(reactor, socket, 0), 0);
    CHECK_ERRNO(ow_socket_receive(reactor, socket, 0), EALREADY);
    CHECK_ERRNO(ow_socket_receive_once(reactor, socket, 0), EALREADY);
    CHECK_ERRNO(ow_socket_accept(reactor, socket, 0), EALREADY);
    CHECK_ERRNO(ow_socket_accept_once(reactor, socket, 0), EALREADY);
    CHECK_ERRNO(ow_socket_connect(reactor, socket, to, sizeof *address, 0), EALREADY);

    int other;
    uint64_t datagrams = attach_pair(reactor, SOCK_DGRAM, &other);
    CHECK_ERRNO(ow_socket_accept(reactor, datagrams, 0), EOPNOTSUPP);
    CHECK_ERRNO(ow_socket_accept_once(reactor, datagrams, 0), EOPNOTSUPP);
    CHECK_EQ(ow_socket_close(reactor, datagrams), 0);

    uint64_t none[] = {0, 1, socket + 1, socket + (UINT64_C(1) << 32), UINT64_MAX};
    ow_reactor *reactors[] = {NULL, reactor};
    for (int i = 0; i < 6; i++) {
        ow_reactor *which = reactors[i > 0];
        uint64_t wrong = i > 0 ? none[i - 1] : socket;
        int error = i > 0 ? EBADF : EINVAL;
        CHECK_ERRNO(ow_socket_accept(which, wrong, 0), error);
        CHECK_ERRNO(ow_socket_accept_once(which, wrong, 0), error);
        CHECK_ERRNO(ow_socket_connect(which, wrong, (struct sockaddr *)address, sizeof *address, 0), error);
        CHECK_ERRNO(ow_socket_receive(which, wrong, 0), error);
        CHECK_ERRNO(ow_socket_receive_once(which, wrong, 0), error);
        CHECK_ERRNO(ow_socket_send(which, wrong, &byte, 1, 0), error);
        CHECK_ERRNO(ow_socket_stop(which, wrong), error);
        CHECK_ERRNO(ow_socket_close(which, wrong), error);
        CHECK_ERRNO(ow_socket_descriptor(which, wrong), error);
    }
    check_nothing_comes(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, token_is_of_ones_choice) {
    struct ow_reactor_options options = {.size = sizeof options, .sockets_token = 42};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    int theirs;
    uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
    CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
    CHECK_QUIET(reactor);
    CHECK_EQ(write(theirs, "x", 1), 1);
    CHECK_REPORTS(reactor, 42, EPOLLIN);
    CHECK_REPORTS(reactor, 42, EPOLLIN); /* until it is taken */
    CHECK_RECEIVES(reactor, 1, "x", 0);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, options_of_sockets_are_checked_and_programs_without_them_work_as_before) {
    struct ow_reactor_options options = {.size = sizeof options, .socket_driver = 3};
    CHECK_NULL(ow_reactor_create(&options), EINVAL);
    options.socket_driver = OW_EPOLL;
    options.reserved = 1;
    CHECK_NULL(ow_reactor_create(&options), EINVAL);
    /* These end before the options of sockets. */
    options.size = offsetof(struct ow_reactor_options, sockets_token);
    options.timers = 1;
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    CHECK_EQ(ow_timer_arm(reactor, 0, 1, NULL), 0);
    CHECK_ERRNO(ow_timer_arm(reactor, 0, 1, NULL), EAGAIN);
    ow_reactor_destroy(reactor);
    options.size++;
    CHECK_NULL(ow_reactor_create(&options), EINVAL);
}

TEST(ours, driver_that_is_refused_is_an_error_only_if_it_was_asked_for) {
    refuse(SYS_io_uring_setup, SYS_io_uring_setup, EPERM);
    CHECK_EQ(unsetenv("ONEWAIT_DRIVER"), 0);
    int theirs, ends[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct ow_reactor_options options = {.size = sizeof options, .socket_driver = OW_URING};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK_ERRNO(ow_socket_attach(reactor, ends[0], &(uint64_t){0}), EPERM);
    ow_reactor_destroy(reactor);
    for (uint32_t driver = OW_ANY_DRIVER; driver <= OW_EPOLL; driver += OW_EPOLL) {
        options.socket_driver = driver;
        reactor = ow_reactor_create(&options);
        uint64_t socket = attach_pair(reactor, SOCK_STREAM, &theirs);
        CHECK_EQ(ow_socket_receive(reactor, socket, 1), 0);
        CHECK_EQ(write(theirs, "x", 1), 1);
        CHECK_RECEIVES(reactor, 1, "x", 0);
        ow_reactor_destroy(reactor);
    }
    CHECK_EQ(setenv("ONEWAIT_DRIVER", "horse", 1), 0);
    reactor = new_reactor();
    CHECK_ERRNO(ow_socket_attach(reactor, ends[0], &(uint64_t){0}), EINVAL);
    ow_reactor_destroy(reactor);
}

/* ---- threads --------------------------------------------------------------------------------------------------- */

static ow_reactor *shared;
static uint64_t shared_socket;
static int shared_end;

static void *ask_before_there_are_any(void *unused) {
    (void)unused;
    struct ow_socket_completion done;
    CHECK_EQ(ow_sockets_take(shared, &done, 1), 0);
    CHECK_ERRNO(ow_socket_stop(shared, 1), EBADF);
    return NULL;
}

static void *use_as_a_stranger(void *unused) {
    (void)unused;
    struct ow_socket_completion done;
    struct ow_ready ready;
    if (strcmp(getenv("ONEWAIT_DRIVER"), "epoll") == 0) {
        /* These belong to whoever waits. */
        CHECK_EQ(ow_socket_receive(shared, shared_socket, 1), 0);
        CHECK_EQ(write(shared_end, "x", 1), 1);
        CHECK_RECEIVES(shared, 1, "x", 0);
        return NULL;
    }
    CHECK_ERRNO(ow_socket_attach(shared, shared_end, &(uint64_t){0}), EEXIST);
    CHECK_ERRNO(ow_socket_receive(shared, shared_socket, 1), EEXIST);
    CHECK_ERRNO(ow_socket_send(shared, shared_socket, "x", 1, 1), EEXIST);
    CHECK_ERRNO(ow_socket_stop(shared, shared_socket), EEXIST);
    CHECK_ERRNO(ow_socket_close(shared, shared_socket), EEXIST);
    CHECK_ERRNO(ow_socket_descriptor(shared, shared_socket), EEXIST);
    CHECK_ERRNO(ow_sockets_take(shared, &done, 1), EEXIST);
    CHECK_ERRNO(ow_reactor_wait(shared, &ready, 1, 0), EEXIST);
    CHECK(fcntl(shared_end, F_GETFD) >= 0);
    return NULL;
}

TEST(ours, sockets_belong_to_the_thread_that_attached_the_first) {
    pthread_t thread;
    shared = new_reactor();
    start_thread(&thread, ask_before_there_are_any, NULL);
    join_thread(thread);
    shared_socket = attach_pair(shared, SOCK_STREAM, &shared_end);
    CHECK_EQ(ow_socket_stop(shared, shared_socket), 0);
    start_thread(&thread, use_as_a_stranger, NULL);
    join_thread(thread);
    ow_reactor_destroy(shared);
}

static void *attach_the_first_of_all(void *unused) {
    (void)unused;
    CHECK_QUIET(shared);
    shared_socket = attach_pair(shared, SOCK_STREAM, &shared_end);
    CHECK_EQ(ow_socket_receive(shared, shared_socket, 1), 0);
    CHECK_EQ(write(shared_end, "x", 1), 1);
    CHECK_RECEIVES(shared, 1, "x", 0);
    ow_reactor_destroy(shared);
    return NULL;
}

TEST(ours, attach_that_fails_leaves_the_first_one_to_any_thread) {
    pthread_t thread;
    uint64_t number = 0;
    shared = new_reactor();
    int before = open_descriptors(), file = open("/dev/null", O_RDWR | O_CLOEXEC);
    SET_UP(file >= 0);
    CHECK_ERRNO(ow_socket_attach(shared, file, &number), ENOTSOCK);
    CHECK_EQ(close(file), 0); /* still the program's */
    CHECK_ERRNO(ow_socket_attach(shared, file, &number), EBADF);
    CHECK_EQ(number, 0);
    CHECK_EQ(open_descriptors(), before); /* no driver was chosen */
    start_thread(&thread, attach_the_first_of_all, NULL);
    join_thread(thread);
}

static void *use_while_another_waits(void *unused) {
    (void)unused;
    struct ow_socket_completion done;
    EVENTUALLY(ow_socket_stop(shared, shared_socket) == -1 && errno == EBUSY);
    CHECK_ERRNO(ow_socket_receive(shared, shared_socket, 1), EBUSY);
    CHECK_ERRNO(ow_socket_descriptor(shared, shared_socket), EBUSY);
    CHECK_ERRNO(ow_sockets_take(shared, &done, 1), EBUSY);
    CHECK_EQ(ow_wake(shared), 0);
    return NULL;
}

TEST(ours, sockets_are_busy_while_another_thread_waits) {
    shared = new_reactor();
    shared_socket = attach_pair(shared, SOCK_STREAM, &shared_end);
    pthread_t thread;
    start_thread(&thread, use_while_another_waits, NULL);
    struct ow_ready ready;
    CHECK_EQ(ow_reactor_wait(shared, &ready, 1, PATIENCE_NS), 0);
    join_thread(thread);
    ow_reactor_destroy(shared);
}

/* There are no more descriptors, and somebody comes. */
static void come_in_vain(int client, const struct sockaddr_in *address) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    while (dup(client) >= 0) {}
    SET_UP(errno == EMFILE && connect(client, (const struct sockaddr *)address, sizeof *address) == 0);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void *live_with_a_cancellation(void *done) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    struct sockaddr_in address;
    int fd = new_listener(&address), client = new_client(&address), other = socket(AF_INET, SOCK_STREAM, 0), ends[2];
    SET_UP(other >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    SET_UP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64}) == 0 && pthread_cancel(pthread_self()) == 0);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    ow_reactor *reactor = ow_reactor_create(NULL);
    uint64_t listener, socket;
    struct ow_socket_completion taken = {0};
    struct ow_ready ready;
    bool is_good = ow_socket_attach(reactor, fd, &listener) == 0 && ow_socket_attach(reactor, ends[0], &socket) == 0 &&
                   ow_socket_accept(reactor, listener, 0) == 0 && ow_socket_receive(reactor, socket, 1) == 0;
    while (is_good && taken.kind != OW_ACCEPTED)
        is_good = ow_sockets_take(reactor, &taken, 1) >= 0 && ow_reactor_wait(reactor, &ready, 1, 1000000) >= 0;
    uint64_t accepted = taken.accepted;
    come_in_vain(other, &address);
    while (is_good && taken.result != -EMFILE)
        is_good = ow_sockets_take(reactor, &taken, 1) >= 0 && ow_reactor_wait(reactor, &ready, 1, 1000000) >= 0;
    is_good = is_good && ow_socket_close(reactor, accepted) == 0 && ow_socket_close(reactor, socket) == 0;
    /* Where the kernel has to let go of it first, a wait closes it. */
    for (int i = 0; i < 3; i++) is_good = is_good && ow_reactor_wait(reactor, &ready, 1, 1000000) >= 0;
    ow_reactor_destroy(reactor);
    *(bool *)done = is_good;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    close(client);
    close(other);
    close(ends[1]);
    return NULL;
}

TEST(ours, nothing_with_sockets_is_a_cancellation_point) {
    bool done = false;
    pthread_t thread;
    start_thread(&thread, live_with_a_cancellation, &done);
    join_thread(thread);
    CHECK(done);
}
