/* Everything at once, by chance, for a few seconds, against a model of what the file must hold. */
#include "libaio_check.h"

enum { blocks = 512, slots = 48, longest = 4 };

/* Of each block: what was last written there, and whether a request is at it. */
static unsigned char version[blocks];
static bool busy[blocks];

static struct slot {
    struct iocb cb;
    struct iovec vectors[longest];
    char *memory;
    int first, count;
    bool in_flight, is_write, is_sync, is_cancelled;
    unsigned char to;
} table[slots];

static void fill(char *memory, int block, unsigned char of) {
    for (int i = 0; i < BLOCK / 8; i++) {
        uint64_t word = ((uint64_t)block << 32 | (uint64_t)of << 16 | (unsigned)i) * 0x9e3779b97f4a7c15u;
        memcpy(memory + i * 8, &word, 8);
    }
}

static void check(const char *memory, int block, unsigned char of) {
    static _Thread_local char wanted[BLOCK];
    fill(wanted, block, of);
    if (memcmp(memory, wanted, BLOCK) != 0) FAIL("block %d is not of version %d", block, of);
}

static void complete(const struct io_event *event) {
    struct slot *slot = event->data;
    CHECK(slot >= table && slot < table + slots && slot->in_flight && event->obj == &slot->cb);
    CHECK_EQ(event->res2, 0);
    slot->in_flight = false;
    if (slot->is_sync) {
        CHECK_EQ(event->res, 0);
        return;
    }
    if (slot->is_cancelled && result_of(event) <= 0) {
        CHECK(!slot->is_write);
    } else {
        CHECK_EQ(event->res, (unsigned long)slot->count * BLOCK);
        for (int i = 0; i < slot->count; i++) {
            if (slot->is_write)
                version[slot->first + i] = slot->to;
            else
                check(slot->memory + i * BLOCK, slot->first + i, version[slot->first + i]);
        }
    }
    for (int i = 0; i < slot->count; i++) busy[slot->first + i] = false;
}

/* Makes one request, or none if its blocks are taken. */
static bool prepare(struct slot *slot, const int *fds, uint64_t *random) {
    uint64_t chance = next_random(random);
    int fd = fds[chance % 2];
    slot->is_sync = chance >> 8 & 31 ? false : true;
    slot->is_cancelled = false;
    if (slot->is_sync) {
        chance >> 16 & 1 ? io_prep_fsync(&slot->cb, fd) : io_prep_fdsync(&slot->cb, fd);
    } else {
        slot->first = (int)(chance >> 16 & 0xffff) % blocks;
        slot->count = 1 + (int)(chance >> 32 & 0xff) % longest;
        slot->is_write = chance >> 40 & 1;
        if (slot->first + slot->count > blocks) return false;
        for (int i = 0; i < slot->count; i++)
            if (busy[slot->first + i]) return false;
        slot->to = (unsigned char)(chance >> 48);
        for (int i = 0; i < slot->count; i++) {
            busy[slot->first + i] = true;
            slot->vectors[i] = (struct iovec){slot->memory + i * BLOCK, BLOCK};
            if (slot->is_write) fill(slot->memory + i * BLOCK, slot->first + i, slot->to);
        }
        long long offset = (long long)slot->first * BLOCK;
        size_t bytes = (size_t)slot->count * BLOCK;
        switch ((chance >> 41 & 1) << 1 | slot->is_write) {
        case 0: io_prep_pread(&slot->cb, fd, slot->memory, bytes, offset); break;
        case 1: io_prep_pwrite(&slot->cb, fd, slot->memory, bytes, offset); break;
        case 2: io_prep_preadv(&slot->cb, fd, slot->vectors, slot->count, offset); break;
        default: io_prep_pwritev(&slot->cb, fd, slot->vectors, slot->count, offset);
        }
    }
    slot->cb.data = slot;
    return slot->in_flight = true;
}

static void stress(int turns_ms, uint64_t seed, bool direct) {
    int fds[2];
    fds[0] = open("data", O_RDWR | O_CREAT, 0600);
    SET_UP(fds[0] >= 0);
    static char block[BLOCK];
    for (int i = 0; i < blocks; i++) {
        fill(block, i, 0);
        SET_UP(pwrite(fds[0], block, BLOCK, (off_t)i * BLOCK) == BLOCK);
    }
    SET_UP(fsync(fds[0]) == 0);
    /* Not both ways on one file at the same time: the page cache and the disk may differ for a moment. */
    fds[1] = direct ? open_direct("data") : dup(fds[0]);
    if (direct) fds[0] = fds[1];
    io_context_t ctx = new_context(slots);
    for (int i = 0; i < slots; i++) table[i].memory = aligned(longest * BLOCK);
    uint64_t random = seed;
    long submitted = 0, completed = 0;
    for (int64_t end = now_ms() + turns_ms; now_ms() < end;) {
        struct iocb *list[slots];
        long count = 0, most = 1 + (long)(next_random(&random) % 16);
        for (int i = 0; i < slots && count < most; i++)
            if (!table[i].in_flight && prepare(&table[i], fds, &random)) list[count++] = &table[i].cb;
        for (long done = 0; done < count;) {
            int result = io_submit(ctx, count - done, list + done);
            if (result < 1 || result > count - done) FAIL("io_submit gave %d of %ld", result, count - done);
            done += result;
        }
        submitted += count;
        struct slot *victim = &table[next_random(&random) % slots];
        if (next_random(&random) % 16 == 0 && victim->in_flight && !victim->is_write && !victim->is_sync) {
            struct io_event event;
            int said = io_cancel(ctx, &victim->cb, &event);
            CHECK(said == -EINVAL || said == -EINPROGRESS);
            victim->is_cancelled = said == -EINPROGRESS;
        }
        if (next_random(&random) % 64 == 0) posix_fadvise(fds[0], 0, 0, POSIX_FADV_DONTNEED);
        struct io_event events[slots];
        long least = submitted == completed ? 0 : (long)(next_random(&random) % 2);
        int taken = io_getevents(ctx, least, 1 + (long)(next_random(&random) % slots), events, NULL);
        CHECK(taken >= least);
        for (int i = 0; i < taken; i++) complete(&events[i]);
        completed += taken;
    }
    struct io_event events[slots];
    reap(ctx, submitted - completed, events);
    for (long i = 0; i < submitted - completed; i++) complete(&events[i]);
    nothing_to_reap(ctx);
    CHECK_GIVES(io_destroy(ctx), 0);
    int plain = open("data", O_RDONLY);
    for (int i = 0; i < blocks; i++) {
        SET_UP(pread(plain, block, BLOCK, (off_t)i * BLOCK) == BLOCK);
        check(block, i, version[i]);
    }
    fprintf(stderr, "%ld requests\n", submitted);
}

TEST(same, stress_through_the_page_cache) { stress(2000, 0x1234567, false); }
TEST(same, stress_past_the_page_cache) { stress(2000, 0x7654321, true); }
