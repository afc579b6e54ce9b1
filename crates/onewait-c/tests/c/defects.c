/*
 * The twelve defects of glibc's own AIO (the letters of the list in the specification). Each test says what glibc does
 * (seen in 2.36) and checks what is right, so each must fail there: by a check, by a crash, or by a hang.
 */
#include "hazards.h"

#include <sys/mman.h>
#include <sys/socket.h>

/* glibc has one queue a descriptor, of which only the first request waits for a thread. When that one is cancelled, the
 * next is put in its place, but not in the line for a thread: nobody ever runs it. */
TEST(better, defect_a_cancelling_the_head_of_a_queue_orphans_the_next) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    int fd = pattern_file("data", 8192);
    char first_buffer[4096], next_buffer[4096];
    struct aiocb first = REQUEST(fd, first_buffer, 4096, 0), next = REQUEST(fd, next_buffer, 4096, 4096);
    CHECK_EQ(aio_read(&first), 0);
    CHECK_EQ(aio_read(&next), 0);
    int how = aio_cancel(fd, &first);
    CHECK(how == AIO_CANCELED || how == AIO_ALLDONE);
    CHECK_EQ(aio_error(&first), how == AIO_CANCELED ? ECANCELED : 0);
    finish_silent_reads(&reads);
    CHECK_EQ(finish(&next), 4096);
    check_pattern(next_buffer, 4096, 4096);
}

/* The same with a head that is sure to be in flight: the first of two reads of a silent pipe. */
TEST(better, defect_a_cancelling_a_silent_head_orphans_the_next) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    int ends[2];
    silent_pipe(ends);
    char first_buffer[8], next_buffer[8];
    struct aiocb first = REQUEST(ends[0], first_buffer, 8, 0), next = REQUEST(ends[0], next_buffer, 8, 0);
    CHECK_EQ(aio_read(&first), 0);
    CHECK_EQ(aio_read(&next), 0);
    CHECK_EQ(aio_cancel(ends[0], &first), AIO_CANCELED);
    CHECK_EQ(aio_error(&first), ECANCELED);
    CHECK_EQ(aio_return(&first), -1);
    finish_silent_reads(&reads);
    CHECK_EQ(write(ends[1], "for next", 8), 8);
    CHECK_EQ(finish(&next), 8);
    CHECK(memcmp(next_buffer, "for next", 8) == 0);
}

/* Each blocked read occupies one of glibc's twenty threads; the file's request waits for a thread for ever. */
TEST(better, defect_b_twenty_blocked_pipe_reads_stall_all_files) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    int fd = pattern_file("data", 8192);
    char buffer[4096];
    struct aiocb cb = REQUEST(fd, buffer, 4096, 4096);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    check_pattern(buffer, 4096, 4096);
    struct aiocb sync = REQUEST(fd, NULL, 0, 0);
    CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
    CHECK_EQ(finish(&sync), 0);
    finish_silent_reads(&reads);
}

/* One queue a descriptor again: the write stands behind the read, which waits for an answer to that write. */
TEST(better, defect_c_a_pending_socket_read_blocks_a_write) {
    int ends[2];
    SET_UP(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    char answer[8], question[8];
    struct aiocb read_cb = REQUEST(ends[0], answer, 8, 0), write_cb = REQUEST(ends[0], "question", 8, 0);
    CHECK_EQ(aio_read(&read_cb), 0);
    CHECK_EQ(aio_write(&write_cb), 0);
    CHECK_EQ(finish(&write_cb), 8);
    CHECK_EQ(read(ends[1], question, 8), 8);
    CHECK_EQ(write(ends[1], "answered", 8), 8);
    CHECK_EQ(finish(&read_cb), 8);
    CHECK(memcmp(answer, "answered", 8) == 0);
}

/* The child has a copy of the pool's counters but none of its threads, so its requests wait for a thread for ever. */
TEST(better, defect_d_aio_in_a_forked_child_hangs) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    int fd = pattern_file("data", 8192);
    child_succeeds(CHILD({
        char buffer[4096];
        struct aiocb cb = REQUEST(fd, buffer, 4096, 4096);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 4096);
        check_pattern(buffer, 4096, 4096);
    }));
    finish_silent_reads(&reads);
}

