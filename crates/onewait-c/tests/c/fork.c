/*
 * fork, vfork, exec and exit, at every point: the child inherits no request and has a working AIO of its own, the
 * parent's requests go on, and nothing is said to a program that has taken the process's place.
 */
#include "hazards.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>

#define BLOCK 4096

static atomic_int notifications;

static void count_notification(union sigval value) { atomic_fetch_add(&notifications, value.sival_int); }

/* Every call and every kind of notification, checked; for a process that must find all of AIO in order. */
static void use_all_of_aio(int fd) {
    static char buffer[8][BLOCK], back[BLOCK];
    atomic_store(&notifications, 0);

    struct aiocb one = REQUEST(fd, buffer[0], BLOCK, BLOCK);
    CHECK_EQ(aio_read(&one), 0);
    CHECK_EQ(finish(&one), BLOCK);
    check_pattern(buffer[0], BLOCK, BLOCK);

    int own = memfd_create("own", MFD_CLOEXEC); /* so that no child waits for the disk */
    CHECK(own >= 0);
    one = REQUEST(own, buffer[0], BLOCK, 0);
    CHECK_EQ(aio_write(&one), 0);
    struct aiocb sync = REQUEST(own, NULL, 0, 0);
    CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
    CHECK_EQ(finish(&sync), 0);
    CHECK_EQ(finish(&one), BLOCK);
    CHECK_EQ(pread(own, back, BLOCK, 0), BLOCK);
    check_pattern(back, BLOCK, BLOCK);
    CHECK_EQ(close(own), 0);

    /* Before any notification by a thread: such a thread has an empty mask, and would take the signal. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    int ends[2];
    silent_pipe(ends);
    one = REQUEST(ends[0], buffer[0], BLOCK, 0);
    one.aio_sigevent = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    CHECK_EQ(aio_read(&one), 0);
    CHECK_EQ(aio_error(&one), EINPROGRESS);
    CHECK_EQ(aio_cancel(ends[0], &one), AIO_CANCELED);
    CHECK_EQ(aio_error(&one), ECANCELED);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){10, 0}), SIGRTMIN);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(aio_read(&one), 0);
    CHECK_EQ(write(ends[1], "child", 5), 5);
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){10, 0}), SIGRTMIN);
    CHECK_EQ(finish(&one), 5);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);

    struct aiocb cb[8], *list[8];
    for (int round = 0; round < 2; round++) {
        memset(buffer, 0, sizeof buffer);
        for (int i = 0; i < 8; i++) {
            cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
            cb[i].aio_lio_opcode = LIO_READ;
            list[i] = &cb[i];
        }
        struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 1};
        event.sigev_notify_function = count_notification;
        CHECK_EQ(round == 0 ? lio_listio(LIO_WAIT, list, 8, NULL) : lio_listio(LIO_NOWAIT, list, 8, &event), 0);
        if (round == 1) EVENTUALLY(atomic_load(&notifications) == 1);
        for (int i = 0; i < 8; i++) {
            CHECK_EQ(finish(&cb[i]), BLOCK);
            check_pattern(buffer[i], BLOCK, i * BLOCK);
        }
    }
}

/* A batch of reads of the pattern file, and one of a pipe that only the test feeds. */
enum { batch_size = 16 };
struct batch {
    struct aiocb cb[batch_size], pipe_cb;
    char buffer[batch_size][BLOCK], pipe_buffer[16];
    int pipe[2];
};

static void start_batch(struct batch *batch, int fd) {
    silent_pipe(batch->pipe);
    memset(batch->buffer, 0, sizeof batch->buffer);
    batch->pipe_cb = REQUEST(batch->pipe[0], batch->pipe_buffer, sizeof batch->pipe_buffer, 0);
    CHECK_EQ(aio_read(&batch->pipe_cb), 0);
    for (int i = 0; i < batch_size; i++) {
        batch->cb[i] = REQUEST(fd, batch->buffer[i], BLOCK, i * BLOCK);
        CHECK_EQ(aio_read(&batch->cb[i]), 0);
    }
}

static void finish_batch(struct batch *batch) {
    CHECK_EQ(write(batch->pipe[1], "parent", 6), 6);
    CHECK_EQ(finish(&batch->pipe_cb), 6);
    CHECK(memcmp(batch->pipe_buffer, "parent", 6) == 0);
    for (int i = 0; i < batch_size; i++) {
        CHECK_EQ(finish(&batch->cb[i]), BLOCK);
        check_pattern(batch->buffer[i], BLOCK, i * BLOCK);
    }
    CHECK_EQ(close(batch->pipe[0]), 0);
    CHECK_EQ(close(batch->pipe[1]), 0);
}

TEST(better, fork_gives_the_child_all_of_aio) {
    struct silent_reads reads; /* glibc's child believes in twenty busy threads and hangs */
    start_silent_reads(&reads);
    int fd = pattern_file("data", 64 * BLOCK);
    child_succeeds(CHILD({ use_all_of_aio(fd); }));
    finish_silent_reads(&reads);
}

TEST(better, fork_lets_the_child_inherit_no_request) {
    int fd = pattern_file("data", 64 * BLOCK);
    struct batch batch;
    start_batch(&batch, fd);
    child_succeeds(CHILD({
        /* Whatever the copied control block says: there is no request, so nothing to cancel and nothing in flight. */
        CHECK_EQ(aio_cancel(batch.pipe[0], NULL), AIO_ALLDONE);
        CHECK_EQ(aio_cancel(batch.pipe[0], &batch.pipe_cb), AIO_ALLDONE);
        const struct aiocb *list[1] = {&batch.pipe_cb};
        CHECK(aio_suspend(list, 1, &(struct timespec){0, 10000000}) == 0 || errno == EAGAIN);
        /* The child's own reads of the same pipe, and of the same control block. */
        batch.pipe_cb.aio_nbytes = 0;
        CHECK_EQ(aio_read(&batch.pipe_cb), 0);
        CHECK_EQ(finish(&batch.pipe_cb), 0);
    }));
    CHECK_EQ(aio_error(&batch.pipe_cb), EINPROGRESS);
    finish_batch(&batch);
}

TEST(ours, fork_between_submit_and_reap_again_and_again) {
    int fd = pattern_file("data", 64 * BLOCK);
    static struct batch batch;
    for (TURNS(i, 60)) {
        start_batch(&batch, fd);
        pid_t child = CHILD({ use_all_of_aio(fd); });
        if (i % 2) finish_batch(&batch);
        child_succeeds(child);
        if (i % 2 == 0) finish_batch(&batch);
    }
}

static atomic_int stop;

static void *submit_until_told(void *arg) {
    int fd = *(int *)arg;
    static _Thread_local struct batch batch;
    while (!atomic_load(&stop)) {
        start_batch(&batch, fd);
        finish_batch(&batch);
    }
    return NULL;
}

/* Whatever lock or queue the other threads are in at that moment is copied as it is. */
TEST(ours, fork_while_other_threads_submit) {
    int fd = pattern_file("data", 64 * BLOCK);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) start_thread(&thread[i], submit_until_told, &fd);
    for (TURNS(i, 80)) child_succeeds(CHILD({ use_all_of_aio(fd); }));
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) join_thread(thread[i]);
}

