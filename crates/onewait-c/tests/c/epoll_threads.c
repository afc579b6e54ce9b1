/* Many threads on one epoll. */
#include "epoll_check.h"

#include <stdatomic.h>

#define THREADS 8

static int epoll, stop_fd;
static atomic_int awake, seen[1000];

static void *wait_once(void *unused) {
    (void)unused;
    struct epoll_event event;
    int result = epoll_wait(epoll, &event, 1, -1);
    CHECK_EQ(result, 1);
    awake++;
    return NULL;
}

TEST(same, a_level_wakes_all_who_wait) {
    pthread_t threads[THREADS];
    epoll = new_epoll();
    int fd = new_event(0);
    ADD(epoll, fd, EPOLLIN, 1);
    for (int i = 0; i < THREADS; i++) threads[i] = new_thread(wait_once, NULL);
    sleep_ms(20);
    signal_event(fd);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(awake, THREADS);
}

TEST(same, an_edge_wakes_one) {
    epoll = new_epoll();
    int fd = new_event(0);
    ADD(epoll, fd, EPOLLIN | EPOLLET, 1);
    for (int i = 0; i < THREADS; i++) new_thread(wait_once, NULL);
    sleep_ms(20);
    for (int i = 1; i <= THREADS; i++) {
        signal_event(fd);
        EVENTUALLY(awake == i);
        sleep_ms(3);
        CHECK_EQ(awake, i);
    }
}

TEST(same, what_is_added_wakes_who_waits) {
    epoll = new_epoll();
    for (int i = 1; i <= 5; i++) {
        pthread_t thread = new_thread(wait_once, NULL);
        sleep_ms(i * 2);
        int fd = new_event(1);
        ADD(epoll, fd, EPOLLIN, 1);
        pthread_join(thread, NULL);
        DEL(epoll, fd);
        CHECK_EQ(awake, i);
    }
}

/* Takes numbers out of pipes, each of which is watched for one event at a time. */
static void *serve(void *unused) {
    (void)unused;
    struct epoll_event events[4];
    for (;;) {
        int count = epoll_wait(epoll, events, 4, -1);
        CHECK(count > 0);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd, number;
            if (fd == stop_fd) return NULL;
            CHECK_EQ(read(fd, &number, sizeof number), (long)sizeof number);
            seen[number]++;
            struct epoll_event again = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
            CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &again), 0);
        }
    }
}

TEST(same, each_event_of_a_oneshot_is_one_threads) {
    pthread_t threads[THREADS];
    int pipes[10][2];
    epoll = new_epoll();
    stop_fd = new_event(0);
    for (int i = 0; i < 10; i++) {
        SET_UP(pipe(pipes[i]) == 0);
        struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = pipes[i][0]};
        CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[i][0], &event), 0);
    }
    struct epoll_event stop = {.events = EPOLLIN, .data.fd = stop_fd};
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, stop_fd, &stop), 0);
    for (int i = 0; i < THREADS; i++) threads[i] = new_thread(serve, NULL);
    for (int number = 0; number < 1000; number++) {
        SET_UP(write(pipes[number % 10][1], &number, sizeof number) == sizeof number);
        if (number % 37 == 0) sleep_ms(1);
    }
    for (int number = 0; number < 1000; number++) EVENTUALLY(seen[number] == 1);
    signal_event(stop_fd);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int number = 0; number < 1000; number++) CHECK_EQ(seen[number], 1);
}

/* A ball between two threads, each with an epoll of its own. */
static void *play_back(void *ends) {
    int own = new_epoll(), *sockets = ends;
    ADD(own, sockets[1], EPOLLIN, 9);
    for (int i = 0; i < 3000; i++) {
        char ball;
        EXPECT(own, -1, EPOLLIN, 9);
        CHECK_EQ(read(sockets[1], &ball, 1), 1);
        CHECK_EQ(write(sockets[1], &ball, 1), 1);
    }
    return NULL;
}

TEST(same, two_threads_answer_each_other) {
    int sockets[2], own = new_epoll();
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    ADD(own, sockets[0], EPOLLIN | EPOLLET, 3);
    pthread_t thread = new_thread(play_back, sockets);
    for (int i = 0; i < 3000; i++) {
        char ball = (char)i, got;
        CHECK_EQ(write(sockets[0], &ball, 1), 1);
        EXPECT(own, PATIENCE_MS, EPOLLIN, 3);
        CHECK_EQ(read(sockets[0], &got, 1), 1);
        CHECK_EQ(got, ball);
    }
    pthread_join(thread, NULL);
}

static void *change(void *unused) {
    (void)unused;
    for (int i = 0; i < 500; i++) {
        int fd = new_event(i % 2);
        ADD(epoll, fd, EPOLLIN | EPOLLET, 1);
        MOD(epoll, fd, EPOLLIN, 2);
        if (i % 3) DEL(epoll, fd);
        close(fd);
    }
    return NULL;
}

static void *wait_in_a_loop(void *unused) {
    (void)unused;
    struct epoll_event events[4];
    for (;;) {
        int count = epoll_wait(epoll, events, 4, 1);
        CHECK(count >= 0);
        for (int i = 0; i < count; i++)
            if (events[i].data.u64 == 99) return NULL;
    }
}

TEST(same, changes_while_others_wait) {
    pthread_t waiters[4], changers[4];
    epoll = new_epoll();
    for (int i = 0; i < 4; i++) waiters[i] = new_thread(wait_in_a_loop, NULL);
    for (int i = 0; i < 4; i++) changers[i] = new_thread(change, NULL);
    for (int i = 0; i < 4; i++) pthread_join(changers[i], NULL);
    ADD(epoll, new_event(1), EPOLLIN, 99);
    for (int i = 0; i < 4; i++) pthread_join(waiters[i], NULL);
}
