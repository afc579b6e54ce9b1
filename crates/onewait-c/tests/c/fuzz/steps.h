/*
 * steps.h - what a run is made of: batches of requests, lists, requests that stay in flight for a while, questions that
 * need no request, and changes of the descriptors in between.
 */
#ifndef STEPS_H
#define STEPS_H

#include "request.h"

#include <sys/resource.h>

static const struct timespec times_that_are_over[] = {{0, 0}, {0, 1}, {0, 1500000}, {-1, 0}, {-1, 999999999}, {INT64_MIN, 5}};

HELPER void observe(const struct batch *batch) {
    for (int i = 0; i < batch->count; i++) say_result(&batch->request[i]);
    say_events();
}

HELPER int submit(struct request *request) {
    struct aiocb *cb = &request->cell->cb;
    errno = 0;
    int result = request->action == READ    ? aio_read(cb)
                 : request->action == WRITE ? aio_write(cb)
                                            : aio_fsync(request->fsync_op, cb);
    say_request(request, "aio_", result, error_of(result));
    if (result == 0 && request->notifies) events_expected++;
    return result;
}

/* One or several requests, by a call each. */
HELPER void step_requests(void) {
    struct batch batch;
    begin_batch(&batch);
    uint64_t count = one_in(2) ? 1 : 2 + below(MOST_REQUESTS - 1);
    /* Lines are not written under the limit: it is for the requests. */
    struct rlimit before, limit;
    SET_UP(getrlimit(RLIMIT_FSIZE, &before) == 0);
    limit = before;
    limit.rlim_cur = below(8) * 10000;
    bool limited = count == 1 && one_in(10);
    if (limited) say("at most %llu bytes a file", (unsigned long long)limit.rlim_cur);
    for (uint64_t i = 0; i < count; i++) {
        struct request *request = add_request(&batch, true, count == 1);
        if (limited) {
            struct aiocb *cb = &request->cell->cb;
            SET_UP(setrlimit(RLIMIT_FSIZE, &limit) == 0);
            errno = 0;
            int result = request->action == READ    ? aio_read(cb)
                         : request->action == WRITE ? aio_write(cb)
                                                    : aio_fsync(request->fsync_op, cb);
            int error = error_of(result);
            wait_for_all(&batch);
            SET_UP(setrlimit(RLIMIT_FSIZE, &before) == 0);
            say_request(request, "aio_", result, error);
            if (result == 0 && request->notifies) events_expected++;
        } else {
            submit(request);
        }
    }
    if (!limited) wait_for_all(&batch);
    observe(&batch);
}

/* A write to that slot. What was chosen for it before does not matter. */
HELPER void write_to(struct batch *batch, int slot, size_t bytes) {
    struct request *request = add_request(batch, false, false);
    struct aiocb *cb = &request->cell->cb;
    request->action = WRITE, request->slot = slot, request->lead = 0, request->buffer_name = "good";
    memset(request->cell->buffer, (int)next_random(), BUFFER);
    cb->aio_fildes = number_of(slot), cb->aio_buf = request->cell->buffer, cb->aio_reqprio = batch->priority;
    cb->aio_offset = 0, cb->aio_nbytes = bytes;
    request->cell->asked = *cb;
    submit(request);
}

/* Appends on one descriptor, of all sizes, which have an order; O_APPEND may be new to it, and to what was learned of it
 * by a write before. */
HELPER void step_appends(void) {
    int slot = (int)below(SLOTS);
    for (int tries = 0; slots[slot].kind != REGULAR || !slots[slot].writes; tries++, slot = (slot + 1) % SLOTS) {
        if (tries < SLOTS) continue;
        say("no slot takes appends");
        return;
    }
    int fd = number_of(slot);
    int flags = fcntl(fd, F_GETFL);
    if (one_in(2)) {
        struct batch before;
        say("s%d (%s) has flag append cleared: %d", slot, slots[slot].name, fcntl(fd, F_SETFL, flags & ~O_APPEND & ~O_DIRECT));
        begin_batch(&before);
        write_to(&before, slot, PAGE);
        wait_for_all(&before);
        observe(&before);
    }
    say("s%d (%s) has flag append set: %d", slot, slots[slot].name, fcntl(fd, F_SETFL, (flags | O_APPEND) & ~O_DIRECT));
    struct batch batch;
    begin_batch(&batch);
    for (uint64_t count = 2 + below(5); count > 0; count--)
        write_to(&batch, slot, PICK(((uint64_t[]){1 + below(100), PAGE, 2 * PAGE, below(20000)})));
    wait_for_all(&batch);
    observe(&batch);
    if (one_in(2)) say("and as it was: %d", fcntl(fd, F_SETFL, flags));
}