static void *fork_often(void *arg) {
    for (TURNS(i, 40)) child_succeeds(CHILD({ use_all_of_aio(*(int *)arg); }));
    atomic_store(&stop, 1);
    return NULL;
}

TEST(ours, fork_from_a_second_thread_while_the_first_submits) {
    int fd = pattern_file("data", 64 * BLOCK);
    pthread_t forker;
    start_thread(&forker, fork_often, &fd);
    submit_until_told(&fd);
    join_thread(forker);
}

/* A child that has not touched AIO when it forks, and one that has; each with requests of its own in flight. */
static void descend(int fd, int generations) {
    static struct batch batch[4];
    if (generations % 2) start_batch(&batch[generations], fd);
    if (generations > 0) child_succeeds(CHILD({ descend(fd, generations - 1); }));
    use_all_of_aio(fd);
    if (generations % 2) finish_batch(&batch[generations]);
}

TEST(ours, fork_and_fork_again) {
    int fd = pattern_file("data", 64 * BLOCK);
    descend(fd, 3);
    descend(fd, 2);
}

/* clone() behind the C library's back runs no fork handler: only the process id tells. */
TEST(ours, fork_by_a_raw_clone) {
    int fd = pattern_file("data", 64 * BLOCK);
    struct batch batch;
    for (int i = 0; i < 10; i++) {
        start_batch(&batch, fd);
        pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
        SET_UP(pid >= 0);
        if (pid == 0) {
            begin_child();
            use_all_of_aio(fd);
            _exit(0);
        }
        if (i % 2) finish_batch(&batch);
        child_succeeds(pid);
        if (i % 2 == 0) finish_batch(&batch);
    }
}

TEST(same, fork_and_exit_at_once_leaves_the_parents_requests_alone) {
    int fd = pattern_file("data", 64 * BLOCK);
    static struct batch batch;
    for (TURNS(i, 100)) {
        start_batch(&batch, fd);
        pid_t pid = fork();
        SET_UP(pid >= 0);
        if (pid == 0) {
            if (i % 2) _exit(0);
            exit(0); /* runs every destructor, also the library's */
        }
        child_succeeds(pid);
        CHECK_EQ(aio_error(&batch.pipe_cb), EINPROGRESS);
        finish_batch(&batch);
    }
}

