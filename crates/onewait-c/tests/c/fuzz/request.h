/*
 * request.h - one random request: what is asked, whatever it is, and what came of it.
 *
 * Every request of a batch has a result that does not depend on time. On a file each has a lane of its own; reads stay
 * in front of what writes of the same batch append; a file is used either past the page cache or through it. Something
 * without positions is either read from or written to, reads find something, writes find room. What does not fit
 * becomes a request of 0 bytes.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include "events.h"

#include <limits.h>

enum { MOST_REQUESTS = 12, ROOM = 16384, MOST_MESSAGES = 6 };

enum action { READ, WRITE, FSYNC };

struct request {
    struct cell *cell;
    enum action action;
    int slot;    /* or -1: a number that is not one of the slots' */
    int fsync_op;
    size_t lead; /* where in the cell's buffer; meaningless for a buffer from elsewhere */
    const char *buffer_name;
    bool notifies; /* it asks for an event */
};

/* What the requests of a batch have claimed so far. */
struct batch {
    int count;
    struct request request[MOST_REQUESTS];
    int first_cell, priority;
    struct {
        bool is_used, is_direct, may_write, is_written;
        int append, lanes;
        off_t size;
    } file[FILES + SLOTS];
    /* Of what flows into a slot. */
    struct {
        bool is_read, is_written;
        int left, room;
    } flow[SLOTS];
    bool is_counted[SLOTS];
};

HELPER void begin_batch(struct batch *batch) {
    *batch = (struct batch){.first_cell = (int)below(CELLS), .priority = (int)below(AIO_PRIO_DELTA_MAX + 1)};
    for (int file = 0; file < FILES; file++) {
        struct stat st;
        SET_UP(stat(file_name(file), &st) == 0);
        batch->file[file].size = st.st_size;
        batch->file[file].may_write = one_in(2);
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        if (slots[slot].kind == REGULAR && slots[slot].file >= FILES) batch->file[slots[slot].file].size = size_of_slot(slot);
        batch->file[FILES + slot].may_write = one_in(2);
        batch->flow[slot].left = slots[slot].kind == PACKETS ? slots[slot].messages : available(slot);
        batch->flow[slot].room = slots[slot].kind == PACKETS ? MOST_MESSAGES - slots[slot].messages : ROOM - available(slot);
    }
}

static const size_t beyond_lengths[] = {SIZE_MAX, SIZE_MAX - 4095, (size_t)SSIZE_MAX + 1, SSIZE_MAX};

/* A buffer that is not memory, or not all of it. */
HELPER void choose_bad_buffer(struct request *request) {
    struct aiocb *cb = &request->cell->cb;
    static const char *const names[] = {"null", "8", "forbidden", "top", "beyond", "half", "read-only"};
    size_t which = below(request->action == READ ? 7 : 6);
    request->buffer_name = names[which];
    switch (which) {
    case 0: cb->aio_buf = NULL; break;
    case 1: cb->aio_buf = (void *)8; break;
    case 2: cb->aio_buf = no_memory; break;
    case 3: cb->aio_buf = (void *)-4096; break;
    case 4: cb->aio_buf = (void *)0x7fffffffffffff; break;
    case 5:
        request->lead = BUFFER - 1 - below(cb->aio_nbytes < BUFFER ? cb->aio_nbytes + 1 : BUFFER);
        cb->aio_buf = request->cell->buffer + request->lead;
        break;
    default: cb->aio_buf = read_only_memory;
    }
}

