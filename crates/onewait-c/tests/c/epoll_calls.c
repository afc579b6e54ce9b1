/* The six calls, one at a time: what they give, and which errors. */
#include "epoll_check.h"

TEST(same, creating_checks_its_argument) {
    CHECK_ERRNO(epoll_create(0), EINVAL);
    CHECK_ERRNO(epoll_create(-1), EINVAL);
    CHECK_ERRNO(epoll_create1(EPOLL_CLOEXEC << 1), EINVAL);
    CHECK_EQ(fcntl(epoll_create(1), F_GETFD), 0);
    CHECK_EQ(fcntl(epoll_create1(0), F_GETFD), 0);
    CHECK_EQ(fcntl(epoll_create1(EPOLL_CLOEXEC), F_GETFD), FD_CLOEXEC);
}

TEST(same, an_epoll_is_the_lowest_number_and_takes_no_other) {
    int lowest = dup(0);
    SET_UP(lowest >= 0);
    close(lowest);
    CHECK_EQ(epoll_create1(0), lowest);
    CHECK_EQ(dup(0), lowest + 1);
    CHECK_EQ(epoll_create(1), lowest + 2);
    EXPECT_NOTHING(lowest);
    CHECK_EQ(dup(0), lowest + 3);
}

TEST(same, without_descriptors_there_is_no_epoll) {
    int lowest = dup(0);
    SET_UP(setrlimit(RLIMIT_NOFILE, &(struct rlimit){(rlim_t)lowest + 1, (rlim_t)lowest + 1}) == 0);
    CHECK_ERRNO(epoll_create1(0), EMFILE);
    CHECK_ERRNO(epoll_create(1), EMFILE);
}

TEST(same, an_epoll_is_no_file_to_read) {
    int epoll = new_epoll();
    char byte = 0;
    CHECK_EQ(fcntl(epoll, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_ERRNO(read(epoll, &byte, 1), EINVAL);
    CHECK_ERRNO(write(epoll, &byte, 1), EINVAL);
    CHECK_EQ(lseek(epoll, 0, SEEK_SET), 0);
}

TEST(same, control_says_what_is_wrong) {
    int epoll = new_epoll(), fd = new_event(0), closed = dup(fd), file = pattern_file("data", 10);
    struct epoll_event event = {.events = EPOLLIN};
    close(closed);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, NULL), EFAULT);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, IN_THE_KERNEL), EFAULT);
    CHECK_ERRNO(epoll_ctl(closed, EPOLL_CTL_ADD, fd, NULL), EFAULT);
    CHECK_ERRNO(epoll_ctl(epoll, 99, fd, NULL), EFAULT);
    CHECK_ERRNO(epoll_ctl(closed, EPOLL_CTL_ADD, fd, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, closed, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event), EBADF);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event), EPERM);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, file, NULL), EPERM);
    CHECK_ERRNO(epoll_ctl(fd, EPOLL_CTL_ADD, file, &event), EPERM);
    CHECK_ERRNO(epoll_ctl(fd, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, dup(epoll), &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(epoll, 99, fd, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), ENOENT);
    ADD(epoll, fd, EPOLLIN, 0);
    CHECK_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EEXIST);
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, IN_THE_KERNEL), 0);
}

TEST(same, exclusive_goes_with_few_things) {
    int epoll = new_epoll(), fd = new_event(1), inner = new_epoll();
    CHECK_ERRNO(control(epoll, EPOLL_CTL_ADD, fd, EPOLLEXCLUSIVE | EPOLLONESHOT, 0), EINVAL);
    CHECK_ERRNO(control(epoll, EPOLL_CTL_ADD, inner, EPOLLEXCLUSIVE | EPOLLIN, 0), EINVAL);
    ADD(epoll, fd, EPOLLEXCLUSIVE | EPOLLIN, 7);
    CHECK_ERRNO(control(epoll, EPOLL_CTL_MOD, fd, EPOLLIN, 0), EINVAL);
    CHECK_ERRNO(control(epoll, EPOLL_CTL_MOD, fd, EPOLLEXCLUSIVE | EPOLLIN, 0), EINVAL);
    EXPECT(epoll, -1, EPOLLIN, 7);
    DEL(epoll, fd);
}

