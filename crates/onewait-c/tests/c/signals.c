/*
 * Signals: handlers that interrupt every call, notifications by the thousand, and none that the program did not ask
 * for: no spurious EINTR in its own system calls, no SIGPIPE, no SIGXFSZ.
 */
#include "hazards.h"

#include <linux/futex.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

#define BLOCK 4096

/* ---- storms ---------------------------------------------------------------------------------------------------- */

static struct aiocb finished_cb, silent_cb;
static atomic_int storms;
static atomic_bool with_suspend;

/* The three calls that POSIX allows in a handler, on a request that is done and on one that is not. Whatever aio call
 * this interrupts is in the middle of something. */
static void ask_about_requests(int signal) {
    (void)signal;
    int saved = errno;
    CHECK_EQ(aio_error(&finished_cb), 0);
    CHECK_EQ(aio_return(&finished_cb), 16);
    CHECK_EQ(aio_error(&silent_cb), EINPROGRESS);
    if (atomic_load(&with_suspend)) {
        const struct aiocb *list[2] = {NULL, &silent_cb}, *other[2] = {&silent_cb, &finished_cb};
        CHECK_EQ(aio_suspend(list, 2, &(struct timespec){0, 0}), -1);
        CHECK(errno == EAGAIN || errno == EINTR);
        CHECK_EQ(aio_suspend(other, 2, &(struct timespec){0, 0}), 0);
    }
    atomic_fetch_add(&storms, 1);
    errno = saved;
}

static void start_storm(int fd) {
    static char finished_buffer[16], silent_byte;
    int ends[2];
    silent_pipe(ends);
    finished_cb = REQUEST(fd, finished_buffer, 16, 0);
    CHECK_EQ(aio_read(&finished_cb), 0);
    CHECK_EQ(finish(&finished_cb), 16);
    silent_cb = REQUEST(ends[0], &silent_byte, 1, 0);
    CHECK_EQ(aio_read(&silent_cb), 0);
    SET_UP(sigaction(SIGALRM, &(struct sigaction){.sa_handler = ask_about_requests, .sa_flags = SA_RESTART}, NULL) == 0);
    struct itimerval often = {{0, 200}, {0, 200}};
    SET_UP(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static void stop_storm(void) {
    struct itimerval never = {{0, 0}, {0, 0}};
    SET_UP(setitimer(ITIMER_REAL, &never, NULL) == 0);
}

static void work_in_the_storm(int fd, int64_t ms) {
    static struct aiocb cb[8], *list[8];
    static char buffer[8][BLOCK];
    int ends[2];
    silent_pipe(ends);
    int64_t end = now_ms() + ms;
    for (int round = 0; now_ms() < end || atomic_load(&storms) < 100; round++) {
        CHECK(now_ms() < end + PATIENCE_MS);
        if (round % 16 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        memset(buffer, 0, sizeof buffer);
        for (int i = 0; i < 8; i++) {
            cb[i] = REQUEST(fd, buffer[i], BLOCK, i * BLOCK);
            cb[i].aio_lio_opcode = LIO_READ;
            list[i] = &cb[i];
        }
        switch (round % 4) {
        case 0:
            for (int i = 0; i < 8; i++) CHECK_EQ(aio_read(&cb[i]), 0);
            break;
        case 1: CHECK_EQ(lio_listio(LIO_NOWAIT, list, 8, NULL), 0); break;
        case 2: CHECK(lio_listio(LIO_WAIT, list, 8, NULL) == 0 || errno == EINTR); break;
        case 3: {
            for (int i = 0; i < 8; i++) {
                fill_pattern(buffer[i], BLOCK, i * BLOCK);
                CHECK_EQ(aio_write(&cb[i]), 0);
            }
            struct aiocb sync = REQUEST(fd, NULL, 0, 0);
            if (round % 64 == 3) {
                CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
                CHECK_EQ(finish(&sync), 0);
            }
            break;
        }
        }
        for (int i = 0; i < 8; i++) {
            CHECK_EQ(finish(&cb[i]), BLOCK);
            check_pattern(buffer[i], BLOCK, i * BLOCK);
        }
        if (atomic_load(&with_suspend)) { /* glibc's cancel of what is in flight would wait */
            char byte;
            struct aiocb pipe_cb = REQUEST(ends[0], &byte, 1, 0);
            CHECK_EQ(aio_read(&pipe_cb), 0);
            CHECK_EQ(aio_cancel(ends[0], round % 2 ? &pipe_cb : NULL), AIO_CANCELED);
            CHECK_EQ(aio_error(&pipe_cb), ECANCELED);
        }
    }
    CHECK_EQ(aio_error(&silent_cb), EINPROGRESS);
}

/* glibc's aio_error takes the lock that the interrupted call may hold. */
TEST(better, signal_storm_with_aio_error_and_aio_return_in_the_handler) {
    int fd = pattern_file("data", 8 * BLOCK);
    start_storm(fd);
    work_in_the_storm(fd, 3000);
    stop_storm();
}

/* As glibc's aio_suspend does. */
TEST(ours, signal_storm_with_aio_suspend_in_the_handler) {
    int fd = pattern_file("data", 8 * BLOCK);
    atomic_store(&with_suspend, true);
    start_storm(fd);
    work_in_the_storm(fd, 1500);
    stop_storm();
}

static atomic_bool stop;

static void *work_until_told(void *arg) {
    (void)arg;
    static atomic_int next;
    char name[16];
    snprintf(name, sizeof name, "data-%d", atomic_fetch_add(&next, 1));
    int fd = pattern_file(name, 8 * BLOCK);
    static _Thread_local char buffer[BLOCK];
    while (!atomic_load(&stop)) {
        struct aiocb cb = REQUEST(fd, buffer, BLOCK, BLOCK);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), BLOCK);
    }
    return NULL;
}

/* The kernel gives the signal to any thread that does not block it. */
TEST(ours, signal_storm_over_several_threads) {
    int fd = pattern_file("data", 8 * BLOCK);
    atomic_store(&with_suspend, true);
    start_storm(fd);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) start_thread(&thread[i], work_until_told, NULL);
    work_in_the_storm(fd, 1000);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) join_thread(thread[i]);
    stop_storm();
}

