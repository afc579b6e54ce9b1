/* Rules 70 to 75: who is told of the end of a request, and how. */
#include "check.h"

#include <semaphore.h>
#include <sys/syscall.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static char buffer[1 << 16];

static struct aiocb signalling(int fd, int number, int value) {
    struct aiocb cb = REQUEST(fd, buffer, 10, 0);
    cb.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    cb.aio_sigevent.sigev_signo = number;
    cb.aio_sigevent.sigev_value.sival_int = value;
    return cb;
}

static struct aiocb calling(int fd, void (*function)(union sigval), void *value) {
    struct aiocb cb = REQUEST(fd, buffer, 10, 0);
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD;
    cb.aio_sigevent.sigev_notify_function = function;
    cb.aio_sigevent.sigev_value.sival_ptr = value;
    return cb;
}

static sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

static siginfo_t seen;
static volatile sig_atomic_t signals;

static void remember(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    seen = *info;
    signals++;
}

static void handle(int number) {
    struct sigaction action = {.sa_sigaction = remember, .sa_flags = SA_SIGINFO};
    SET_UP(sigaction(number, &action, NULL) == 0);
}

static void status_is_final(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    struct aiocb *cb = info->si_value.sival_ptr;
    /* glibc's aio_error takes a lock that the interrupted thread may hold, so look at what it would give. */
    CHECK_EQ(cb->__error_code, 0);
    CHECK_EQ(aio_return(cb), 10);
    signals++;
}

TEST(same, rule_70_the_status_is_final_in_the_handler) {
    int fd = pattern_file("data", 4096);
    struct sigaction action = {.sa_sigaction = status_is_final, .sa_flags = SA_SIGINFO};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 1; i <= 500; i++) {
        struct aiocb cb = signalling(fd, SIGUSR1, 0);
        cb.aio_sigevent.sigev_value.sival_ptr = &cb;
        CHECK_EQ(aio_read(&cb), 0);
        EVENTUALLY(signals == i);
    }
}

static void *status_was_final;

static void check_status(union sigval value) {
    CHECK_EQ(aio_error(value.sival_ptr), 0);
    CHECK_EQ(aio_return(value.sival_ptr), 10);
    __atomic_store_n(&status_was_final, value.sival_ptr, __ATOMIC_SEQ_CST);
}

TEST(same, rule_70_the_status_is_final_in_the_callback) {
    int fd = pattern_file("data", 4096);
    static struct aiocb cbs[200];
    for (int i = 0; i < 200; i++) {
        cbs[i] = calling(fd, check_status, &cbs[i]);
        CHECK_EQ(aio_read(&cbs[i]), 0);
        EVENTUALLY(__atomic_load_n(&status_was_final, __ATOMIC_SEQ_CST) == &cbs[i]);
    }
}

TEST(same, rule_71_the_siginfo_is_complete) {
    int fd = pattern_file("data", 4096), numbers[] = {SIGUSR1, SIGRTMIN, SIGIO, SIGCHLD};
    for (int i = 0; i < 4; i++) {
        signals = 0;
        handle(numbers[i]);
        struct aiocb cb = signalling(fd, numbers[i], 0);
        cb.aio_sigevent.sigev_value.sival_ptr = &numbers[i];
        CHECK_EQ(i % 2 == 0 ? aio_read(&cb) : aio_write(&cb), 0);
        EVENTUALLY(signals == 1);
        CHECK_EQ(seen.si_signo, numbers[i]);
        CHECK_EQ(seen.si_code, SI_ASYNCIO);
        CHECK_EQ(seen.si_errno, 0);
        CHECK_EQ(seen.si_pid, getpid());
        CHECK_EQ(seen.si_uid, getuid());
        CHECK(seen.si_value.sival_ptr == &numbers[i]);
    }
}