TEST(same, nesting_has_a_limit) {
    int chain[6];
    for (int i = 0; i < 6; i++) chain[i] = new_epoll();
    for (int i = 1; i < 5; i++) ADD(chain[i], chain[i - 1], EPOLLIN, (uint64_t)i);
    CHECK_ERRNO(control(chain[5], EPOLL_CTL_ADD, chain[4], EPOLLIN, 0), ELOOP);
    CHECK_ERRNO(control(chain[0], EPOLL_CTL_ADD, chain[4], EPOLLIN, 0), ELOOP);
    int fd = new_event(1);
    ADD(chain[0], fd, EPOLLIN, 9);
    EXPECT(chain[4], -1, EPOLLIN, 4);
    EXPECT(chain[0], -1, EPOLLIN, 9);
    drain_event(fd);
    EXPECT_NOTHING(chain[4]);
}

TEST(same, waiting_says_what_is_wrong) {
    int epoll = new_epoll(), fd = new_event(1), closed = dup(fd);
    struct epoll_event events[2], *volatile nowhere = NULL;
    /* The compiler would complain. */
    volatile int below = -1, too_many = INT_MAX / (int)sizeof(struct epoll_event) + 1;
    close(closed);
    for (int timeout = -1; timeout <= 1; timeout++) {
        CHECK_ERRNO(epoll_wait(epoll, events, 0, timeout), EINVAL);
        CHECK_ERRNO(epoll_wait(epoll, events, below, timeout), EINVAL);
        CHECK_ERRNO(epoll_wait(epoll, events, too_many, timeout), EINVAL);
        CHECK_ERRNO(epoll_wait(closed, events, 2, timeout), EBADF);
        CHECK_ERRNO(epoll_wait(-1, events, 2, timeout), EBADF);
        CHECK_ERRNO(epoll_wait(fd, events, 2, timeout), EINVAL);
        CHECK_ERRNO(epoll_wait(epoll, IN_THE_KERNEL, 2, timeout), EFAULT);
        CHECK_ERRNO(epoll_pwait(epoll, events, 0, timeout, NULL), EINVAL);
        CHECK_ERRNO(epoll_pwait(closed, events, 2, timeout, NULL), EBADF);
        CHECK_ERRNO(epoll_pwait(epoll, events, 2, timeout, IN_THE_KERNEL), EFAULT);
        /* The mask is looked at first. */
        CHECK_ERRNO(epoll_pwait(closed, events, 0, timeout, IN_THE_KERNEL), EFAULT);
    }
    CHECK_EQ(epoll_wait(epoll, nowhere, 1, 0), 0);
    CHECK_EQ(epoll_wait(epoll, nowhere, 1, 3), 0);
}

TEST(same, what_cannot_be_stored_is_not_lost) {
    int epoll = new_epoll(), edge = new_event(1), once = new_event(1);
    struct epoll_event *nowhere = read_only();
    ADD(epoll, edge, EPOLLIN | EPOLLET, 1);
    for (int timeout = -1; timeout <= 10; timeout += 11) CHECK_ERRNO(epoll_wait(epoll, nowhere, 4, timeout), EFAULT);
    EXPECT(epoll, 0, EPOLLIN, 1);
    EXPECT_NOTHING(epoll);
    ADD(epoll, once, EPOLLIN | EPOLLONESHOT, 2);
    CHECK_ERRNO(epoll_wait(epoll, nowhere, 4, -1), EFAULT);
    EXPECT(epoll, -1, EPOLLIN, 2);
    EXPECT_NOTHING(epoll);
}

TEST(same, all_64_bits_of_data_are_the_programs) {
    int epoll = new_epoll(), fd = new_event(1);
    ADD(epoll, fd, EPOLLIN, 0);
    uint64_t value = 1;
    for (int i = 0; i < 2000; i++) {
        uint64_t data = i < 64 ? (uint64_t)1 << i : i < 128 ? ~((uint64_t)1 << (i - 64)) : value;
        MOD(epoll, fd, EPOLLIN, data);
        EXPECT(epoll, i % 3 - 1, EPOLLIN, data);
        value = value * 0x5851f42d4c957f2du + 1;
    }
    MOD(epoll, fd, EPOLLIN, (uint64_t)(uintptr_t)&fd);
    EXPECT(epoll, -1, EPOLLIN, (uint64_t)(uintptr_t)&fd);
    MOD(epoll, fd, EPOLLIN, ~(uint64_t)0);
    EXPECT(epoll, -1, EPOLLIN, ~(uint64_t)0);
}