/* A small stack, with a page below it that nobody may touch. */
TEST(same, signal_handler_on_an_alternate_stack) {
    size_t size = (size_t)sysconf(_SC_SIGSTKSZ), page = (size_t)sysconf(_SC_PAGESIZE);
    size = (size + page - 1) / page * page;
    char *stack = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    CHECK_EQ(mprotect(stack, page, PROT_NONE), 0);
    CHECK_EQ(sigaltstack(&(stack_t){.ss_sp = stack + page, .ss_size = size}, NULL), 0);
    int fd = pattern_file("data", 8 * BLOCK);
    start_storm(fd);
    stop_storm();
    atomic_store(&with_suspend, true);
    struct sigaction action = {.sa_handler = ask_about_requests, .sa_flags = SA_ONSTACK};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 1000; i++) CHECK_EQ(raise(SIGUSR1), 0); /* outside of any call, so glibc can do it, too */
}

/* ---- notifications --------------------------------------------------------------------------------------------- */

enum { many = 4000 };
static struct aiocb many_cb[many];
static char many_bytes[many];
static atomic_int seen[many];
static atomic_int seen_in_all;

static void submit_many(int fd, int count) {
    for (int i = 0; i < count; i++) {
        many_cb[i] = REQUEST(fd, &many_bytes[i], 1, i);
        many_cb[i].aio_sigevent = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
        many_cb[i].aio_sigevent.sigev_value.sival_int = i;
        CHECK_EQ(aio_read(&many_cb[i]), 0);
    }
}

static void see(const siginfo_t *info) {
    int i = info->si_value.sival_int;
    CHECK_EQ(info->si_code, SI_ASYNCIO);
    CHECK_EQ(info->si_pid, getpid());
    CHECK(i >= 0 && i < many);
    CHECK_EQ(atomic_fetch_add(&seen[i], 1), 0);
    CHECK_EQ(aio_error(&many_cb[i]), 0);
    atomic_fetch_add(&seen_in_all, 1);
}

static void see_in_a_handler(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    int saved = errno;
    see(info);
    errno = saved;
}

static sigset_t block(int signal) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    return set;
}

TEST(same, signal_by_signal_each_arrives_once_by_sigwaitinfo) {
    sigset_t set = block(SIGRTMIN + 1);
    int fd = pattern_file("data", many);
    submit_many(fd, many);
    for (int i = 0; i < many; i++) {
        siginfo_t info;
        CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){10, 0}), SIGRTMIN + 1);
        see(&info);
    }
    siginfo_t info;
    CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0, 10000000}), EAGAIN);
    for (int i = 0; i < many; i++) CHECK_EQ(many_bytes[i], (char)pattern_at(i));
}

