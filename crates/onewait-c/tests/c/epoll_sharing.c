/* One epoll under several numbers, and in several processes. */
#include "epoll_check.h"

TEST(same, all_numbers_of_an_epoll_are_one) {
    int epoll = new_epoll(), fd = new_event(0);
    int numbers[] = {dup(epoll), dup2(epoll, 200), dup3(epoll, 300, O_CLOEXEC), fcntl(epoll, F_DUPFD, 400),
                     fcntl(epoll, F_DUPFD_CLOEXEC, 500)};
    for (uint64_t i = 0; i < 5; i++) {
        ADD(numbers[i], fd, EPOLLIN, i);
        CHECK_ERRNO(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 0), EEXIST);
        signal_event(fd);
        EXPECT(epoll, -1, EPOLLIN, i);
        EXPECT(numbers[i], -1, EPOLLIN, i);
        EXPECT(numbers[(i + 1) % 5], -1, EPOLLIN, i);
        drain_event(fd);
        EXPECT_NOTHING(numbers[i]);
        DEL(epoll, fd);
    }
}

TEST(same, an_epoll_lives_as_long_as_one_of_its_numbers) {
    int epoll = new_epoll(), fd = new_event(0), other = dup(epoll);
    ADD(epoll, fd, EPOLLIN | EPOLLET, 3);
    close(epoll);
    signal_event(fd);
    EXPECT(other, -1, EPOLLIN, 3);
    EXPECT_NOTHING(other);
    CHECK_EQ(dup2(other, epoll), epoll);
    close(other);
    signal_event(fd);
    EXPECT(epoll, -1, EPOLLIN, 3);
}

TEST(same, a_closed_number_with_a_dup_goes_on) {
    int epoll = new_epoll(), fd = new_event(1), other = dup(fd);
    ADD(epoll, fd, EPOLLIN, 3);
    close(fd);
    EXPECT(epoll, -1, EPOLLIN, 3);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), EBADF);
    CHECK_EQ(dup2(other, fd), fd);
    DEL(epoll, fd);
    EXPECT_NOTHING(epoll);
    ADD(epoll, fd, EPOLLIN, 4);
    close(fd);
    close(other);
    EXPECT_NOTHING(epoll);
}

TEST(same, a_child_shares_the_epoll) {
    int epoll = new_epoll(), mine = new_event(0), childs = new_event(0), both = new_event(0);
    ADD(epoll, mine, EPOLLIN, 1);
    EXPECT_NOTHING(epoll);
    pid_t child = fork();
    if (child == 0) {
        ADD(epoll, childs, EPOLLIN, 2);
        DEL(epoll, mine);
        EXPECT_NOTHING(epoll);
        signal_event(both);
        EXPECT(epoll, -1, EPOLLIN, 2);
        _exit(0);
    }
    struct pollfd entry = {.fd = both, .events = POLLIN};
    CHECK_EQ(poll(&entry, 1, PATIENCE_MS), 1);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, mine, NULL), ENOENT);
    signal_event(childs);
    EXPECT(epoll, PATIENCE_MS, EPOLLIN, 2);
    child_succeeds(child);
    DEL(epoll, childs);
}

TEST(same, a_child_waits_where_its_parent_waits) {
    int epoll = new_epoll(), fd = new_event(0), ready = new_event(0);
    ADD(epoll, fd, EPOLLIN, 1);
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            signal_event(ready);
            EXPECT(epoll, -1, EPOLLIN, 1);
            /* And a grandchild with an epoll of its own. */
            pid_t grandchild = fork();
            if (grandchild == 0) {
                int own = new_epoll();
                ADD(own, fd, EPOLLIN, 5);
                EXPECT(own, -1, EPOLLIN, 5);
                _exit(0);
            }
            child_succeeds(grandchild);
            _exit(0);
        }
    }
    signal_event(fd);
    EXPECT(epoll, -1, EPOLLIN, 1);
    for (int i = 0; i < 3; i++) child_succeeds(children[i]);
}

static void *wait_for_ever(void *epoll) {
    struct epoll_event event;
    for (;;) epoll_wait((int)(intptr_t)epoll, &event, 1, -1);
    return NULL;
}

TEST(same, a_child_of_a_waiting_thread_works) {
    int epoll = new_epoll(), fd = new_event(0);
    for (int i = 0; i < 4; i++) new_thread(wait_for_ever, (void *)(intptr_t)epoll);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            int own = new_epoll();
            EXPECT_NOTHING(epoll);
            ADD(own, fd, EPOLLOUT, 1);
            EXPECT(own, -1, EPOLLOUT, 1);
            _exit(0);
        }
        child_succeeds(child);
    }
}