HELPER void shape_regular(struct batch *batch, struct request *request, bool is_alone) {
    struct aiocb *cb = &request->cell->cb;
    const struct slot *slot = &slots[request->slot];
    int flags = fcntl(cb->aio_fildes, F_GETFL), append = flags & O_APPEND ? request->slot : -1;
    bool is_direct = flags & O_DIRECT, writes = request->action == WRITE && slot->writes, aligned = is_direct && !one_in(4);
    typeof(batch->file[0]) *file = &batch->file[slot->file];
    if (file->is_used && file->is_direct != is_direct) return;
    if (!is_alone && writes && (!file->may_write || (file->is_written && file->append != append))) return;
    file->is_used = true, file->is_direct = is_direct;
    if (writes) file->is_written = true, file->append = append;
    if (writes && append >= 0) cb->aio_reqprio = batch->priority; /* appends keep their order only if that is one */
    off_t lane = (off_t)((batch->first_cell + file->lanes++) % LANES) * LANE;
    off_t within = (off_t)PICK(((uint64_t[]){0, 512 * below(120), 4096 * below(15), below(60000)}));
    size_t bytes = PICK(((uint64_t[]){1 + below(600), 512 * below(32), 4096 * (1 + below(16)), below(LANE), LANE}));
    if (aligned) within &= -512, bytes &= ~(size_t)511;
    if (bytes > (size_t)(LANE - within)) bytes = (size_t)(LANE - within);
    off_t end = lane + within + (off_t)bytes;
    if (!is_alone && request->action == READ && file->may_write && end > file->size)
        bytes = lane + within < file->size ? (size_t)(file->size - lane - within) : 0;
    if (writes && !aligned && one_in(3)) within &= -PAGE, bytes = (bytes | 1) & -(size_t)PAGE; /* whole pages */
    cb->aio_offset = lane + within;
    cb->aio_nbytes = bytes;
    if (aligned) cb->aio_buf = request->cell->buffer, request->lead = 0;
    if (one_in(16)) cb->aio_offset = PICK(((off_t[]){-1, -2, -4096, INT64_MIN}));
    if (one_in(30)) cb->aio_offset = INT64_MAX, cb->aio_nbytes = 1 + below(9);
    if (one_in(30)) cb->aio_nbytes = PICK(beyond_lengths);
    if (is_alone && one_in(8)) cb->aio_offset = PICK(((off_t[]){1LL << 31, 1LL << 40, INT64_MAX - 4096, 1LL << 62}));
    if (is_alone && one_in(12)) cb->aio_nbytes = PICK(((size_t[]){1 << 17, (1u << 31) - 1, 1u << 31, (1LL << 32) + 100}));
    if (one_in(12)) choose_bad_buffer(request);
}

/* A stream or messages: reads must find something, writes must find room. */
HELPER void shape_flow(struct batch *batch, struct request *request) {
    struct aiocb *cb = &request->cell->cb;
    int slot = request->slot, peer = slots[slot].peer;
    bool packets = slots[slot].kind == PACKETS, nonblock = does_not_wait(slot);
    size_t bytes = PICK(((uint64_t[]){1, 1 + below(100), 1 + below(4096), 4096}));
    cb->aio_reqprio = batch->priority; /* the order on a stream is that of the calls only if this is one */
    if (request->action == READ) {
        typeof(batch->flow[0]) *flow = &batch->flow[slot];
        if (slots[slot].reads && flow->is_written) return;
        bool ends = !nonblock && flow->left == 0 && peer < 0 && (!packets || strcmp(slots[slot].name, "seqpacket") == 0);
        if (slots[slot].reads && flow->left <= 0 && !nonblock && !ends) return;
        flow->is_read = true;
        flow->left -= packets ? 1 : (int)bytes;
        if (flow->left < 0) flow->left = 0;
    } else if (peer >= 0 && slots[slot].writes) {
        typeof(batch->flow[0]) *flow = &batch->flow[peer];
        int takes = packets ? 1 : (int)bytes;
        if (flow->is_read || flow->room < takes) {
            /* An empty write would be a message. */
            request->action = READ;
            return;
        }
        flow->is_written = true;
        flow->room -= takes;
        if (one_in(20)) bytes = 0;
    } else if (packets) {
        /* A socket that finds its peer dead forgets what it was to read. */
        if (batch->flow[slot].is_read) {
            request->action = READ;
            return;
        }
        batch->flow[slot].is_written = true;
    }
    cb->aio_nbytes = bytes;
    cb->aio_offset = (off_t)PICK(((uint64_t[]){0, below(1 << 20), 1ull << 40}));
    if (one_in(20)) cb->aio_offset = -1 - (off_t)below(5000);
    if (one_in(30)) cb->aio_nbytes = PICK(beyond_lengths);
    if (!packets && one_in(20)) {
        choose_bad_buffer(request);
        if (strcmp(request->buffer_name, "half") == 0) cb->aio_buf = NULL, request->buffer_name = "null";
    }
}