TEST(same, signal_by_signal_each_arrives_once_in_a_handler) {
    struct sigaction action = {.sa_sigaction = see_in_a_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    SET_UP(sigaction(SIGRTMIN + 1, &action, NULL) == 0);
    int fd = pattern_file("data", many);
    submit_many(fd, many);
    EVENTUALLY(atomic_load(&seen_in_all) == many);
    for (int i = 0; i < many; i++) {
        CHECK_EQ(finish(&many_cb[i]), 1);
        CHECK_EQ(many_bytes[i], (char)pattern_at(i));
    }
}

/* More signals than the queue may hold. They may be late or lost, but not twice, and no result may suffer. */
TEST(better, signal_queue_reaches_its_limit) {
    int fd = pattern_file("data", many), expected = 200;
    if (getuid() != 0) SKIP("needs root, to become a user whose signals are this test's own");
    become_a_user_of_its_own();
    prctl(PR_SET_PDEATHSIG, 0); /* this is no child of ours */
    sigset_t set = block(SIGRTMIN + 1);
    SET_UP(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){16, 16}) == 0);
    submit_many(fd, expected);
    for (int i = 0; i < expected; i++) CHECK_EQ(wait_for(&many_cb[i]), 0);
    sleep_ms(50);
    for (int i = 0; i < expected; i++) {
        CHECK_EQ(aio_error(&many_cb[i]), 0);
        CHECK_EQ(aio_return(&many_cb[i]), 1);
        CHECK_EQ(many_bytes[i], (char)pattern_at(i));
    }
    siginfo_t info;
    int got = 0;
    while (sigtimedwait(&set, &info, &(struct timespec){0, 100000000}) > 0) see(&info), got++;
    CHECK(got > 0 && got <= expected);
    many_cb[many - 1] = many_cb[0]; /* room again: the next one arrives */
    many_cb[many - 1].aio_sigevent.sigev_value.sival_int = many - 1;
    CHECK_EQ(aio_read(&many_cb[many - 1]), 0);
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){10, 0}), SIGRTMIN + 1);
    see(&info);
}

/* ---- what the program did not ask for -------------------------------------------------------------------------- */

/* Completions by the hundred while the program waits for something else; the other side is a process without AIO. */
struct noise {
    pid_t feeder;
    int pipe[64][2];
    struct aiocb cb[64];
    char byte[64];
};

static void start_noise(struct noise *noise) {
    for (int i = 0; i < 64; i++) silent_pipe(noise->pipe[i]);
    noise->feeder = CHILD({
        for (int i = 0; i < 64; i++) {
            sleep_ms(15);
            CHECK_EQ(write(noise->pipe[i][1], "x", 1), 1);
        }
    });
    for (int i = 0; i < 64; i++) {
        noise->cb[i] = REQUEST(noise->pipe[i][0], &noise->byte[i], 1, 0);
        CHECK_EQ(aio_read(&noise->cb[i]), 0);
    }
}

static void every_wait_times_out(struct noise *noise) {
    struct timespec tick = {0, 12000000};
    int quiet[2], silent_socket[2];
    silent_pipe(quiet);
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, silent_socket) == 0);
    struct timeval timeout = {0, 12000};
    CHECK_EQ(setsockopt(silent_socket[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
    sigset_t set = block(SIGUSR2);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    SET_UP(epoll >= 0);
    int sem = semget(IPC_PRIVATE, 1, 0600);
    SET_UP(sem >= 0);
    sem_t semaphore;
    CHECK_EQ(sem_init(&semaphore, 0, 0), 0);
    while (aio_error(&noise->cb[63]) == EINPROGRESS) {
        struct epoll_event event;
        CHECK_EQ(epoll_wait(epoll, &event, 1, 12), 0);
        struct pollfd fd = {.fd = quiet[0], .events = POLLIN};
        CHECK_EQ(poll(&fd, 1, 12), 0);
        CHECK_EQ(pselect(0, NULL, NULL, NULL, &tick, NULL), 0);
        CHECK_ERRNO(sigtimedwait(&set, NULL, &tick), EAGAIN);
        CHECK_ERRNO(semtimedop(sem, &(struct sembuf){0, -1, 0}, 1, &tick), EAGAIN);
        char byte;
        CHECK_ERRNO(recv(silent_socket[0], &byte, 1, 0), EAGAIN);
        CHECK_EQ(nanosleep(&tick, NULL), 0);
        uint32_t word = 0;
        CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &tick, NULL, 0), ETIMEDOUT);
        struct timespec at;
        clock_gettime(CLOCK_REALTIME, &at);
        at.tv_nsec += 12000000;
        if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
        CHECK_ERRNO(sem_timedwait(&semaphore, &at), ETIMEDOUT);
    }
    CHECK_EQ(semctl(sem, 0, IPC_RMID), 0);
    child_succeeds(noise->feeder);
    for (int i = 0; i < 64; i++) CHECK_EQ(finish(&noise->cb[i]), 1);
}

TEST(same, signal_less_waits_are_never_interrupted) {
    static struct noise noise;
    start_noise(&noise);
    every_wait_times_out(&noise);
}

static void *do_nothing(void *arg) { return arg; }

TEST(same, signal_less_waits_are_never_interrupted_in_a_process_of_threads) {
    pthread_t thread;
    start_thread(&thread, do_nothing, NULL);
    join_thread(thread);
    static struct noise noise;
    start_noise(&noise);
    every_wait_times_out(&noise);
}