HELPER void step_list(void) {
    struct batch batch;
    begin_batch(&batch);
    struct aiocb *list[2 * MOST_REQUESTS] = {NULL}, nop, bad_opcode[2];
    int count = 0, used_bad = 0, mode = one_in(2) ? LIO_WAIT : LIO_NOWAIT;
    if (one_in(16)) mode = PICK(((int[]){-1, 2, 77}));
    memset(&nop, 0, sizeof nop);
    nop.aio_lio_opcode = LIO_NOP;
    for (uint64_t wanted = below(MOST_REQUESTS + 1); (uint64_t)batch.count < wanted;) {
        switch (below(10)) {
        case 0: count++; break;
        case 1: list[count++] = &nop; break;
        case 2:
            if (used_bad < 2) {
                struct aiocb *cb = &bad_opcode[used_bad];
                memset(cb, 0, sizeof *cb);
                cb->aio_lio_opcode = PICK(((int[]){5, 77, -1, 99}));
                cb->aio_fildes = PICK(((int[]){-1, number_of(0), number_of(1), 999999}));
                cb->aio_sigevent.sigev_notify = SIGEV_NONE;
                list[count++] = cb;
                used_bad++;
            }
            break;
        default: list[count++] = &add_request(&batch, false, false)->cell->cb;
        }
        if (count >= 2 * MOST_REQUESTS - 1) break;
    }
    for (int i = 0; i < batch.count; i++) {
        /* In a list the block alone says what is to be done. */
        batch.request[i].cell->asked = batch.request[i].cell->cb;
    }
    struct sigevent event;
    bool notifies = choose_event(&event, step_number * 100 + 99) && mode == LIO_NOWAIT, no_event = one_in(4);
    errno = 0;
    int result = lio_listio(mode, list, count, no_event ? NULL : &event), error = error_of(result);
    say("lio_listio, mode %d, %d entries, event %s: %d, errno %d", mode, count, no_event ? "null" : event_name(&event), result, error);
    if (mode != LIO_WAIT && mode != LIO_NOWAIT) return;
    for (int i = 0; i < batch.count; i++) {
        struct request *request = &batch.request[i];
        int priority = request->cell->asked.aio_reqprio;
        say_request(request, "list_", 0, 0);
        if (request->notifies && priority >= 0 && priority <= AIO_PRIO_DELTA_MAX) events_expected++;
    }
    if (notifies && !no_event) events_expected++;
    if (mode == LIO_WAIT)
        for (int i = 0; i < batch.count; i++)
            if (aio_error(&batch.request[i].cell->cb) == EINPROGRESS) say("in progress after LIO_WAIT");
    wait_for_all(&batch);
    for (int i = 0; i < used_bad; i++) {
        const struct aiocb *cb = &bad_opcode[i];
        while (aio_error(cb) == EINPROGRESS) aio_suspend(&cb, 1, NULL);
        aio_suspend(&cb, 1, &(struct timespec){0, 0});
        say("bad opcode %d: status %d, returned %zd", cb->aio_lio_opcode & 127, aio_error(cb), aio_return(&bad_opcode[i]));
    }
    observe(&batch);
}

/* A slot from which a read would wait, or -1. */
HELPER int silent_slot(void) {
    int first = (int)below(SLOTS);
    for (int i = 0; i < SLOTS; i++) {
        int slot = (first + i) % SLOTS;
        bool is_flow = slots[slot].kind == STREAM || slots[slot].kind == PACKETS;
        struct pollfd ready = {.fd = number_of(slot), .events = POLLIN};
        if (is_flow && slots[slot].reads && slots[slot].peer >= 0 && !does_not_wait(slot) && poll(&ready, 1, 0) == 0) return slot;
    }
    return -1;
}