static void do_nothing(int signal) { (void)signal; }

/* Fills the stack below the caller, where an earlier call had its variables. */
__attribute__((noinline)) static void spoil_the_stack(void) {
    volatile char junk[65536];
    for (size_t i = 0; i < sizeof junk; i++) junk[i] = 0x41;
}

static void *interrupt_until_told(void *arg) {
    pthread_t *target = (pthread_t *)((void **)arg)[0];
    atomic_int *stop = ((void **)arg)[1];
    while (!atomic_load(stop)) {
        pthread_kill(*target, SIGUSR1);
        sleep_ms(1);
    }
    return NULL;
}

/* The entry by which LIO_WAIT waits lives on the caller's stack and stays in glibc's list when a signal ends the call:
 * the request's end then follows pointers in what is now some other function's variables. */
TEST(better, defect_e_a_signal_during_lio_wait_leaves_stack_pointers_behind) {
    SET_UP(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = do_nothing}, NULL) == 0);
    int ends[2];
    silent_pipe(ends);
    char buffer[8];
    struct aiocb cb = REQUEST(ends[0], buffer, 8, 0);
    cb.aio_lio_opcode = LIO_READ;
    struct aiocb *list[1] = {&cb};

    pthread_t self = pthread_self(), interrupter;
    atomic_int stop = 0;
    void *arg[2] = {&self, &stop};
    start_thread(&interrupter, interrupt_until_told, arg);
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, 1, NULL), EINTR);
    atomic_store(&stop, 1);
    join_thread(interrupter);

    spoil_the_stack();
    CHECK_EQ(write(ends[1], "go on...", 8), 8);
    int64_t deadline = now_ms() + PATIENCE_MS;
    while (aio_error(&cb) == EINPROGRESS && now_ms() < deadline) spoil_the_stack();
    CHECK_EQ(aio_error(&cb), 0);
    CHECK_EQ(aio_return(&cb), 8);
    CHECK(memcmp(buffer, "go on...", 8) == 0);
    sleep_ms(20); /* glibc crashes after it has set the status */
}

/* An array of that length on the stack: the stack pointer moves the wrong way, or far out of the stack. */
TEST(better, defect_f_a_negative_count_in_lio_listio_crashes) {
    int fd = pattern_file("data", 4096);
    char buffer[64];
    struct aiocb cb = REQUEST(fd, buffer, 64, 0);
    cb.aio_lio_opcode = LIO_READ;
    struct aiocb *list[1] = {&cb};
    CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, -1000000, NULL), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, -1, NULL), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_WAIT, list, -1, NULL), EINVAL);
    CHECK_ERRNO(lio_listio(LIO_NOWAIT, list, INT32_MIN, NULL), EINVAL);
}

TEST(better, defect_f_four_million_requests_in_aio_suspend_crash) {
    const int count = 4000000;
    const struct aiocb **list = calloc((size_t)count, sizeof *list);
    SET_UP(list != NULL);
    int ends[2];
    silent_pipe(ends);
    char byte;
    struct aiocb cb = REQUEST(ends[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    list[count - 1] = &cb;
    CHECK_ERRNO(aio_suspend(list, count, &(struct timespec){0, 1000000}), EAGAIN);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
    CHECK_EQ(aio_suspend(list, count, NULL), 0);
}

/* The kernel refuses such a time with EINVAL, which glibc's futex code takes for its own corruption: abort(). (Up to
 * 1e9 more than its remainder of a second still passes, added to the clock.) */
TEST(better, defect_g_a_billion_nanoseconds_abort) {
    int ends[2];
    silent_pipe(ends);
    char byte;
    struct aiocb cb = REQUEST(ends[0], &byte, 1, 0);
    CHECK_EQ(aio_read(&cb), 0);
    const struct aiocb *list[1] = {&cb};
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, 2000000000}), EINVAL);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, 1000000000}), EINVAL);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){1, INT64_MAX}), EINVAL);
    CHECK_ERRNO(aio_suspend(list, 1, &(struct timespec){0, -1}), EINVAL);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(finish(&cb), 1);
}

