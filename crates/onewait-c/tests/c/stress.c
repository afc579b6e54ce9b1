/*
 * Load: a hundred thousand requests with checksums, cancelling at every point, and control blocks that are freed,
 * unmapped and used again as soon as the rules allow.
 */
#include "hazards.h"

#include <sys/mman.h>

#define BLOCK 4096

/* ---- a hundred thousand requests ------------------------------------------------------------------------------- */

enum { threads = 8, per_thread = 12500, depth = 16, most_blocks = 16 };

/* What a thread does with one of its slots: a write of a fresh pattern, then a read of the same blocks. */
struct slot {
    struct aiocb cb;
    char *buffer;
    size_t bytes, lead; /* a misaligned start, where the file allows it */
    off_t at;
    uint64_t seed;
    bool in_use, writing, syncing;
    atomic_int notified;
    int expected;
};

struct worker {
    pthread_t thread;
    int number;
    struct slot slot[depth];
};

static void fill_seeded(char *p, size_t bytes, uint64_t seed) {
    uint64_t state = seed | 1;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = next_random(&state);
        memcpy(p + i, &word, 8);
    }
}

static void check_seeded(const char *p, size_t bytes, uint64_t seed) {
    uint64_t state = seed | 1;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = next_random(&state), found;
        memcpy(&found, p + i, 8);
        if (found != word) FAIL("word at %zu is %016llx, not %016llx", i, (long long)found, (long long)word);
    }
}

static void note(union sigval value) { atomic_fetch_add(&((struct slot *)value.sival_ptr)->notified, 1); }

static void note_signal(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    note(info->si_value);
}

/* Mostly none, so that the load is of requests rather than of notifications. */
static void choose_notification(struct slot *slot, uint64_t random) {
    struct sigevent *event = &slot->cb.aio_sigevent;
    event->sigev_value.sival_ptr = slot;
    if (random % 64 == 0) {
        event->sigev_notify = SIGEV_THREAD;
        event->sigev_notify_function = note;
        slot->expected++;
    } else if (random % 64 < 4) {
        event->sigev_notify = SIGEV_SIGNAL;
        event->sigev_signo = SIGRTMIN;
        slot->expected++;
    }
}