TEST(same, rule_71_failures_and_syncs_are_signalled_too) {
    handle(SIGUSR1);
    struct aiocb bad = signalling(-1, SIGUSR1, 11);
    CHECK_EQ(aio_read(&bad), 0);
    EVENTUALLY(signals == 1);
    CHECK_EQ(seen.si_value.sival_int, 11);
    CHECK_EQ(aio_error(&bad), EBADF);
    struct aiocb sync = signalling(pattern_file("data", 10), SIGUSR1, 12);
    CHECK_EQ(aio_fsync(O_SYNC, &sync), 0);
    EVENTUALLY(signals == 2);
    CHECK_EQ(seen.si_value.sival_int, 12);
    CHECK_EQ(aio_error(&sync), 0);
}

TEST(same, rule_71_a_call_that_fails_does_not_notify) {
    handle(SIGUSR1);
    struct aiocb cb = signalling(pattern_file("data", 10), SIGUSR1, 0);
    cb.aio_reqprio = -1;
    CHECK_ERRNO(aio_read(&cb), EINVAL);
    cb.aio_reqprio = 0;
    CHECK_ERRNO(aio_fsync(77, &cb), EINVAL);
    sleep_ms(50);
    CHECK_EQ(signals, 0);
}

TEST(same, rule_71_realtime_signals_queue_one_a_request) {
    enum { count = 100 };
    static struct aiocb cbs[count];
    bool got[count] = {false};
    int fd = pattern_file("data", 4096);
    sigset_t set = only(SIGRTMIN + 2);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    for (int i = 0; i < count; i++) {
        cbs[i] = signalling(fd, SIGRTMIN + 2, i);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        siginfo_t info;
        CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){PATIENCE_MS / 1000, 0}), SIGRTMIN + 2);
        CHECK(!got[info.si_value.sival_int]);
        got[info.si_value.sival_int] = true;
    }
    CHECK_EQ(sigtimedwait(&set, NULL, &(struct timespec){0, 20000000}), -1);
}

/* A zeroed sigevent asks for signal 0, which is no signal and no error. */
TEST(same, rule_72_signal_0_is_nothing) {
    struct aiocb cb = signalling(pattern_file("data", 4096), 0, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 10);
}

TEST(better, rule_72_a_signal_that_does_not_exist_changes_no_result) {
    int fd = pattern_file("data", 4096), numbers[] = {1000, -1, 65};
    for (int i = 0; i < 3; i++) {
        struct aiocb cb = signalling(fd, numbers[i], 0);
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 10);
        sleep_ms(10);
        CHECK_EQ(aio_error(&cb), 0);
    }
}

static void drop_privilege(void) {
    if (getuid() == 0) CHECK_EQ(setresuid(65534, 65534, 65534), 0);
}

TEST(better, rule_72_a_full_signal_queue_changes_no_result) {
    int fd = pattern_file("data", 4096);
    sigset_t set = only(SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    SET_UP(setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){0, 0}) == 0);
    drop_privilege();
    struct aiocb cb = signalling(fd, SIGRTMIN, 0);
    CHECK_EQ(aio_write(&cb), 0);
    CHECK_EQ(finish(&cb), 10);
    sleep_ms(10);
    CHECK_EQ(aio_error(&cb), 0);
}

struct thread_facts {
    sem_t known;
    int detached;
    size_t stack, guard;
    sigset_t mask;
    void *local;
    pid_t tid;
};

static void learn(union sigval value) {
    struct thread_facts *facts = value.sival_ptr;
    pthread_attr_t attributes;
    void *stack;
    CHECK_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
    CHECK_EQ(pthread_attr_getdetachstate(&attributes, &facts->detached), 0);
    CHECK_EQ(pthread_attr_getstack(&attributes, &stack, &facts->stack), 0);
    CHECK_EQ(pthread_attr_getguardsize(&attributes, &facts->guard), 0);
    SET_UP(pthread_sigmask(SIG_BLOCK, NULL, &facts->mask) == 0);
    facts->local = &attributes;
    facts->tid = (pid_t)syscall(SYS_gettid);
    CHECK_EQ(pthread_attr_destroy(&attributes), 0);
    sem_post(&facts->known);
}