/* A handler that is only ever to run on the program's own threads, with every kind of thread of ours about. */
static atomic_int foreign;
static pid_t own_tid;

static void check_thread(int signal) {
    (void)signal;
    if (gettid() != own_tid) atomic_fetch_add(&foreign, 1);
}

TEST(same, signal_to_the_process_is_handled_by_the_programs_threads) {
    own_tid = gettid();
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = check_thread, .sa_flags = SA_RESTART}, NULL) == 0);
    struct silent_reads reads;
    start_silent_reads(&reads);
    for (int i = 0; i < 500; i++) CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    sigset_t set = block(SIGUSR2); /* would kill the process if anybody had it unblocked */
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(kill(getpid(), SIGUSR2), 0);
        CHECK_EQ(sigtimedwait(&set, NULL, &(struct timespec){10, 0}), SIGUSR2);
    }
    finish_silent_reads(&reads);
    CHECK_EQ(atomic_load(&foreign), 0);
}

/* Not caught, not blocked: it would kill. Not pending either, which a later unblock would show. */
static void check_nothing_is_pending(void) {
    sigset_t pending;
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(sigismember(&pending, SIGPIPE), 0);
    CHECK_EQ(sigismember(&pending, SIGXFSZ), 0);
}

static void write_into_broken_things(void) {
    static char filler[65536];
    for (int i = 0; i < 40; i++) {
        int ends[2];
        if (i % 2)
            silent_pipe(ends);
        else
            SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        struct aiocb cb = REQUEST(ends[1], filler, 512, 0);
        if (i % 4 >= 2) { /* the write is in flight when the reader goes */
            SET_UP(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0);
            while (write(ends[1], filler, sizeof filler) > 0) {}
            SET_UP(fcntl(ends[1], F_SETFL, 0) == 0);
            CHECK_EQ(aio_write(&cb), 0);
            CHECK_EQ(aio_error(&cb), EINPROGRESS);
            CHECK_EQ(close(ends[0]), 0);
        } else {
            CHECK_EQ(close(ends[0]), 0);
            CHECK_EQ(aio_write(&cb), 0);
        }
        int status = wait_for(&cb); /* a socket closed with data unread says so instead, sometimes */
        CHECK(status == EPIPE || (i % 4 == 2 && status == ECONNRESET));
        CHECK_EQ(aio_return(&cb), -1);
        CHECK_EQ(close(ends[1]), 0);
        check_nothing_is_pending();
    }
    int fd = open("limited", O_RDWR | O_CREAT, 0600);
    SET_UP(setrlimit(RLIMIT_FSIZE, &(struct rlimit){BLOCK, BLOCK}) == 0);
    for (int i = 0; i < 20; i++) {
        struct aiocb cb = REQUEST(fd, filler, 2 * BLOCK, i * BLOCK);
        CHECK_EQ(aio_write(&cb), 0);
        CHECK_EQ(wait_for(&cb), i == 0 ? 0 : EFBIG);
        CHECK_EQ(aio_return(&cb), i == 0 ? BLOCK : -1);
        check_nothing_is_pending();
    }
}

TEST(same, signal_sigpipe_and_sigxfsz_are_never_raised) { write_into_broken_things(); }

static void *write_into_broken_things_in_a_thread(void *arg) {
    write_into_broken_things();
    return arg;
}

TEST(same, signal_sigpipe_and_sigxfsz_are_never_raised_in_a_thread) {
    pthread_t thread;
    start_thread(&thread, write_into_broken_things_in_a_thread, NULL);
    join_thread(thread);
}

/* A stop and a continue without a handler interrupt nothing that the kernel can restart, and a wait on a futex it can. */
TEST(same, signal_stop_and_continue_interrupt_no_wait) {
    int feed[2];
    silent_pipe(feed);
    pid_t pid = CHILD({
        char byte;
        for (int i = 0; i < 60; i++) {
            struct aiocb cb = REQUEST(feed[0], &byte, 1, 0);
            cb.aio_lio_opcode = LIO_READ;
            struct aiocb *list[1] = {&cb};
            if (i % 3 == 0) {
                CHECK_EQ(lio_listio(LIO_WAIT, list, 1, NULL), 0);
            } else {
                CHECK_EQ(aio_read(&cb), 0);
                CHECK_EQ(aio_suspend((const struct aiocb **)list, 1, i % 3 == 1 ? NULL : &(struct timespec){10, 0}), 0);
            }
            CHECK_EQ(finish(&cb), 1);
        }
    });
    for (int i = 0; i < 60; i++) {
        int status;
        sleep_ms(2);
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        if (!WIFSTOPPED(status)) FAIL("the child ended (%x) at turn %d", status, i);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        sleep_ms(2);
        CHECK_EQ(write(feed[1], "x", 1), 1);
    }
    child_succeeds(pid);
}
