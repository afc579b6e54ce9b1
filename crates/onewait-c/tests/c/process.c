/* Rules 76 to 82: descriptors, threads and processes that come and go while requests are in flight. */
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/stat.h>

static char buffer[1 << 20];

TEST(better, rule_76_a_request_finishes_on_the_file_it_was_made_for) {
    enum { count = 64, size = 16 << 10 };
    static struct aiocb cbs[count];
    static char back[count * size];
    for (int round = 0; round < 20; round++) {
        int fd = pattern_file("right", 0), keep = dup(fd);
        fill_pattern(buffer, count * size, 0);
        for (int i = 0; i < count; i++) {
            cbs[i] = REQUEST(fd, buffer + i * size, size, i * size);
            CHECK_EQ(aio_write(&cbs[i]), 0);
        }
        close(fd);
        /* The number lives on, with another file behind it. */
        CHECK_EQ(open("wrong", O_RDWR | O_CREAT | O_TRUNC, 0600), fd);
        for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), size);
        CHECK_EQ(lseek(fd, 0, SEEK_END), 0);
        CHECK_EQ(pread(keep, back, sizeof back, 0), sizeof back);
        check_pattern(back, sizeof back, 0);
        close(fd);
        close(keep);
    }
}

TEST(ours, rule_76_a_pipe_read_survives_the_close_of_its_descriptor) {
    int ends[2];
    silent_pipe(ends);
    int keep = dup(ends[0]);
    struct aiocb cbs[3];
    for (int i = 0; i < 3; i++) {
        cbs[i] = REQUEST(ends[0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    close(ends[0]);
    int reused = pattern_file("data", 100);
    CHECK_EQ(reused, ends[0]);
    sleep_ms(20);
    CHECK_EQ(write(ends[1], "abc", 3), 3);
    for (int i = 0; i < 3; i++) CHECK_EQ(finish(&cbs[i]), 1);
    CHECK_EQ(memcmp(buffer, "abc", 3), 0);
    close(keep);
}

static void read_in_child(int fd) {
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    check_pattern(buffer, 4096, 0);
    _exit(0);
}

TEST(better, rule_77_a_child_can_use_aio_while_the_parents_requests_go_on) {
    int fd = pattern_file("data", 4096), ends[2];
    silent_pipe(ends);
    struct aiocb cb = REQUEST(ends[0], buffer, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            /* It has inherited no request, though it has a copy of the control block. */
            CHECK_EQ(aio_cancel(ends[0], NULL), AIO_ALLDONE);
            read_in_child(fd);
        }
        child_succeeds(pid);
        CHECK_EQ(aio_error(&cb), EINPROGRESS);
    }
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
}

TEST(same, rule_77_a_child_can_use_aio_if_the_parent_never_did) {
    int fd = pattern_file("data", 4096);
    pid_t pid = fork();
    if (pid == 0) read_in_child(fd);
    child_succeeds(pid);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
}

TEST(same, rule_77_the_parents_requests_go_on_after_fork) {
    int ends[2], fd = pattern_file("data", sizeof buffer);
    silent_pipe(ends);
    for (int i = 0; i < 20; i++) {
        struct aiocb waiting = REQUEST(ends[0], buffer, 1, 0), reading = REQUEST(fd, buffer + 1, 65536, 0);
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(aio_read(&waiting), 0);
        CHECK_EQ(aio_read(&reading), 0);
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        CHECK_EQ(finish(&reading), 65536);
        check_pattern(buffer + 1, 65536, 0);
        child_succeeds(pid);
        CHECK_EQ(aio_error(&waiting), EINPROGRESS);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(finish(&waiting), 1);
    }
}

static void leave_a_mark(union sigval value) {
    (void)value;
    close(open("notified", O_CREAT | O_WRONLY, 0600));
}

/* In a child: requests of every kind in flight, each with a notification that would be seen. */
static void fill_with_requests(int fd, int silent) {
    static struct aiocb cbs[40];
    for (int i = 0; i < 40; i++) {
        cbs[i] = REQUEST(i % 2 == 0 ? silent : fd, buffer + i, 1, 0);
        if (i % 2 == 0) {
            cbs[i].aio_sigevent.sigev_notify = i % 4 == 0 ? SIGEV_THREAD : SIGEV_SIGNAL;
            cbs[i].aio_sigevent.sigev_signo = SIGUSR1; /* which would end the process */
            cbs[i].aio_sigevent.sigev_notify_function = leave_a_mark;
            cbs[i].aio_sigevent.sigev_notify_attributes = NULL;
        }
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
}

TEST(same, rule_78_exit_does_not_wait_and_does_not_notify) {
    int ends[2], fd = pattern_file("data", 4096);
    silent_pipe(ends);
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            fill_with_requests(fd, ends[0]);
            if (i % 2 == 0) exit(0);
            _exit(0);
        }
        child_succeeds(pid);
    }
    CHECK_ERRNO(access("notified", F_OK), ENOENT);
}

TEST(same, rule_78_exec_does_not_wait_and_does_not_notify) {
    int ends[2], fd = pattern_file("data", 4096);
    silent_pipe(ends);
    /* Kept open across exec, so that what is still in flight could still complete. */
    CHECK_EQ(fcntl(ends[0], F_SETFD, 0), 0);
    for (int i = 0; i < 5; i++) {
        int until_exec[2];
        silent_pipe(until_exec);
        pid_t pid = fork();
        if (pid == 0) {
            fill_with_requests(fd, ends[0]);
            execl("/bin/sh", "sh", "-c", "sleep 0.05", (char *)NULL);
            _exit(1);
        }
        close(until_exec[1]);
        CHECK_EQ(read(until_exec[0], buffer, 1), 0);
        close(until_exec[0]);
        CHECK_EQ(write(ends[1], buffer, 100), 100);
        child_succeeds(pid);
        /* Nobody has taken any of it. */
        CHECK_EQ(read(ends[0], buffer, 200), 100);
    }
    CHECK_ERRNO(access("notified", F_OK), ENOENT);
}

struct submission {
    struct aiocb cb;
    int (*submit)(struct aiocb *);
};

static void *submit_and_exit(void *argument) {
    struct submission *submission = argument;
    CHECK_EQ(submission->submit(&submission->cb), 0);
    return NULL;
}

TEST(same, rule_79_the_end_of_the_submitting_thread_ends_no_request) {
    enum { count = 10 };
    static struct submission reads[count], files[count];
    int pipes[count][2], fd = pattern_file("data", sizeof buffer);
    CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        silent_pipe(pipes[i]);
        reads[i] = (struct submission){REQUEST(pipes[i][0], &buffer[i], 1, 0), aio_read};
        SET_UP(pthread_create(&thread, NULL, submit_and_exit, &reads[i]) == 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        files[i] = (struct submission){REQUEST(fd, buffer + (i + 1) * 8192, 8192, i * 100000), aio_read};
        SET_UP(pthread_create(&thread, NULL, submit_and_exit, &files[i]) == 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    sleep_ms(50);
    for (int i = 0; i < count; i++) {
        CHECK_EQ(aio_error(&reads[i].cb), EINPROGRESS);
        CHECK_EQ(write(pipes[i][1], "x", 1), 1);
        CHECK_EQ(finish(&reads[i].cb), 1);
        CHECK_EQ(buffer[i], 'x');
        CHECK_EQ(finish(&files[i].cb), 8192);
        check_pattern(buffer + (i + 1) * 8192, 8192, i * 100000);
    }
}

/* Each thread has just submitted requests itself, sleeps in a system call, and wants to hear of nothing but its
 * timeout. A ring that is looked after by task work wakes exactly such threads. */
static volatile bool stop;

static void busy_with_aio(int fd, struct aiocb *cbs, char *own) {
    for (int i = 0; i < 8; i++) {
        if (aio_error(&cbs[i]) == EINPROGRESS) continue;
        cbs[i] = REQUEST(fd, own + i * 4096, 4096, i * 64 << 10);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
}

static void *sleep_undisturbed(void *how) {
    struct aiocb cbs[8];
    memset(cbs, 0, sizeof cbs);
    char *own = NULL;
    CHECK_EQ(posix_memalign((void **)&own, 4096, 8 * 4096), 0);
    /* Direct, where that can be had, so that there is something to wait for. */
    int fd = open("data", O_RDONLY | O_DIRECT);
    if (fd < 0) fd = open("data", O_RDONLY);
    SET_UP(fd >= 0);
    int epoll = epoll_create1(0), ends[2], semaphore = semget(IPC_PRIVATE, 1, 0600);
    silent_pipe(ends);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
    struct pollfd silent = {.fd = ends[0], .events = POLLIN};
    struct sembuf down = {.sem_op = -1};
    struct timespec ten_ms = {0, 10000000};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    while (!stop) {
        busy_with_aio(fd, cbs, own);
        struct timeval time = {0, 10000};
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(ends[0], &readable);
        switch (*(int *)how) {
        case 0: CHECK_EQ(epoll_wait(epoll, &event, 1, 10), 0); break;
        case 1: CHECK_ERRNO(sigtimedwait(&set, NULL, &ten_ms), EAGAIN); break;
        case 2:
            if (semaphore >= 0) CHECK_ERRNO(semtimedop(semaphore, &down, 1, &ten_ms), EAGAIN);
            break;
        case 3: CHECK_EQ(poll(&silent, 1, 10), 0); break;
        case 4: CHECK_EQ(nanosleep(&ten_ms, NULL), 0); break;
        case 5: CHECK_EQ(select(ends[0] + 1, &readable, NULL, NULL, &time), 0); break;
        }
    }
    for (int i = 0; i < 8; i++) wait_for(&cbs[i]);
    if (semaphore >= 0) CHECK_EQ(semctl(semaphore, 0, IPC_RMID), 0);
    return NULL;
}

TEST(same, rule_80_no_system_call_of_the_program_is_interrupted) {
    pthread_t threads[6];
    int how[6];
    close(pattern_file("data", sizeof buffer));
    for (int i = 0; i < 6; i++) {
        how[i] = i;
        SET_UP(pthread_create(&threads[i], NULL, sleep_undisturbed, &how[i]) == 0);
    }
    sleep_ms(1500);
    stop = true;
    for (int i = 0; i < 6; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

TEST(same, rule_80_a_single_threaded_program_is_not_interrupted) {
    int how = 0;
    close(pattern_file("data", sizeof buffer));
    struct aiocb cbs[8];
    char *own = NULL;
    memset(cbs, 0, sizeof cbs);
    CHECK_EQ(posix_memalign((void **)&own, 4096, 8 * 4096), 0);
    int fd = open("data", O_RDONLY | O_DIRECT), ends[2];
    if (fd < 0) fd = open("data", O_RDONLY);
    silent_pipe(ends);
    struct pollfd silent = {.fd = ends[0], .events = POLLIN};
    for (; how < 100; how++) {
        busy_with_aio(fd, cbs, own);
        CHECK_EQ(how % 2 == 0 ? poll(&silent, 1, 3) : usleep(3000), 0);
    }
    for (int i = 0; i < 8; i++) wait_for(&cbs[i]);
}

/* Any order is right; a mixture within a page is not what any file system here does, but would be allowed too. */
TEST(same, rule_81_overlapping_requests_all_complete) {
    enum { count = 50, size = 20000 };
    static struct aiocb cbs[count];
    static char versions[count][size], back[size];
    int fd = pattern_file("data", size);
    for (int i = 0; i < count; i++) {
        memset(versions[i], 'A' + i, size);
        cbs[i] = REQUEST(fd, versions[i], size, 0);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), size);
    CHECK_EQ(pread(fd, back, size, 0), size);
    for (int i = 0; i < size; i++) CHECK(back[i] >= 'A' && back[i] < 'A' + count);
    CHECK_EQ(lseek(fd, 0, SEEK_END), size);
}

static void files_go_on_beside(int silent) {
    static struct aiocb blocked[1000];
    static int pipes[1000][2];
    CHECK(silent <= 1000);
    int fd = pattern_file("data", sizeof buffer);
    for (int i = 0; i < silent; i++) {
        silent_pipe(pipes[i]);
        blocked[i] = REQUEST(pipes[i][0], &buffer[i], 1, 0);
        CHECK_EQ(aio_read(&blocked[i]), 0);
    }
    static char data[65536];
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        struct aiocb read = REQUEST(fd, data, sizeof data, i * 1000);
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(finish(&read), sizeof data);
        check_pattern(data, sizeof data, i * 1000);
        struct aiocb write = REQUEST(fd, data, sizeof data, i * 1000);
        CHECK_EQ(aio_write(&write), 0);
        CHECK_EQ(finish(&write), sizeof data);
        CHECK_EQ(aio_fsync(O_SYNC, &write), 0);
        CHECK_EQ(finish(&write), 0);
    }
    for (int i = 0; i < silent; i++) {
        CHECK_EQ(aio_error(&blocked[i]), EINPROGRESS);
        CHECK_EQ(write(pipes[i][1], "x", 1), 1);
        CHECK_EQ(finish(&blocked[i]), 1);
    }
}

TEST(same, rule_82_a_few_silent_pipes_do_not_stall_files) { files_go_on_beside(10); }

TEST(better, rule_82_many_silent_pipes_do_not_stall_files) { files_go_on_beside(1000); }

TEST(better, rule_82_a_silent_pipe_does_not_stall_a_write_through_the_same_descriptor) {
    SET_UP(mkfifo("fifo", 0600) == 0);
    int fd = open("fifo", O_RDWR);
    struct aiocb read = REQUEST(fd, buffer, 1, 0), write = REQUEST(fd, "x", 1, 0);
    CHECK_EQ(aio_read(&read), 0);
    CHECK_EQ(aio_write(&write), 0);
    CHECK_EQ(finish(&write), 1);
    CHECK_EQ(finish(&read), 1);
    CHECK_EQ(buffer[0], 'x');
}