/* When the signal cannot be queued, glibc overwrites the result of the request with the failure of the notification. */
TEST(better, defect_h_a_full_signal_queue_turns_a_write_into_eagain) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    SET_UP(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    SET_UP(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, 0}) == 0);
    int fd = pattern_file("data", 0);
    char buffer[4096], back[4096];
    fill_pattern(buffer, sizeof buffer, 0);
    struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
    cb.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    cb.aio_sigevent.sigev_signo = SIGRTMIN;
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(wait_for(&cb), 0);
    sleep_ms(50); /* glibc notifies after it has set the status, and spoils the status then */
    CHECK_EQ(aio_error(&cb), 0);
    CHECK_EQ(aio_return(&cb), sizeof buffer);
    CHECK_EQ(pread(fd, back, sizeof back, 0), sizeof back);
    check_pattern(back, sizeof back, 0);
}

static atomic_int notified;

static void count_notification(union sigval value) { atomic_fetch_add(&notified, value.sival_int); }

/* The notification's thread cannot be made (its stack would not fit into the address space). glibc turns the result
 * into an error and calls nobody; the program that waits for the call waits for ever. */
TEST(better, defect_i_a_thread_that_cannot_be_made_loses_the_notification) {
    int fd = pattern_file("data", 4096);
    char buffer[4096];
    pthread_attr_t attributes;
    SET_UP(pthread_attr_init(&attributes) == 0);
    SET_UP(pthread_attr_setstacksize(&attributes, (size_t)1 << 50) == 0);
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    cb.aio_sigevent = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 1};
    cb.aio_sigevent.sigev_notify_function = count_notification;
    cb.aio_sigevent.sigev_notify_attributes = &attributes;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    EVENTUALLY(atomic_load(&notified) == 1);
    CHECK_EQ(aio_error(&cb), 0);
    check_pattern(buffer, 4096, 0);
}

/* The same when the lack passes: threads run out (RLIMIT_NPROC, which does not bind root), then there is room again. */
TEST(better, defect_i_the_notification_comes_when_threads_can_be_made_again) {
    if (getuid() != 0) SKIP("needs root, to become a user whose limits are this test's own");
    int fd = pattern_file("data", 4096);
    child_succeeds(CHILD({
        become_a_user_of_its_own();
        char buffer[4096];
        struct aiocb first = REQUEST(fd, buffer, 4096, 0); /* what needs threads has them before they run out */
        CHECK_EQ(aio_read(&first), 0);
        CHECK_EQ(finish(&first), 4096);
        int ends[2];
        silent_pipe(ends);
        struct aiocb cb = REQUEST(ends[0], buffer, 4096, 0);
        cb.aio_sigevent = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 1};
        cb.aio_sigevent.sigev_notify_function = count_notification;
        CHECK_EQ(aio_read(&cb), 0);
        SET_UP(setrlimit(RLIMIT_NPROC, &(struct rlimit){0, 4096}) == 0);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(finish(&cb), 1);
        sleep_ms(50);
        CHECK_EQ(aio_error(&cb), 0);
        SET_UP(setrlimit(RLIMIT_NPROC, &(struct rlimit){4096, 4096}) == 0);
        EVENTUALLY(atomic_load(&notified) == 1);
        CHECK_EQ(aio_error(&cb), 0);
    }));
}

static void *complete_with_a_signal_to(void *arg) {
    struct aiocb *cb = arg;
    CHECK_EQ(aio_read(cb), 0);
    CHECK_EQ(finish(cb), 4096);
    return NULL;
}

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* glibc does not know SIGEV_THREAD_ID in AIO and notifies nobody. */
TEST(better, defect_j_sigev_thread_id_is_ignored) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0); /* the other thread, too: only the target can take it */
    int fd = pattern_file("data", 4096);
    char buffer[4096];
    struct aiocb cb = REQUEST(fd, buffer, 4096, 0);
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
    cb.aio_sigevent.sigev_notify_thread_id = gettid();
    cb.aio_sigevent.sigev_signo = SIGRTMIN + 1;
    cb.aio_sigevent.sigev_value.sival_int = 4711;
    pthread_t submitter;
    start_thread(&submitter, complete_with_a_signal_to, &cb);
    join_thread(submitter);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){2, 0}), SIGRTMIN + 1);
    CHECK_EQ(info.si_value.sival_int, 4711);
    CHECK_EQ(info.si_code, SI_ASYNCIO);
    CHECK_EQ(info.si_pid, getpid());
}