HELPER void shape_counter(struct batch *batch, struct request *request) {
    struct aiocb *cb = &request->cell->cb;
    struct pollfd ready = {.fd = cb->aio_fildes, .events = POLLIN};
    SET_UP(poll(&ready, 1, 0) >= 0);
    cb->aio_nbytes = 1 + below(7);
    if (batch->is_counted[request->slot]) return;
    batch->is_counted[request->slot] = true;
    if (request->action == WRITE || ready.revents & POLLIN || does_not_wait(request->slot)) cb->aio_nbytes = 8 + below(9);
    if (one_in(12)) choose_bad_buffer(request);
}

HELPER void shape_other(struct request *request) {
    struct aiocb *cb = &request->cell->cb;
    cb->aio_nbytes = PICK(((uint64_t[]){0, 1 + below(100), 4096, below(LANE), 1ull << 31, 1ull << 32, PICK(beyond_lengths)}));
    cb->aio_offset = (off_t)PICK(((uint64_t[]){0, below(50), 1ull << 40, (uint64_t)-1 - below(5), INT64_MAX}));
    if (one_in(8)) choose_bad_buffer(request);
}

/* Fills in one more request of a batch. */
HELPER struct request *add_request(struct batch *batch, bool may_sync, bool is_alone) {
    struct request *request = &batch->request[batch->count];
    struct cell *cell = &cells[(batch->first_cell + batch->count) % CELLS];
    struct aiocb *cb = &cell->cb;
    *request = (struct request){.cell = cell, .action = one_in(2) ? READ : WRITE, .slot = (int)below(SLOTS), .buffer_name = "good"};
    if (may_sync && one_in(12)) request->action = FSYNC;
    /* What is left from before is no business of the next request, nor are random bytes. */
    if (one_in(4)) memset(cb, 0, sizeof *cb);
    if (one_in(4))
        for (size_t i = 0; i < sizeof *cb; i++) ((unsigned char *)cb)[i] = (unsigned char)(next_random() | 0x80);
    request->lead = one_in(2) ? 0 : PICK(((uint64_t[]){below(64), 512, below(PAGE)}));
    memset(cell->buffer, 0xee, BUFFER);
    cb->aio_fildes = number_of(request->slot);
    cb->aio_buf = cell->buffer + request->lead;
    cb->aio_nbytes = 0;
    cb->aio_offset = (off_t)below(1 << 20);
    cb->aio_reqprio = (int)below(AIO_PRIO_DELTA_MAX + 1);
    request->notifies = choose_event(&cb->aio_sigevent, step_number * 100 + (unsigned)batch->count);
    if (one_in(16)) request->slot = -1, cb->aio_fildes = PICK(((int[]){-1, INT_MIN, INT_MAX, 999999, AT_FDCWD}));
    if (request->action == FSYNC) {
        request->fsync_op = PICK(((int[]){O_SYNC, O_SYNC, O_DSYNC, O_DSYNC, O_DSYNC, 0, 77, -1}));
    } else if (request->slot < 0 || slots[request->slot].kind == CLOSED || slots[request->slot].kind == OTHER) {
        shape_other(request);
    } else {
        switch (slots[request->slot].kind) {
        case REGULAR: shape_regular(batch, request, is_alone); break;
        case COUNTER: shape_counter(batch, request); break;
        default: shape_flow(batch, request);
        }
    }
    if (request->action == WRITE && strcmp(request->buffer_name, "half") != 0)
        for (size_t i = 0; i < BUFFER; i += 8) memcpy(cell->buffer + i, &(uint64_t){next_random()}, 8);
    if (request->slot >= 0 && slots[request->slot].kind == COUNTER && request->buffer_name[0] == 'g')
        memcpy(cell->buffer + request->lead, &(uint64_t){below(4)}, 8);
    if (one_in(20)) cb->aio_reqprio = PICK(((int[]){-1, AIO_PRIO_DELTA_MAX + 1, INT_MAX, INT_MIN}));
    cb->aio_lio_opcode = request->action == READ ? LIO_READ : LIO_WRITE;
    cell->asked = *cb;
    batch->count++;
    return request;
}