TEST(same, level_edge_and_oneshot) {
    int epoll = new_epoll(), fd = new_event(1);
    ADD(epoll, fd, EPOLLIN, 1);
    for (int i = 0; i < 3; i++) EXPECT(epoll, -1, EPOLLIN, 1);
    MOD(epoll, fd, EPOLLIN | EPOLLET, 2);
    EXPECT(epoll, -1, EPOLLIN, 2);
    EXPECT_NOTHING(epoll);
    signal_event(fd);
    EXPECT(epoll, -1, EPOLLIN, 2);
    MOD(epoll, fd, EPOLLIN | EPOLLONESHOT, 3);
    EXPECT(epoll, -1, EPOLLIN, 3);
    signal_event(fd);
    EXPECT_NOTHING(epoll);
    CHECK_ERRNO(control(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, 0), EEXIST);
    MOD(epoll, fd, EPOLLOUT | EPOLLONESHOT, 4);
    EXPECT(epoll, -1, EPOLLOUT, 4);
    drain_event(fd);
    MOD(epoll, fd, EPOLLIN, 5);
    EXPECT_NOTHING(epoll);
}

TEST(same, level_triggered_ones_take_turns) {
    int epoll = new_epoll();
    for (uint64_t i = 0; i < 5; i++) ADD(epoll, new_event(1), EPOLLIN, i);
    struct epoll_event events[3];
    for (uint64_t next = 0; next < 30; next += 3) {
        CHECK_EQ(epoll_wait(epoll, events, 3, -1), 3);
        for (uint64_t i = 0; i < 3; i++) CHECK_EQ(events[i].data.u64, (next + i) % 5);
    }
}

TEST(same, hanging_up_is_told_unasked) {
    int epoll = new_epoll(), ends[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    ADD(epoll, ends[0], 0, 1);
    EXPECT_NOTHING(epoll);
    close(ends[1]);
    EXPECT(epoll, -1, EPOLLHUP, 1);
    MOD(epoll, ends[0], EPOLLIN | EPOLLRDHUP | EPOLLET, 2);
    EXPECT(epoll, -1, EPOLLIN | EPOLLHUP | EPOLLRDHUP, 2);
}

TEST(same, a_wait_is_never_early) {
    int epoll = new_epoll();
    struct epoll_event event;
    for (int timeout = 1; timeout <= 32; timeout *= 2)
        for (int i = 0; i < 3; i++) {
            struct timespec since, now;
            clock_gettime(CLOCK_MONOTONIC, &since);
            CHECK_EQ(epoll_pwait(epoll, &event, 1, timeout, NULL), 0);
            clock_gettime(CLOCK_MONOTONIC, &now);
            CHECK((now.tv_sec - since.tv_sec) * 1000000000 + now.tv_nsec - since.tv_nsec >= timeout * 1000000L);
        }
}

static void *signal_later(void *fd) {
    sleep_ms(150);
    signal_event((int)(intptr_t)fd);
    return NULL;
}

TEST(same, long_waits_end_with_an_event) {
    int timeouts[] = {-1, INT_MIN, INT_MAX, 5000};
    for (int i = 0; i < 4; i++) {
        int epoll = new_epoll(), fd = new_event(0);
        ADD(epoll, fd, EPOLLIN, 1);
        pthread_t thread = new_thread(signal_later, (void *)(intptr_t)fd);
        EXPECT(epoll, timeouts[i], EPOLLIN, 1);
        pthread_join(thread, NULL);
    }
}

#if __GLIBC_PREREQ(2, 35)
TEST(same, pwait2_counts_nanoseconds) {
    int epoll = new_epoll(), fd = new_event(0), closed = dup(fd);
    close(closed);
    struct epoll_event event;
    struct timespec times[] = {{0, 0}, {0, 1}, {0, 300000}, {0, 3000001}};
    for (int i = 0; i < 4; i++) {
        struct timespec since, now;
        clock_gettime(CLOCK_MONOTONIC, &since);
        CHECK_EQ(epoll_pwait2(epoll, &event, 1, &times[i], NULL), 0);
        clock_gettime(CLOCK_MONOTONIC, &now);
        CHECK((now.tv_sec - since.tv_sec) * 1000000000 + now.tv_nsec - since.tv_nsec >= times[i].tv_nsec);
    }
    struct timespec wrong[] = {{0, 1000000000}, {0, -1}, {-1, 0}};
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(epoll_pwait2(epoll, &event, 1, &wrong[i], NULL), EINVAL);
        CHECK_ERRNO(epoll_pwait2(closed, &event, 1, &wrong[i], NULL), EINVAL);
    }
    CHECK_ERRNO(epoll_pwait2(closed, &event, 1, IN_THE_KERNEL, NULL), EFAULT);
    CHECK_ERRNO(epoll_pwait2(epoll, &event, 1, (void *)8, NULL), EFAULT);
    CHECK_ERRNO(epoll_pwait2(closed, &event, 1, &times[0], NULL), EBADF);
    CHECK_ERRNO(epoll_pwait2(epoll, &event, 0, NULL, NULL), EINVAL);
    CHECK_ERRNO(epoll_pwait2(epoll, &event, 1, NULL, IN_THE_KERNEL), EFAULT);
    ADD(epoll, fd, EPOLLIN, 1);
    pthread_t thread = new_thread(signal_later, (void *)(intptr_t)fd);
    CHECK_EQ(epoll_pwait2(epoll, &event, 1, NULL, NULL), 1);
    CHECK_EQ(event.data.u64, 1);
    pthread_join(thread, NULL);
}
#endif