/* A descriptor's queue is sorted by priority, and a sync enters it with priority 0: in front of every waiting write of
 * a lower one. So many writes that the last is not done by the time the sync's signal arrives; all to the same place,
 * so that the disk is spared. */
TEST(better, defect_k_aio_fsync_overtakes_an_earlier_write) {
    enum { writes = 24, bytes = 8 << 20 };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct silent_reads reads;
    start_silent_reads(&reads);
    int fd = pattern_file("data", 0);
    char *buffer = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(buffer != MAP_FAILED);
    static struct aiocb cb[writes];
    for (int i = 0; i < writes; i++) {
        cb[i] = REQUEST(fd, buffer, bytes, 0);
        cb[i].aio_reqprio = i == 0 ? 0 : 20;
        CHECK_EQ(aio_write(&cb[i]), 0);
    }
    struct aiocb sync = REQUEST(fd, NULL, 0, 0);
    sync.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    sync.aio_sigevent.sigev_signo = SIGRTMIN;
    CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
    CHECK_EQ(write(reads.pipe[0][1], "a", 1), 1); /* one thread of glibc's becomes free */
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){10, 0}), SIGRTMIN);
    for (int i = 0; i < writes; i++) CHECK_EQ(aio_error(&cb[i]), 0);
    for (int i = 0; i < writes; i++) CHECK_EQ(aio_return(&cb[i]), bytes);
    CHECK_EQ(aio_error(&sync), 0);
    CHECK_EQ(aio_return(&sync), 0);
}

/* Only the number is kept in the queue; by the time a thread takes the request, it means another file. */
TEST(better, defect_l_close_and_reuse_writes_to_the_wrong_file) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    char buffer[4096], back[4096];
    fill_pattern(buffer, sizeof buffer, 0);
    int fd = open("right", O_RDWR | O_CREAT, 0600);
    SET_UP(fd >= 0);
    struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(close(fd), 0);
    CHECK_EQ(open("wrong", O_RDWR | O_CREAT, 0600), fd);
    finish_silent_reads(&reads);
    CHECK_EQ(finish(&cb), 4096);
    CHECK_EQ(pread(fd, back, 1, 0), 0);
    int right = open("right", O_RDONLY);
    CHECK_EQ(pread(right, back, sizeof back, 0), 4096);
    check_pattern(back, sizeof back, 0);
}

/* The same with a full pipe, which no implementation can have served before the close. */
TEST(better, defect_l_close_and_reuse_of_a_full_pipe) {
    struct silent_reads reads;
    start_silent_reads(&reads);
    int ends[2];
    silent_pipe(ends);
    static char filler[65536], drained[65536], back[4096];
    memset(filler, 'f', sizeof filler);
    CHECK_EQ(write(ends[1], filler, sizeof filler), sizeof filler);
    char buffer[4096];
    fill_pattern(buffer, sizeof buffer, 0);
    struct aiocb cb = REQUEST(ends[1], buffer, sizeof buffer, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(open("wrong", O_RDWR | O_CREAT, 0600), ends[1]);
    finish_silent_reads(&reads);
    for (size_t got = 0; got < sizeof drained;) {
        ssize_t n = read(ends[0], drained + got, sizeof drained - got);
        CHECK(n > 0);
        got += (size_t)n;
    }
    CHECK_EQ(finish(&cb), 4096);
    CHECK_EQ(pread(ends[1], back, 1, 0), 0);
    CHECK_EQ(read(ends[0], back, sizeof back), 4096);
    check_pattern(back, sizeof back, 0);
}