static struct thread_facts facts_of_callback(pthread_attr_t *attributes) {
    static struct thread_facts facts;
    int fd = pattern_file("data", 4096);
    CHECK_EQ(sem_init(&facts.known, 0, 0), 0);
    struct aiocb cb = calling(fd, learn, &facts);
    cb.aio_sigevent.sigev_notify_attributes = attributes;
    CHECK_EQ(aio_read(&cb), 0);
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += PATIENCE_MS / 1000;
    CHECK_EQ(sem_timedwait(&facts.known, &end), 0);
    CHECK_EQ(finish(&cb), 10);
    return facts;
}

TEST(same, rule_73_a_callback_has_a_detached_thread_of_its_own_and_an_empty_mask) {
    /* The mask is nobody's: neither the caller's nor the engine's. */
    sigset_t all;
    sigfillset(&all);
    SET_UP(pthread_sigmask(SIG_BLOCK, &all, NULL) == 0);
    struct thread_facts facts = facts_of_callback(NULL);
    CHECK_EQ(facts.detached, PTHREAD_CREATE_DETACHED);
    CHECK(facts.tid != (pid_t)syscall(SYS_gettid));
    /* 32 and 33 are the C library's own. */
    for (int number = 1; number <= SIGRTMAX; number++) CHECK_EQ(sigismember(&facts.mask, number) == 1, 0);
    struct rlimit stack;
    CHECK_EQ(getrlimit(RLIMIT_STACK, &stack), 0);
    if (stack.rlim_cur == 8 << 20) CHECK(facts.stack >= (size_t)4 << 20);
}

TEST(same, rule_73_a_callback_has_the_attributes_that_are_asked_for) {
    pthread_attr_t attributes;
    SET_UP(pthread_attr_init(&attributes) == 0);
    CHECK_EQ(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
    SET_UP(pthread_attr_setstacksize(&attributes, 640 << 10) == 0);
    CHECK_EQ(pthread_attr_setguardsize(&attributes, 12 << 10), 0);
    struct thread_facts facts = facts_of_callback(&attributes);
    CHECK_EQ(facts.detached, PTHREAD_CREATE_DETACHED);
    CHECK_EQ(facts.guard, 12 << 10);
    CHECK(facts.stack >= 640 << 10 && facts.stack <= 700 << 10);
    CHECK_EQ(pthread_attr_destroy(&attributes), 0);
}

TEST(same, rule_73_a_callback_can_run_on_a_stack_of_the_programs) {
    enum { size = 256 << 10 };
    pthread_attr_t attributes;
    char *stack = NULL;
    CHECK_EQ(posix_memalign((void **)&stack, 4096, size), 0);
    SET_UP(pthread_attr_init(&attributes) == 0);
    CHECK_EQ(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED), 0);
    CHECK_EQ(pthread_attr_setstack(&attributes, stack, size), 0);
    struct thread_facts facts = facts_of_callback(&attributes);
    CHECK((char *)facts.local >= stack && (char *)facts.local < stack + size);
    CHECK_EQ(pthread_attr_destroy(&attributes), 0);
}

static volatile int calls;

static void count_call(union sigval value) {
    CHECK(value.sival_ptr == (void *)&calls);
    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
}

TEST(same, rule_73_every_request_gets_its_callback) {
    enum { count = 500 };
    static struct aiocb cbs[count];
    int fd = pattern_file("data", 4096);
    for (int i = 0; i < count; i++) {
        cbs[i] = calling(i % 5 == 0 ? -1 : fd, count_call, (void *)&calls);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    EVENTUALLY(calls == count);
    sleep_ms(20);
    CHECK_EQ(calls, count);
}

static int chain_fd;
static struct aiocb chain;

static void next_in_chain(union sigval value) {
    CHECK_EQ(aio_return(&chain), 10);
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == 200) return;
    chain = calling(chain_fd, next_in_chain, value.sival_ptr);
    CHECK_EQ(aio_read(&chain), 0);
}