TEST(same, exclusive_waiters_in_several_processes_miss_nothing) {
    int words[2], answers[2];
    pid_t children[3];
    SET_UP(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, words) == 0);
    SET_UP(pipe(answers) == 0);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            int epoll = new_epoll();
            ADD(epoll, words[0], EPOLLIN | EPOLLEXCLUSIVE, 1);
            for (;;) {
                int word;
                EXPECT(epoll, -1, EPOLLIN, 1);
                /* Another one may have been faster. */
                if (read(words[0], &word, sizeof word) < 0) continue;
                if (word < 0) _exit(0);
                SET_UP(write(answers[1], &word, sizeof word) == sizeof word);
            }
        }
    }
    int seen[500] = {0}, word;
    for (int i = 0; i < 500; i++) {
        SET_UP(write(words[1], &i, sizeof i) == sizeof i);
        /* One at a time, or some together. */
        if (i % 5) continue;
        if (i % 50 == 0) sleep_ms(1);
        struct pollfd entry = {.fd = answers[0], .events = POLLIN};
        for (int wanted = i == 0 ? 1 : 5; wanted > 0; wanted--) {
            CHECK_EQ(poll(&entry, 1, PATIENCE_MS), 1);
            CHECK_EQ(read(answers[0], &word, sizeof word), (long)sizeof word);
            CHECK_EQ(seen[word]++, 0);
        }
    }
    /* Who has ended, and with it its epoll, leaves the next word to the others. */
    for (int i = 0; i < 3; i++) {
        word = -1;
        SET_UP(write(words[1], &word, sizeof word) == sizeof word);
    }
    for (int i = 0; i < 3; i++) child_succeeds(children[i]);
}

TEST(same, a_daemon_takes_its_epoll_along) {
    int epoll = new_epoll(), fd = new_event(0), ends[2];
    SET_UP(pipe(ends) == 0);
    ADD(epoll, fd, EPOLLIN, 1);
    EXPECT_NOTHING(epoll);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            EXPECT(epoll, PATIENCE_MS, EPOLLIN, 1);
            _exit(write(ends[1], "d", 1) != 1);
        }
        _exit(0);
    }
    child_succeeds(child);
    sleep_ms(20);
    signal_event(fd);
    struct pollfd entry = {.fd = ends[0], .events = POLLIN};
    CHECK_EQ(poll(&entry, 1, PATIENCE_MS), 1);
}

TEST(same, an_epoll_goes_through_a_socket) {
    int epoll = new_epoll(), fd = new_event(0), ends[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t child = fork();
    char byte = 0;
    struct iovec vector = {&byte, 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } rights = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &rights,
                             .msg_controllen = sizeof rights};
    if (child == 0) {
        close(epoll);
        SET_UP(recvmsg(ends[1], &message, 0) == 1);
        int got;
        memcpy(&got, CMSG_DATA(&rights.header), sizeof got);
        EXPECT(got, PATIENCE_MS, EPOLLIN, 77);
        MOD(got, fd, EPOLLIN, 78);
        _exit(0);
    }
    ADD(epoll, fd, EPOLLIN, 77);
    memcpy(CMSG_DATA(&rights.header), &epoll, sizeof epoll);
    SET_UP(sendmsg(ends[0], &message, 0) == 1);
    sleep_ms(20);
    signal_event(fd);
    child_succeeds(child);
    EXPECT(epoll, -1, EPOLLIN, 78);
}

TEST(same, an_epoll_is_inherited_by_another_program) {
    const char *inherited = getenv("TEST_EPOLL");
    if (inherited != NULL) {
        EXPECT(atoi(inherited), PATIENCE_MS, EPOLLIN, 77);
        _exit(0);
    }
    int epoll = epoll_create1(0), fd = new_event(0);
    ADD(epoll, fd, EPOLLIN, 77);
    char number[16];
    snprintf(number, sizeof number, "%d", epoll);
    pid_t child = fork();
    if (child == 0) {
        setenv("TEST_EPOLL", number, 1);
        execl("/proc/self/exe", "epoll_sharing", __func__, (char *)NULL);
        _exit(1);
    }
    sleep_ms(20);
    signal_event(fd);
    child_succeeds(child);
}

TEST(same, an_epoll_that_is_not_inherited_is_gone) {
    const char *inherited = getenv("TEST_EPOLL");
    struct epoll_event event;
    if (inherited != NULL) {
        CHECK_ERRNO(epoll_wait(atoi(inherited), &event, 1, -1), EBADF);
        _exit(0);
    }
    char number[16];
    snprintf(number, sizeof number, "%d", new_epoll());
    pid_t child = fork();
    if (child == 0) {
        setenv("TEST_EPOLL", number, 1);
        execl("/proc/self/exe", "epoll_sharing", __func__, (char *)NULL);
        _exit(1);
    }
    child_succeeds(child);
}

TEST(same, an_empty_environment_changes_nothing) {
    int epoll = new_epoll(), fd = new_event(1);
    clearenv();
    ADD(epoll, fd, EPOLLIN, 1);
    EXPECT(epoll, -1, EPOLLIN, 1);
    pid_t child = fork();
    if (child == 0) {
        int own = new_epoll();
        ADD(own, fd, EPOLLIN, 2);
        EXPECT(own, -1, EPOLLIN, 2);
        _exit(0);
    }
    child_succeeds(child);
}

/* Raw system calls go past all of it, and see the same. */
#include <sys/syscall.h>

TEST(same, raw_calls_and_functions_mix) {
    int epoll = (int)syscall(SYS_epoll_create1, 0), fd = new_event(1);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 5};
    CHECK_EQ(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event), 0);
    EXPECT(epoll, -1, EPOLLIN, 5);
    signal_event(fd);
    CHECK_EQ(syscall(SYS_epoll_pwait, epoll, &event, 1, -1, NULL, 8), 1);
    CHECK_EQ(event.data.u64, 5);
    EXPECT_NOTHING(epoll);
}