HELPER void feed(const struct batch *batch, int slot, int cancelled) {
    static char bytes[PAGE];
    int peer = slots[slot].peer;
    for (int i = 0; i < PAGE; i++) bytes[i] = (char)next_random();
    if (one_in(8)) {
        say("the other end, s%d, is closed", peer);
        if (slots[slot].kind == STREAM || strcmp(slots[slot].name, "seqpacket") == 0) {
            close_slot(peer);
            return;
        }
    }
    size_t total = 0;
    for (int i = 0; i < batch->count; i++) {
        size_t one = i == cancelled ? 0 : batch->request[i].cell->asked.aio_nbytes;
        if (slots[slot].kind == PACKETS && one > 0) {
            SET_UP(write(number_of(peer), bytes + total, one) == (ssize_t)one);
            slots[slot].messages++;
        }
        total += one;
    }
    if (slots[slot].kind == STREAM) SET_UP(write(number_of(peer), bytes, total) == (ssize_t)total);
}

/* Reads for which there is nothing yet; what is said of them meanwhile; one of them may be cancelled. The first cannot
 * be: the original is busy with it. */
HELPER void step_silent(void) {
    int slot = silent_slot();
    if (slot < 0) {
        say("no slot is silent");
        return;
    }
    struct batch batch;
    begin_batch(&batch);
    int count = 1 + (int)below(4), cancelled = -1;
    for (int i = 0; i < count; i++) {
        struct cell *cell = &cells[(batch.first_cell + i) % CELLS];
        struct request *request = &batch.request[batch.count++];
        *request = (struct request){.cell = cell, .action = READ, .slot = slot, .lead = below(64), .buffer_name = "good"};
        memset(&cell->cb, 0, sizeof cell->cb);
        memset(cell->buffer, 0xee, BUFFER);
        cell->cb.aio_fildes = number_of(slot);
        cell->cb.aio_buf = cell->buffer + request->lead;
        cell->cb.aio_nbytes = 1 + below(200);
        cell->cb.aio_reqprio = batch.priority;
        request->notifies = choose_event(&cell->cb.aio_sigevent, step_number * 100 + (unsigned)i);
        cell->asked = cell->cb;
        submit(request);
    }
    const struct aiocb *list[4] = {NULL};
    for (int i = 0; i < count; i++) {
        struct aiocb *cb = &batch.request[i].cell->cb;
        list[i] = cb;
        aio_return(cb); /* what it gives now is open, but it does no harm */
        say("b%d: status %d meanwhile", (int)(batch.request[i].cell - cells), aio_error(cb));
    }
    for (uint64_t i = below(3); i > 0; i--) {
        errno = 0;
        int result = aio_suspend(list, (int)COUNT(list), &PICK(times_that_are_over));
        say("aio_suspend meanwhile: %d, errno %d", result, error_of(result));
    }
    if (one_in(4)) {
        errno = 0;
        int result = aio_cancel(number_of((slot + 1) % SLOTS), &batch.request[0].cell->cb);
        say("aio_cancel with another's descriptor: %d, errno %d", result, error_of(result));
    }
    if (one_in(3)) { /* files go on beside it */
        struct batch beside;
        begin_batch(&beside);
        beside.first_cell = batch.first_cell + 6;
        for (int i = 0; i < SLOTS; i++) beside.flow[i].is_read = beside.flow[i].is_written = true;
        struct request *request = add_request(&beside, true, true);
        bool is_flow = request->slot >= 0 && (slots[request->slot].kind == STREAM || slots[request->slot].kind == PACKETS);
        if (is_flow) {
            request->notifies = false;
        } else {
            submit(request);
            wait_for_all(&beside);
            say_result(request);
        }
    }
    if (count > 1 && one_in(2)) {
        cancelled = 1 + (int)below((uint64_t)count - 1);
        struct aiocb *cb = &batch.request[cancelled].cell->cb;
        errno = 0;
        int result = aio_cancel(number_of(slot), cb);
        say("aio_cancel of request %d: %d, errno %d, status %d", cancelled, result, error_of(result), aio_error(cb));
    }
    feed(&batch, slot, cancelled);
    wait_for_all(&batch);
    observe(&batch);
}

