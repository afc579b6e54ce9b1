/*
 * hazards.h - what the tests of defects, hazards and limits share on top of check.h.
 */
#ifndef HAZARDS_H
#define HAZARDS_H

#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* glibc runs AIO on at most this many threads: as many silent reads stop everything else there. */
#define GLIBC_THREADS 20

struct silent_reads {
    int pipe[GLIBC_THREADS][2];
    struct aiocb cb[GLIBC_THREADS];
    char byte[GLIBC_THREADS];
};

HELPER void start_silent_reads(struct silent_reads *reads) {
    for (int i = 0; i < GLIBC_THREADS; i++) {
        silent_pipe(reads->pipe[i]);
        reads->cb[i] = REQUEST(reads->pipe[i][0], &reads->byte[i], 1, 0);
        CHECK_EQ(aio_read(&reads->cb[i]), 0);
    }
}

/* Feeds them all; they must not have lost anything meanwhile. */
HELPER void finish_silent_reads(struct silent_reads *reads) {
    for (int i = 0; i < GLIBC_THREADS; i++) CHECK_EQ(write(reads->pipe[i][1], &"abcdefghijklmnopqrstuvwxyz"[i], 1), 1);
    for (int i = 0; i < GLIBC_THREADS; i++) {
        CHECK_EQ(finish(&reads->cb[i]), 1);
        CHECK_EQ(reads->byte[i], 'a' + i);
    }
}

/* What every child does first: it ends with its parent, and by itself if it hangs, so that no failure leaves a process
 * behind. (The parent's *thread* counts: one that forks must outlive the child.) */
HELPER void begin_child(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(19);
}

/* Limits that count by user (threads, queued signals) are shared with every process of that user, and some do not bind
 * root. So root becomes a user that nobody else is; another user has to live with what the others use. */
HELPER void become_a_user_of_its_own(void) {
    if (getuid() != 0) return;
    uid_t id = 0x40000000u + (uid_t)getpid();
    if (setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0) SKIP("cannot become another user");
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
}

/* A child that runs a block and then exits with 0; use with child_succeeds. */
#define CHILD(...)                                                                                                     \
    ({                                                                                                                 \
        pid_t pid_ = fork();                                                                                           \
        SET_UP(pid_ >= 0);                                                                                             \
        if (pid_ == 0) {                                                                                               \
            begin_child();                                                                                             \
            __VA_ARGS__;                                                                                               \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        pid_;                                                                                                          \
    })

HELPER void start_thread(pthread_t *thread, void *(*run)(void *), void *arg) {
    SET_UP(pthread_create(thread, NULL, run, arg) == 0);
}

HELPER void join_thread(pthread_t thread) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += PATIENCE_MS / 1000;
    CHECK_EQ(pthread_timedjoin_np(thread, NULL, &t), 0);
}

/* Turn after turn, fewer on a machine that is too busy for all of them. */
#define TURNS(I, MOST) int64_t end_##I = now_ms() + 4000, I = 0; I < (MOST) && now_ms() < end_##I; I++

/* From here on, these system calls fail with this error, as a container's filter has it. */
HELPER void refuse(int from, int to, int error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)from, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)to, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    SET_UP(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) SKIP("no seccomp filters here");
}

/* A small generator, one a thread: xorshift. */
HELPER uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

#endif