TEST(same, vfork_and_posix_spawn_leave_requests_alone) {
    int fd = pattern_file("data", 64 * BLOCK);
    static struct batch batch;
    char *argv[] = {"sh", "-c", "exit 0", NULL};
    extern char **environ;
    for (int i = 0; i < 20; i++) {
        start_batch(&batch, fd);
        pid_t pid;
        if (i % 2) {
            CHECK_EQ(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ), 0);
        } else if ((pid = vfork()) == 0) {
            execv("/bin/sh", argv);
            _exit(127);
        }
        child_succeeds(pid);
        CHECK_EQ(aio_error(&batch.pipe_cb), EINPROGRESS);
        finish_batch(&batch);
    }
}

/* The classic daemon: AIO was used, the parent goes, the child goes on. */
TEST(better, fork_into_the_background) {
    int fd = pattern_file("data", 64 * BLOCK), report[2];
    silent_pipe(report);
    SET_UP(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    child_succeeds(CHILD({
        struct silent_reads reads;
        start_silent_reads(&reads);
        pid_t daemon = fork();
        SET_UP(daemon >= 0);
        if (daemon > 0) exit(0);
        alarm(15);
        CHECK(setsid() >= 0);
        use_all_of_aio(fd);
        CHECK_EQ(write(report[1], "well", 4), 4);
    }));
    CHECK_EQ(close(report[1]), 0);
    char text[8];
    CHECK_EQ(read(report[0], text, sizeof text), 4);
}

static void leave_requests_in_flight(int fd, int how) {
    static struct batch batch;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    start_batch(&batch, fd);
    int ends[2];
    silent_pipe(ends);
    static struct aiocb more;
    static char byte;
    more = REQUEST(ends[0], &byte, 1, 0);
    more.aio_sigevent = event; /* would kill */
    CHECK_EQ(aio_read(&more), 0);
    if (how == 0) exit(42);
    if (how == 1) _exit(42);
    if (how == 2) quick_exit(42);
    syscall(SYS_exit_group, 42);
}

static void *exit_from_a_thread(void *arg) {
    leave_requests_in_flight(*(int *)arg, 0);
    return NULL;
}

TEST(same, exit_with_requests_in_flight_gives_the_status) {
    int fd = pattern_file("data", 64 * BLOCK);
    for (int i = 0; i < 25; i++) {
        pid_t pid = CHILD({
            pthread_t thread;
            if (i % 5 < 4) leave_requests_in_flight(fd, i % 5);
            start_thread(&thread, exit_from_a_thread, &fd);
            pause();
        });
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 42);
    }
}

/* The pipe's reader before exec is gone after it: what is fed then belongs to the new program, and nobody signals it. */
TEST(same, exec_with_requests_in_flight_leaves_nothing_behind) {
    int fd = pattern_file("data", 64 * BLOCK);
    for (int i = 0; i < 10; i++) {
        int ends[2], ready[2];
        silent_pipe(ready);
        SET_UP(pipe(ends) == 0);
        pid_t pid = CHILD({
            static struct batch batch;
            static char byte;
            CHECK_EQ(dup2(ends[0], 0), 0);
            CHECK_EQ(close(ends[1]), 0);
            struct aiocb cb = REQUEST(0, &byte, 1, 0);
            cb.aio_sigevent = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
            CHECK_EQ(aio_read(&cb), 0);
            start_batch(&batch, fd);
            execl("/bin/sh", "sh", "-c", "read word; test \"$word\" = whole && read word; test \"$word\" = again && exit 7",
                  (char *)NULL);
        });
        CHECK_EQ(close(ready[1]), 0);
        char byte;
        CHECK_EQ(read(ready[0], &byte, 1), 0); /* the end of it: exec has closed the child's copy */
        CHECK_EQ(write(ends[1], "whole\nagain\n", 12), 12);
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 7);
        CHECK_EQ(close(ends[0]), 0);
        CHECK_EQ(close(ends[1]), 0);
        CHECK_EQ(close(ready[0]), 0);
    }
}

/* A child of vfork runs in the parent's memory but has descriptors of its own: what it closes or replaces before exec is
 * none of the parent's, although the parent's requests on these numbers are in flight. */
TEST(same, vfork_child_closes_the_descriptors_of_requests_in_flight) {
    int ends[2];
    silent_pipe(ends);
    int fd = pattern_file("data", 4096), other = open("/dev/null", O_RDWR);
    for (int round = 0; round < 50; round++) {
        char text[8], block[4096];
        struct aiocb pipe_cb = REQUEST(ends[0], text, sizeof text, 0), file_cb = REQUEST(fd, block, sizeof block, 0);
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        CHECK_EQ(aio_read(&pipe_cb), 0);
        CHECK_EQ(aio_read(&file_cb), 0);
        pid_t pid = vfork();
        SET_UP(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            close(ends[1]);
            dup2(other, fd);
            for (int n = 1024; n < 1040; n++) { /* where a library may have its own */
                dup2(other, n);
                close(n);
            }
            closefrom(3);
            execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, 0);
        CHECK_EQ(write(ends[1], "fed", 3), 3);
        CHECK_EQ(finish(&pipe_cb), 3);
        CHECK_EQ(finish(&file_cb), 4096);
        check_pattern(block, sizeof block, 0);
    }
}