TEST(same, rule_73_a_callback_can_use_aio) {
    chain_fd = pattern_file("data", 4096);
    chain = calling(chain_fd, next_in_chain, NULL);
    CHECK_EQ(aio_read(&chain), 0);
    EVENTUALLY(calls == 200);
}

static sem_t gate;

static void wait_at_the_gate(union sigval value) {
    (void)value;
    sem_wait(&gate);
    __atomic_fetch_add(&calls, 1, __ATOMIC_SEQ_CST);
    pthread_exit(NULL);
}

TEST(same, rule_73_a_callback_that_waits_or_exits_holds_up_nothing) {
    enum { count = 30 };
    struct aiocb cbs[count];
    int fd = pattern_file("data", 4096);
    CHECK_EQ(sem_init(&gate, 0, 0), 0);
    for (int i = 0; i < count; i++) {
        cbs[i] = calling(fd, wait_at_the_gate, NULL);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
    struct aiocb cb = REQUEST(fd, buffer, sizeof buffer, 0);
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 4096);
    for (int i = 0; i < count; i++) CHECK_EQ(finish(&cbs[i]), 10);
    CHECK_EQ(calls, 0);
    for (int i = 0; i < count; i++) sem_post(&gate);
    EVENTUALLY(calls == count);
}

static volatile pid_t handled_by;

static void remember_thread(int number) {
    (void)number;
    handled_by = (pid_t)syscall(SYS_gettid);
}

static void *be_a_target(void *tid) {
    __atomic_store_n((pid_t *)tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    EVENTUALLY(handled_by != 0);
    return NULL;
}

TEST(better, rule_74_a_signal_for_a_thread_goes_to_that_thread) {
    int fd = pattern_file("data", 4096);
    struct sigaction action = {.sa_handler = remember_thread};
    SET_UP(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        pid_t tid = 0;
        handled_by = 0;
        SET_UP(pthread_create(&thread, NULL, be_a_target, &tid) == 0);
        EVENTUALLY(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
        struct aiocb cb = signalling(fd, SIGUSR1, i);
        cb.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
        cb.aio_sigevent.sigev_notify_thread_id = tid;
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(handled_by, tid);
        CHECK_EQ(finish(&cb), 10);
    }
}

TEST(better, rule_74_the_siginfo_is_complete_there_too) {
    int fd = pattern_file("data", 4096);
    sigset_t set = only(SIGRTMIN);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    struct aiocb cb = signalling(fd, SIGRTMIN, 99);
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
    cb.aio_sigevent.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    CHECK_EQ(aio_read(&cb), 0);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){PATIENCE_MS / 1000, 0}), SIGRTMIN);
    CHECK_EQ(info.si_code, SI_ASYNCIO);
    CHECK_EQ(info.si_value.sival_int, 99);
    CHECK_EQ(info.si_pid, getpid());
    CHECK_EQ(info.si_uid, getuid());
}

TEST(same, rule_74_a_thread_that_does_not_exist_is_nobody) {
    struct aiocb cb = signalling(pattern_file("data", 4096), SIGUSR1, 0);
    cb.aio_sigevent.sigev_notify = SIGEV_THREAD_ID;
    cb.aio_sigevent.sigev_notify_thread_id = 1;
    CHECK_EQ(aio_read(&cb), 0);
    CHECK_EQ(finish(&cb), 10);
    sleep_ms(20);
    CHECK_EQ(aio_error(&cb), 0);
}

TEST(same, rule_75_an_unknown_kind_of_notification_is_none) {
    int fd = pattern_file("data", 4096), kinds[] = {77, -1, 3};
    handle(SIGUSR1);
    for (int i = 0; i < 3; i++) {
        struct aiocb cb = signalling(fd, SIGUSR1, 0);
        cb.aio_sigevent.sigev_notify = kinds[i];
        CHECK_EQ(aio_read(&cb), 0);
        CHECK_EQ(finish(&cb), 10);
    }
    sleep_ms(20);
    CHECK_EQ(signals, 0);
}