/* What needs no request in flight. */
HELPER void step_questions(void) {
    struct aiocb zeroed, *cb = &cells[below(CELLS)].cb;
    memset(&zeroed, 0, sizeof zeroed);
    say("a zeroed block: status %d, returned %zd", aio_error(&zeroed), aio_return(&zeroed));
    const struct aiocb *list[4] = {NULL, &zeroed, NULL, NULL}, *nothing[4] = {NULL};
    const struct timespec *time = one_in(2) ? &PICK(times_that_are_over) : NULL;
    for (int i = 0; i < 4; i++) {
        errno = 0;
        int result = i == 0   ? aio_suspend(list, 4, time)
                     : i == 1 ? aio_suspend(nothing, 4, time)
                     : i == 2 ? aio_suspend(nothing, 0, time)
                              : aio_suspend(list, PICK(((int[]){-1, INT_MIN, -100})), time);
        say("aio_suspend of nothing, %d: %d, errno %d", i, result, error_of(result));
    }
    int descriptors[] = {number_of((int)below(SLOTS)), -1, INT_MAX, 999999, cb->aio_fildes};
    for (size_t i = 0; i < COUNT(descriptors); i++)
        for (int of_block = 0; of_block < 2; of_block++) {
            errno = 0;
            int result = aio_cancel(descriptors[i], of_block ? cb : NULL);
            say("aio_cancel %zu, %s: %d, errno %d", i, of_block ? "of a block" : "of all", result, error_of(result));
        }
    errno = 0;
    struct sigevent event;
    bool notifies = choose_event(&event, step_number * 100 + 98);
    int mode = one_in(2) ? LIO_WAIT : LIO_NOWAIT, result = lio_listio(mode, (struct aiocb *[]){NULL, NULL}, (int)below(3), &event);
    say("lio_listio of nothing, mode %d, event %s: %d, errno %d", mode, event_name(&event), result, error_of(result));
    if (notifies && mode == LIO_NOWAIT) events_expected++;
    say_events();
}

/* The same number, differently: what was known of it may be wrong now. */
HELPER void step_change(void) {
    int slot = (int)below(SLOTS), fd = number_of(slot);
    switch (below(7)) {
    case 0:
        close_slot(slot);
        say("s%d is closed", slot);
        break;
    case 1: case 2:
        if (slots[slot].kind == CLOSED) break;
        int flag = slots[slot].kind == REGULAR ? PICK(((int[]){O_APPEND, O_APPEND, O_DIRECT, O_NONBLOCK})) : O_NONBLOCK;
        int result = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) ^ flag);
        say("s%d (%s) has flag %o changed: %d", slot, slots[slot].name, flag, result);
        break;
    case 3:
        if (slots[slot].kind != REGULAR || slots[slot].file >= FILES) break;
        off_t size = (off_t)PICK(((uint64_t[]){0, below(100000), below(16) * LANE, 512 * below(200)}));
        SET_UP(truncate(file_name(slots[slot].file), size) == 0);
        say("file %s has %lld bytes now", file_name(slots[slot].file), (long long)size);
        break;
    case 4:
        if (slots[slot].kind != REGULAR) break;
        fdatasync(fd);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        say("s%d is not cached", slot);
        break;
    case 5:
        if (slots[slot].kind == REGULAR) say("s%d is at %lld", slot, (long long)lseek(fd, (off_t)below(100000), SEEK_SET));
        break;
    default: open_slot(slot);
    }
}

HELPER void take_step(void) {
    switch (below(20)) {
    case 0: case 1: case 2: case 3: case 4: case 5: case 6: step_requests(); break;
    case 7: case 8: case 9: step_list(); break;
    case 10: case 11: case 12: step_silent(); break;
    case 13: step_questions(); break;
    case 17: step_appends(); break;
    case 14: case 15: case 16: step_change(); break;
    default: open_slot((int)below(SLOTS));
    }
    say_world();
}

#endif