TEST(same, a_number_that_is_reused_is_another_epoll) {
    for (int i = 0; i < 300; i++) {
        int epoll = new_epoll(), fd = new_event(1);
        ADD(epoll, fd, EPOLLIN, (uint64_t)i);
        EXPECT(epoll, -1, EPOLLIN, (uint64_t)i);
        CHECK_EQ(close(epoll), 0);
        CHECK_EQ(new_epoll(), epoll);
        EXPECT_NOTHING(epoll);
        /* And then no epoll at all. */
        CHECK_EQ(dup2(fd, epoll), epoll);
        struct epoll_event event;
        CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EINVAL);
        close(epoll);
        close(fd);
        CHECK_ERRNO(epoll_wait(epoll, &event, 1, -1), EBADF);
    }
}

/* The lines of /proc/self/fdinfo that say what is watched. */
static int watched(int epoll, char *first) {
    char name[64], line[256];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", epoll);
    FILE *file = fopen(name, "r");
    SET_UP(file != NULL);
    int count = 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "tfd:", 4) == 0 && count++ == 0) strcpy(first, line);
    fclose(file);
    return count;
}

TEST(same, fdinfo_shows_what_the_program_watches_and_no_more) {
    int epoll = new_epoll(), fd = new_event(0), said;
    char line[256];
    CHECK_EQ(watched(epoll, line), 0);
    ADD(epoll, fd, EPOLLIN | EPOLLET, 0xabcdef);
    EXPECT_NOTHING(epoll);
    CHECK_EQ(watched(epoll, line), 1);
    unsigned events;
    unsigned long long data;
    CHECK_EQ(sscanf(line, "tfd: %d events: %x data: %llx", &said, &events, &data), 3);
    CHECK_EQ(said, fd);
    CHECK_EQ(events & (EPOLLIN | EPOLLET), EPOLLIN | EPOLLET);
    CHECK_EQ(data, 0xabcdef);
}

TEST(same, an_epoll_can_be_polled) {
    int epoll = new_epoll(), outer = new_epoll(), fd = new_event(0);
    struct pollfd entry = {.fd = epoll, .events = POLLIN | POLLOUT};
    ADD(outer, epoll, EPOLLIN | EPOLLET, 2);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    ADD(epoll, fd, EPOLLIN, 1);
    CHECK_EQ(poll(&entry, 1, 5), 0);
    EXPECT_NOTHING(epoll);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    signal_event(fd);
    CHECK_EQ(poll(&entry, 1, -1), 1);
    CHECK_EQ(entry.revents, POLLIN);
    EXPECT(outer, -1, EPOLLIN, 2);
    EXPECT(epoll, -1, EPOLLIN, 1);
    CHECK_EQ(poll(&entry, 1, 0), 1);
    drain_event(fd);
    CHECK_EQ(poll(&entry, 1, 0), 0);
    EXPECT_NOTHING(outer);
}