HELPER void say_request(const struct request *request, const char *call, int result, int error) {
    static const char *const actions[] = {"read", "write", "fsync"};
    const struct aiocb *asked = &request->cell->asked;
    char target[48];
    if (request->slot < 0)
        snprintf(target, sizeof target, "fd %d", asked->aio_fildes);
    else
        snprintf(target, sizeof target, "s%d (%s)", request->slot, slots[request->slot].name);
    say("b%d %s%s: %s, offset %lld, %zu bytes, buffer %s +%zu, priority %d, op %d, event %s: %d, errno %d",
        (int)(request->cell - cells), call, actions[request->action], target, (long long)asked->aio_offset,
        asked->aio_nbytes, request->buffer_name, request->lead, asked->aio_reqprio,
        request->action == FSYNC ? request->fsync_op : asked->aio_lio_opcode, event_name(&asked->aio_sigevent), result, error);
}

/* The result, twice, and what is in memory: the bytes that were read, and that nothing else has changed. */
HELPER void say_result(const struct request *request) {
    struct cell *cell = request->cell;
    int status = aio_error(&cell->cb);
    ssize_t first = aio_return(&cell->cb), second = aio_return(&cell->cb);
    bool is_own = cell->asked.aio_buf == cell->buffer + request->lead;
    uint64_t data = 0, around = 0;
    size_t got = request->action == READ && is_own && status == 0 && first > 0 ? (size_t)first : 0;
    /* What was not reported may be written to, but nothing outside of what was asked for. */
    size_t asked = request->action == READ && is_own ? cell->asked.aio_nbytes : 0;
    size_t lead = is_own ? request->lead : 0;
    if (got > BUFFER - lead) got = BUFFER - lead;
    if (asked > BUFFER - lead) asked = BUFFER - lead;
    data = sum_of(data, cell->buffer + lead, got);
    around = sum_of(around, cell->buffer, lead);
    around = sum_of(around, cell->buffer + lead + asked, BUFFER - lead - asked);
    say("b%d: status %d, returned %zd %zd, data %016llx, around %016llx%s%s", (int)(cell - cells), status, first, second,
        (unsigned long long)data, (unsigned long long)around, guards_stand(cell) ? "" : ", GUARD DAMAGED",
        fields_stand(cell) ? "" : ", FIELDS CHANGED");
    /* Messages are counted by what was done. */
    if (request->slot < 0 || slots[request->slot].kind != PACKETS) return;
    int peer = slots[request->slot].peer;
    if (request->action == WRITE && peer < 0) slots[request->slot].messages = 0;
    if (status != 0) return;
    if (request->action == WRITE && peer >= 0) slots[peer].messages++;
    if (request->action == READ && cell->asked.aio_nbytes > 0 && slots[request->slot].messages > 0) slots[request->slot].messages--;
}

/* Waits for the end of all requests, in one of the ways in which a program can. */
HELPER void wait_for_all(const struct batch *batch) {
    const struct aiocb *list[2 * MOST_REQUESTS] = {NULL};
    uint64_t way = below(4);
    for (int i = 0; i < batch->count; i++) {
        const struct aiocb *cb = list[2 * i] = &batch->request[i].cell->cb;
        while (way != 1 && aio_error(cb) == EINPROGRESS) {
            if (way == 0) aio_suspend(&cb, 1, NULL);
            if (way == 2) aio_suspend(&cb, 1, &(struct timespec){5, 0});
            if (way == 3) sched_yield();
        }
    }
    for (int left = way == 1 ? batch->count : 0; left > 0;) {
        aio_suspend(list, 2 * batch->count, NULL);
        left = 0;
        for (int i = 0; i < batch->count; i++) {
            const struct aiocb *cb = &batch->request[i].cell->cb;
            bool done = aio_error(cb) != EINPROGRESS;
            list[2 * i] = done ? NULL : cb;
            left += !done;
        }
    }
    /* The original looks at a block once more after its end, with its lock held, which this call takes too: from here
     * on the blocks are ours. */
    for (int i = 0; i < batch->count; i++) {
        const struct aiocb *cb = &batch->request[i].cell->cb;
        if (aio_suspend(&cb, 1, &(struct timespec){0, 0}) != 0) say("aio_suspend of a request that has ended: errno %d", errno);
    }
}

#endif