static void *run_worker(void *arg) {
    struct worker *worker = arg;
    uint64_t random = 0x9e3779b97f4a7c15u * (uint64_t)(worker->number + 1);
    char name[16];
    snprintf(name, sizeof name, "data-%d", worker->number);
    int buffered = pattern_file(name, depth * most_blocks * BLOCK), direct = open(name, O_RDWR | O_DIRECT);
    if (direct < 0) direct = open(name, O_RDWR);
    SET_UP(direct >= 0);
    for (int i = 0; i < depth; i++) {
        worker->slot[i].buffer = mmap(NULL, (most_blocks + 1) * BLOCK, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(worker->slot[i].buffer != MAP_FAILED);
    }
    int submitted = 0;
    for (int turn = 0; submitted < per_thread; turn++) {
        struct slot *slot = &worker->slot[turn % depth];
        struct aiocb *list[4];
        int listed = 0;
        if (slot->in_use) {
            CHECK_EQ(finish(&slot->cb), slot->syncing ? 0 : (ssize_t)slot->bytes);
            if (!slot->writing && !slot->syncing) check_seeded(slot->buffer + slot->lead, slot->bytes, slot->seed);
            EVENTUALLY(atomic_load(&slot->notified) == slot->expected);
        }
        uint64_t r = next_random(&random);
        bool is_direct = r % 16 == 0;
        int fd = is_direct ? direct : buffered;
        if (slot->in_use && slot->writing) { /* read back what is there now */
            slot->writing = false;
            memset(slot->buffer, 0, slot->bytes + slot->lead);
            if (is_direct && (slot->bytes % BLOCK != 0 || slot->lead != 0)) fd = buffered;
            if (r % 61 == 1) posix_fadvise(buffered, 0, 0, POSIX_FADV_DONTNEED);
        } else {
            slot->writing = true;
            slot->bytes = is_direct || r % 4 == 0 ? BLOCK * (1 + (r >> 8) % most_blocks) : 8 * (1 + (r >> 8) % 500);
            slot->lead = is_direct ? 0 : (r >> 20) % 64;
            slot->at = (off_t)(turn % depth) * most_blocks * BLOCK;
            slot->seed = r;
            fill_seeded(slot->buffer + slot->lead, slot->bytes, slot->seed);
        }
        slot->cb = REQUEST(fd, slot->buffer + slot->lead, slot->bytes, slot->at);
        slot->syncing = false;
        choose_notification(slot, r >> 32);
        slot->in_use = true;
        submitted++;
        slot->cb.aio_lio_opcode = slot->writing ? LIO_WRITE : LIO_READ;
        if (r % 7 == 0) {
            list[listed++] = NULL;
            list[listed++] = &slot->cb;
            CHECK_EQ(lio_listio(r % 2 ? LIO_WAIT : LIO_NOWAIT, list, listed, NULL), 0);
        } else {
            CHECK_EQ(slot->writing ? aio_write(&slot->cb) : aio_read(&slot->cb), 0);
        }
        if (r % 2048 == 1) {
            struct aiocb sync = REQUEST(buffered, NULL, 0, 0);
            CHECK_EQ(aio_fsync(r % 4096 == 1 ? O_SYNC : O_DSYNC, &sync), 0);
            CHECK_EQ(finish(&sync), 0);
            CHECK(aio_error(&slot->cb) == 0 || !slot->writing);
        }
    }
    for (int i = 0; i < depth; i++) {
        struct slot *slot = &worker->slot[i];
        CHECK_EQ(finish(&slot->cb), slot->bytes);
        EVENTUALLY(atomic_load(&slot->notified) == slot->expected);
    }
    return NULL;
}

TEST(same, stress_a_hundred_thousand_requests_from_eight_threads) {
    struct sigaction action = {.sa_sigaction = note_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    SET_UP(sigaction(SIGRTMIN, &action, NULL) == 0);
    static struct worker worker[threads];
    for (int i = 0; i < threads; i++) {
        worker[i].number = i;
        start_thread(&worker[i].thread, run_worker, &worker[i]);
    }
    for (int i = 0; i < threads; i++) CHECK_EQ(pthread_join(worker[i].thread, NULL), 0);
    sleep_ms(20);
    for (int i = 0; i < threads; i++) /* and none of them twice */
        for (int j = 0; j < depth; j++) CHECK_EQ(atomic_load(&worker[i].slot[j].notified), worker[i].slot[j].expected);
}

/* ---- cancelling ------------------------------------------------------------------------------------------------ */

enum { victims = 32 };

struct victim {
    struct aiocb cb;
    char *buffer;
    atomic_int ends; /* notifications of this life */
};

static struct victim victim[victims];
static int victim_file, victim_pipe[2];
static atomic_bool stop;

static void note_end(union sigval value) { atomic_fetch_add(&((struct victim *)value.sival_ptr)->ends, 1); }

static void note_end_signal(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    note_end(info->si_value);
}

static void *cancel_until_told(void *arg) {
    uint64_t random = 0x2545f4914f6cdd1du + (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&stop)) {
        uint64_t r = next_random(&random);
        struct victim *v = &victim[r % victims];
        bool of_the_pipe = v - victim < victims / 2;
        int fd = of_the_pipe ? victim_pipe[0] : victim_file;
        int how = aio_cancel(fd, r % 8 ? &v->cb : NULL);
        CHECK(how == AIO_CANCELED || how == AIO_NOTCANCELED || how == AIO_ALLDONE);
        if (r % 16 == 0) sched_yield();
    }
    return NULL;
}

/* Half of them read a pipe that is fed now and then, half write to a file. Each ends once, and either it did all or
 * nothing: the bytes of a cancelled read are still in the pipe, the blocks of a cancelled write are the old ones. */
static void cancel_at_every_point(int cancellers, int rounds) {
    struct sigaction action = {.sa_sigaction = note_end_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    SET_UP(sigaction(SIGRTMIN, &action, NULL) == 0);
    victim_file = open("victim", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
    if (victim_file < 0) victim_file = open("victim", O_RDWR | O_CREAT | O_TRUNC, 0600);
    SET_UP(victim_file >= 0);
    silent_pipe(victim_pipe);
    static uint64_t in_file[victims];
    char *memory = mmap(NULL, victims * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (int i = 0; i < victims; i++) {
        victim[i].buffer = memory + i * BLOCK;
        victim[i].cb = REQUEST(i < victims / 2 ? victim_pipe[0] : victim_file, victim[i].buffer, 0, 0);
    }
    CHECK_EQ(pwrite(victim_file, memory, victims * BLOCK, 0), victims * BLOCK);
    pthread_t thread[4];
    for (intptr_t i = 0; i < cancellers; i++) start_thread(&thread[i], cancel_until_told, (void *)i);

    uint64_t fed = 0, eaten = 0, cancelled = 0;
    for (TURNS(round, rounds)) {
        int wanted[victims];
        for (int i = 0; i < victims; i++) {
            struct victim *v = &victim[i];
            bool of_the_pipe = i < victims / 2;
            struct aiocb cb = REQUEST(of_the_pipe ? victim_pipe[0] : victim_file, v->buffer, of_the_pipe ? 8 : BLOCK,
                                      of_the_pipe ? 0 : i * BLOCK);
            cb.aio_sigevent.sigev_value.sival_ptr = v;
            wanted[i] = (i + (int)round) % 4 == 0;
            if (wanted[i]) {
                bool by_thread = (i + round) % 32 == 0;
                cb.aio_sigevent.sigev_notify = by_thread ? SIGEV_THREAD : SIGEV_SIGNAL;
                if (by_thread)
                    cb.aio_sigevent.sigev_notify_function = note_end;
                else
                    cb.aio_sigevent.sigev_signo = SIGRTMIN;
            }
            atomic_store(&v->ends, 0);
            if (!of_the_pipe) {
                uint64_t word = (uint64_t)round << 32 | (uint64_t)i;
                memcpy(v->buffer, &word, 8);
                memcpy(v->buffer + BLOCK - 8, &word, 8);
            }
            /* Field by field, and the number last of all: cancellers look at this block all the time. */
            v->cb.aio_buf = cb.aio_buf, v->cb.aio_nbytes = cb.aio_nbytes, v->cb.aio_offset = cb.aio_offset;
            v->cb.aio_sigevent = cb.aio_sigevent;
            CHECK_EQ(of_the_pipe ? aio_read(&v->cb) : aio_write(&v->cb), 0);
        }
        for (int i = 0; i < victims / 4; i++, fed++) CHECK_EQ(write(victim_pipe[1], &fed, 8), 8);
        for (int i = 0; i < victims; i++) {
            struct victim *v = &victim[i];
            bool of_the_pipe = i < victims / 2;
            int64_t deadline = now_ms() + PATIENCE_MS;
            int status;
            while ((status = aio_error(&v->cb)) == EINPROGRESS) {
                CHECK(now_ms() < deadline);
                const struct aiocb *list[1] = {&v->cb};
                aio_suspend(list, 1, &(struct timespec){0, 20000000});
            }
            ssize_t result = aio_return(&v->cb);
            if (status == ECANCELED) {
                CHECK_EQ(result, -1);
                cancelled++;
            } else {
                CHECK_EQ(status, 0);
                CHECK_EQ(result, of_the_pipe ? 8 : BLOCK);
                if (of_the_pipe)
                    eaten++;
                else
                    memcpy(&in_file[i], v->buffer, 8);
            }
            EVENTUALLY(atomic_load(&v->ends) == wanted[i]);
        }
        char *back = aligned_alloc(BLOCK, victims * BLOCK);
        CHECK_EQ(pread(victim_file, back, victims * BLOCK, 0), victims * BLOCK);
        for (int i = victims / 2; i < victims; i++) {
            uint64_t first, last;
            memcpy(&first, back + i * BLOCK, 8);
            memcpy(&last, back + i * BLOCK + BLOCK - 8, 8);
            CHECK_EQ(first, in_file[i]);
            CHECK_EQ(last, in_file[i]);
        }
        free(back);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < cancellers; i++) join_thread(thread[i]);
    CHECK(cancelled > 0);
    CHECK_EQ(close(victim_pipe[1]), 0);
    uint64_t word;
    while (read(victim_pipe[0], &word, 8) == 8) {
        eaten++;
        CHECK_EQ(word, eaten - 1); /* the pipe's order is kept, so what is left is the end of it */
    }
    CHECK_EQ(eaten, fed);
}

/* glibc cannot cancel a read in flight; whether data saves it is chance. */
TEST(ours, stress_cancel_at_every_point) { cancel_at_every_point(1, 400); }

TEST(ours, stress_cancel_at_every_point_from_several_threads) { cancel_at_every_point(4, 200); }

/* ---- control blocks that go at once ---------------------------------------------------------------------------- */

static void *free_at_once(void *arg) {
    int fd = *(int *)arg;
    uint64_t random = 0x9e3779b97f4a7c15u ^ (uint64_t)pthread_self();
    for (TURNS(i, 3000)) {
        uint64_t r = next_random(&random);
        struct aiocb *cb = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(cb != MAP_FAILED);
        char *buffer = (char *)cb + BLOCK;
        off_t at = (off_t)(r % 64) * BLOCK;
        if (r % 64 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        *cb = REQUEST(fd, buffer, BLOCK, at);
        CHECK_EQ(aio_read(cb), 0);
        if ((r >> 8 & 3) == 0) { /* seen by the status alone, at the first moment */
            int64_t deadline = now_ms() + PATIENCE_MS;
            while (aio_error(cb) == EINPROGRESS) {
                CHECK(now_ms() < deadline);
                sched_yield();
            }
        }
        CHECK_EQ(finish(cb), BLOCK);
        check_pattern(buffer, BLOCK, at);
        CHECK_EQ(munmap(cb, 2 * BLOCK), 0);
    }
    return NULL;
}

/* glibc itself looks at the block once more, for the notification, after the status is final. */
TEST(ours, stress_control_blocks_unmapped_at_once) {
    int fd = pattern_file("data", 64 * BLOCK);
    free_at_once(&fd); /* alone, then with others */
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) start_thread(&thread[i], free_at_once, &fd);
    for (int i = 0; i < 3; i++) join_thread(thread[i]);
}

/* The same after a cancel, which is the other way in which a request ends. */
TEST(better, stress_control_blocks_unmapped_after_a_cancel) {
    int ends[2];
    silent_pipe(ends);
    for (TURNS(i, 3000)) {
        struct aiocb *cb = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(cb != MAP_FAILED);
        *cb = REQUEST(ends[0], (char *)cb + BLOCK, 8, 0);
        CHECK_EQ(aio_read(cb), 0);
        CHECK_EQ(aio_cancel(ends[0], i % 2 ? cb : NULL), AIO_CANCELED);
        CHECK_EQ(aio_error(cb), ECANCELED);
        CHECK_EQ(aio_return(cb), -1);
        CHECK_EQ(munmap(cb, 2 * BLOCK), 0);
    }
}

/* A list's blocks and the list itself may go when the list has been announced or waited for. */
TEST(ours, stress_lists_unmapped_at_once) {
    enum { entries = 8 };
    struct memory {
        struct aiocb cb[entries];
        struct aiocb *list[entries];
        char buffer[entries][512];
    };
    int fd = pattern_file("data", entries * 512);
    for (TURNS(i, 2000)) {
        struct memory *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(m != MAP_FAILED);
        if (i % 64 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        for (int j = 0; j < entries; j++) {
            m->cb[j] = REQUEST(fd, m->buffer[j], 512, j * 512);
            m->cb[j].aio_lio_opcode = LIO_READ;
            m->list[j] = &m->cb[j];
        }
        CHECK_EQ(lio_listio(i % 2 ? LIO_WAIT : LIO_NOWAIT, m->list, entries, NULL), 0);
        memset(m->list, 0, sizeof m->list); /* the array is the caller's again when the call returns */
        for (int j = 0; j < entries; j++) {
            CHECK_EQ(finish(&m->cb[j]), 512);
            check_pattern(m->buffer[j], 512, j * 512);
        }
        CHECK_EQ(munmap(m, sizeof *m), 0);
    }
}

TEST(same, stress_control_blocks_used_again_without_aio_return) {
    int fd = pattern_file("data", 64 * BLOCK), ends[2];
    silent_pipe(ends);
    static struct aiocb cb[8];
    static char buffer[8][BLOCK];
    for (TURNS(i, 20000)) {
        struct aiocb *one = &cb[i % 8];
        off_t at = (off_t)(i % 64) * BLOCK;
        if (i >= 8) {
            CHECK_EQ(wait_for(one), 0);
            check_pattern(buffer[i % 8], 64, (off_t)((i - 8) % 64) * BLOCK);
        }
        if (i % 1000 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        memset(buffer[i % 8], 0, 64);
        one->aio_fildes = fd;
        one->aio_buf = buffer[i % 8];
        one->aio_nbytes = BLOCK;
        one->aio_offset = at;
        one->aio_sigevent.sigev_notify = SIGEV_NONE;
        CHECK_EQ(aio_read(one), 0);
    }
    for (int i = 0; i < 8; i++) CHECK_EQ(finish(&cb[i]), BLOCK);
}
