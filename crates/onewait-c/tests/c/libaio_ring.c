/*
 * A program such as qemu: it submits by libaio, is told by an eventfd, and reads completions out of the kernel's ring
 * itself. It calls no io_getevents, so nobody could give it any other context than the kernel's.
 */
#include "check.h"

#include <libaio.h>
#include <poll.h>
#include <sys/eventfd.h>

struct ring {
    unsigned id, nr, head, tail, magic, compat_features, incompat_features, header_length;
    struct io_event events[];
};

static const unsigned magic = 0xa10a10a1;

enum { block = 4096, requests = 32 };

/* Waits for the eventfd, and takes what is in the ring; gives how many. */
static int take(io_context_t ctx, int event, struct io_event *events, int most) {
    struct ring *ring = (struct ring *)ctx;
    struct pollfd wait = {event, POLLIN, 0};
    uint64_t count;
    CHECK_EQ(poll(&wait, 1, PATIENCE_MS), 1);
    CHECK_EQ(read(event, &count, sizeof count), (ssize_t)sizeof count);
    int taken = 0;
    unsigned head = ring->head;
    while (taken < most && head != __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE)) {
        events[taken++] = ring->events[head];
        head = (head + 1) % ring->nr;
    }
    __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
    return taken;
}

TEST(same, the_ring_can_be_read) {
    static char memory[requests][block];
    static struct iocb cbs[requests];
    io_context_t ctx = NULL;
    int fd = pattern_file("data", requests * block), event = eventfd(0, EFD_CLOEXEC);
    CHECK_EQ(io_setup(requests, &ctx), 0);
    CHECK_EQ(((struct ring *)ctx)->magic, magic);
    for (int round = 0; round < 20; round++) {
        if (round % 5 == 0) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        struct iocb *list[requests];
        struct io_event events[requests];
        memset(memory, 0, sizeof memory);
        for (int i = 0; i < requests; i++) {
            io_prep_pread(&cbs[i], fd, memory[i], block, i * block);
            io_set_eventfd(&cbs[i], event);
            list[i] = &cbs[i];
        }
        CHECK_EQ(io_submit(ctx, requests, list), requests);
        for (int have = 0; have < requests;) have += take(ctx, event, events + have, requests - have);
        for (int i = 0; i < requests; i++) {
            CHECK_EQ(events[i].res, block);
            check_pattern(memory[i], block, i * block);
        }
    }
    CHECK_EQ(io_destroy(ctx), 0);
}
