/*
 * garbage.h - what no program should do, and some do: control blocks full of random bytes, wild descriptors and buffers,
 * absurd counts and times, descriptors closed under requests. Nothing is compared; the process must not crash, no
 * request may hang, and no byte around the blocks may change.
 *
 * What makes a call wild by itself is left out: a function that is none, a signal that ends the process, a list that is
 * no memory.
 */
#ifndef GARBAGE_H
#define GARBAGE_H

#include "request.h"

enum { LONG_LIST = 1 << 20 };

static struct aiocb *long_list[LONG_LIST];
static bool garbage_in_flight[CELLS];

#define MUST(CONDITION)                                                                                                \
    do {                                                                                                               \
        if (!(CONDITION)) {                                                                                            \
            say("not true: %s (errno is %d)", #CONDITION, errno);                                                      \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

HELPER int any_number(void) { return one_in(3) ? (int)next_random() : PICK(((int[]){-1, 0, 1, 2, 3, 4, 128, INT_MAX, INT_MIN})); }

/* Never 0 to 2, nor a low number that is somebody else's. */
HELPER int any_descriptor(void) {
    if (!one_in(6)) return number_of((int)below(SLOTS));
    return PICK(((int[]){-1, INT_MIN, INT_MAX, 999999, (int)(next_random() | 0x10000), -(int)below(1000)}));
}

/* No function and no signal but those that do no harm. */
HELPER void tame(struct sigevent *event) {
    if (one_in(2)) event->sigev_notify = PICK(((int[]){SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID, 3, -1}));
    switch (event->sigev_notify) {
    case SIGEV_THREAD:
        event->sigev_notify_function = note_thread;
        event->sigev_notify_attributes = one_in(2) ? &thread_attributes : NULL;
        break;
    case SIGEV_SIGNAL: case SIGEV_THREAD_ID:
        event->sigev_signo = PICK(((int[]){0, -1, 65, 1000, INT_MAX, INT_MIN, SIGRTMIN, SIGRTMIN + 1}));
    }
}

/* Random bytes; then some fields that make sense, so that some calls come further. */
HELPER void fill_with_garbage(struct cell *cell) {
    struct aiocb *cb = &cell->cb;
    for (size_t i = 0; i < sizeof *cb; i++) ((unsigned char *)cb)[i] = (unsigned char)next_random();
    cb->aio_fildes = any_descriptor();
    if (one_in(4)) cb->aio_fildes = (int)(next_random() | 0x10000);
    if (one_in(2)) cb->aio_lio_opcode = PICK(((int[]){LIO_READ, LIO_WRITE, LIO_NOP, 77}));
    if (!one_in(4)) cb->aio_reqprio = (int)below(AIO_PRIO_DELTA_MAX + 1);
    if (one_in(2)) cb->aio_offset = (off_t)below(1 << 20);
    if (!one_in(4)) cb->aio_nbytes = PICK(((size_t[]){0, below(100), below(100000), SIZE_MAX, SSIZE_MAX, 1u << 31, next_random()}));
    /* Of what is no memory, or is the cell's: never of what is in use by something else. */
    cb->aio_buf = PICK(((void *[]){NULL, (void *)8, no_memory, (void *)-4096, (void *)(next_random() | 1ull << 63),
                                   (void *)(next_random() >> 8 | 1ull << 55), cell->buffer, cell->buffer + below(BUFFER),
                                   cell->buffer + BUFFER - below(16), read_only_memory}));
    if (one_in(3)) cb->__error_code = EINPROGRESS;
    tame(&cb->aio_sigevent);
    cell->asked = *cb;
}

/* One that the program has: in flight, ended, or never a request. */
HELPER struct aiocb *any_block(void) { return one_in(20) ? NULL : &cells[below(CELLS)].cb; }

/* A time that does not last. */
HELPER struct timespec any_time(void) {
    long nanoseconds = PICK(((long[]){-1, 1000000000, LONG_MAX, LONG_MIN, 0, 1, 100000, (long)next_random()}));
    bool is_one = nanoseconds >= 0 && nanoseconds < 1000000000;
    return (struct timespec){is_one && nanoseconds > 200000 ? -1 : is_one ? 0 : (time_t)next_random(), nanoseconds};
}

HELPER int any_count(void) {
    return PICK(((int[]){0, 1, 2, 7, CELLS, LONG_LIST, LONG_LIST - 1, -1, INT_MIN, -1000000, (int)(next_random() | 1ull << 31)}));
}

/* The long list: mostly null, with some blocks in it, none of them twice. */
HELPER void fill_list(bool only_nops) {
    memset(long_list, 0, 64 * sizeof *long_list);
    for (int i = 0; i < CELLS; i++) {
        if (garbage_in_flight[i] || one_in(2)) continue;
        fill_with_garbage(&cells[i]);
        if (only_nops) cells[i].cb.aio_lio_opcode = LIO_NOP;
        cells[i].asked = cells[i].cb;
        garbage_in_flight[i] = true;
        long_list[below(2) * 24 + (unsigned)i] = &cells[i].cb;
    }
}

/* A request goes on when its descriptor is closed, and can be cancelled only by a number that means something. */
HELPER void cancel_whatever_it_takes(struct aiocb *cb) {
    if (aio_cancel(cb->aio_fildes, cb) >= 0 || errno != EBADF) return;
    int null = open("/dev/null", O_RDWR);
    SET_UP(null >= 0 && dup2(null, cb->aio_fildes) == cb->aio_fildes);
    aio_cancel(cb->aio_fildes, cb);
    close(cb->aio_fildes);
    close(null);
}

/* All that may be in flight is cancelled or ends; nothing hangs; nothing is damaged. */
HELPER void settle(void) {
    for (int slot = 0; slot < SLOTS; slot++)
        if (slots[slot].kind != CLOSED) MUST(aio_cancel(number_of(slot), NULL) >= 0);
    for (int i = 0; i < CELLS; i++) {
        const struct aiocb *cb = &cells[i].cb;
        if (garbage_in_flight[i]) {
            int naps = 0;
            while (aio_error(cb) == EINPROGRESS && naps < PATIENCE_S * 1000) {
                /* Again and again: what is just being carried out in part is not cancelled, and then goes on waiting. */
                cancel_whatever_it_takes(&cells[i].cb);
                aio_suspend(&cb, 1, &(struct timespec){0, 1000000});
                naps++;
            }
            if (aio_error(cb) == EINPROGRESS)
                say("b%d hangs: fd %d, offset %lld, %zu bytes", i, cb->aio_fildes, (long long)cb->aio_offset, cb->aio_nbytes);
            MUST(aio_error(cb) != EINPROGRESS);
            aio_return(&cells[i].cb);
        }
        garbage_in_flight[i] = false;
        MUST(guards_stand(&cells[i]));
    }
    fetch_signals();
    atomic_store(&events_begun, 0);
}

/* A request that was not accepted leaves its block as it found it, in progress for ever if that is what it said. */
HELPER void submit_garbage(void) {
    unsigned i = (unsigned)below(CELLS);
    struct cell *cell = &cells[i];
    if (garbage_in_flight[i]) return;
    fill_with_garbage(cell);
    volatile uint64_t which = below(5);
    int result = which < 2 ? aio_read(&cell->cb) : which < 4 ? aio_write(&cell->cb) : aio_fsync(any_number(), &cell->cb);
    garbage_in_flight[i] = result == 0;
    if (result != 0) MUST(errno == EINVAL || errno == EBADF || errno == EAGAIN);
    MUST(fields_stand(cell));
}

HELPER void garbage_call(void) {
    struct timespec time = any_time();
    struct aiocb *block = any_block();
    switch (below(12)) {
    case 0: MUST(aio_error(block) >= -1 || block != NULL); break;
    case 1: aio_return(block); break;
    case 2: aio_cancel(any_descriptor(), block); break;
    case 3: aio_cancel(block == NULL ? -1 : block->aio_fildes, block); break;
    case 4: aio_suspend((const struct aiocb *const[]){block, NULL, any_block()}, (int)below(4), &time); break;
    case 5: {
        int count = any_count();
        memset(long_list, 0, 64 * sizeof *long_list);
        long_list[0] = any_block(), long_list[63] = any_block();
        aio_suspend((const struct aiocb *const *)long_list, count, &time);
        break;
    }
    case 6: {
        int mode = one_in(4) ? any_number() : LIO_NOWAIT, count = any_count();
        struct sigevent event;
        for (size_t i = 0; i < sizeof event; i++) ((unsigned char *)&event)[i] = (unsigned char)next_random();
        tame(&event);
        bool only_nops = mode == LIO_WAIT; /* what is in it might wait for ever */
        bool before[CELLS];
        memcpy(before, garbage_in_flight, sizeof before);
        fill_list(only_nops);
        errno = 0;
        int result = lio_listio(mode, long_list, count, one_in(4) ? NULL : &event);
        MUST(result == 0 || errno == EINVAL || errno == EAGAIN || errno == EIO);
        for (int i = 0; i < CELLS; i++) {
            /* In flight is what the call has seen and not refused. */
            bool seen = false;
            for (int at = 0; at < 64 && at < count; at++) seen |= long_list[at] == &cells[i].cb;
            bool is_request = (mode == LIO_WAIT || mode == LIO_NOWAIT) && seen && cells[i].asked.aio_lio_opcode != LIO_NOP;
            if (!before[i]) garbage_in_flight[i] = is_request;
        }
        break;
    }
    case 7: {
        struct aioinit init;
        for (size_t i = 0; i < sizeof init; i++) ((unsigned char *)&init)[i] = (unsigned char)next_random();
        aio_init(&init);
        break;
    }
    case 8: if (one_in(4)) close_slot((int)below(SLOTS)); break;
    case 9: if (one_in(4)) open_slot((int)below(SLOTS)); break;
    default: submit_garbage();
    }
}

static void garbage_step(void) {
    for (int i = 0; i < 40; i++) garbage_call();
    settle();
    /* And it still works. */
    char text[5] = "";
    struct aiocb cb = {.aio_fildes = open("known", O_RDWR | O_CREAT, 0600), .aio_buf = text, .aio_nbytes = 5};
    const struct aiocb *list[] = {&cb};
    cb.aio_sigevent.sigev_notify = SIGEV_NONE;
    MUST(pwrite(cb.aio_fildes, "known", 5, 0) == 5);
    MUST(aio_read(&cb) == 0);
    MUST(aio_suspend(list, 1, &(struct timespec){PATIENCE_S, 0}) == 0);
    MUST(aio_return(&cb) == 5 && memcmp(text, "known", 5) == 0);
    close(cb.aio_fildes);
}

#endif
