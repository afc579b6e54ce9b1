/*
 * world.h - the descriptors that a run plays with.
 *
 * A slot is a descriptor number that stays the same while what is behind it changes: the number is closed and used
 * again, in all the ways in which a program can do that.
 */
#ifndef WORLD_H
#define WORLD_H

#include "random.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 16, FIRST_NUMBER = 40, FILES = 3, LANE = 65536, LANES = 16 };

enum kind {
    CLOSED,
    REGULAR, /* one of the files, or a memfd: offsets count, nothing waits */
    STREAM,  /* a pipe or a stream socket: bytes in their order */
    PACKETS, /* a socket that keeps messages apart */
    COUNTER, /* an eventfd */
    OTHER,   /* answers at once, whatever it is asked: a directory, /dev/null, … */
};

static struct slot {
    enum kind kind;
    const char *name;
    int file;     /* for REGULAR: which of the files; a memfd is a file of its own, FILES + slot */
    int peer;     /* for what comes in pairs: the other slot, or -1 once that means something else */
    int messages; /* for PACKETS: how many wait here to be read */
    bool reads, writes;
} slots[SLOTS];

/* What cannot be set up says nothing about an AIO. */
#define SET_UP(CONDITION)                                                                                              \
    do {                                                                                                               \
        if (!(CONDITION)) {                                                                                            \
            fprintf(stderr, "%s:%d: cannot set up: %s (errno is %d)\n", __FILE__, __LINE__, #CONDITION, errno);        \
            _exit(78);                                                                                                 \
        }                                                                                                              \
    } while (0)

static unsigned step_number;

/* One line of the transcript. Line by line, so that a crash shows how far it came. */
__attribute__((format(printf, 1, 2))) HELPER void say(const char *format, ...) {
    char line[512];
    int n = snprintf(line, sizeof line - 1, "%u: ", step_number);
    va_list args;
    va_start(args, format);
    int m = vsnprintf(line + n, sizeof line - 1 - (size_t)n, format, args);
    va_end(args);
    n += m < (int)sizeof line - 2 - n ? m : (int)sizeof line - 2 - n;
    line[n++] = '\n';
    SET_UP(write(1, line, (size_t)n) == n);
}

/* The reason of a failure. What errno is after a success is nobody's business. */
HELPER int error_of(int result) { return result < 0 ? errno : 0; }

HELPER int number_of(int slot) { return FIRST_NUMBER + slot; }

HELPER const char *file_name(int file) {
    static const char *const names[FILES] = {"a", "b", "c"};
    return names[file];
}

/* The other end has lost its peer. */
HELPER void part(int slot) {
    int peer = slots[slot].peer;
    if (peer >= 0) slots[peer].peer = -1;
    slots[slot].peer = -1;
}

/* A close that goes past libc leaves what is queued at the mercy of the number, with any AIO: it is kept away from
 * requests in flight. */
static bool all_closes_are_seen;

HELPER void close_slot(int slot) {
    int fd = number_of(slot);
    part(slot);
    switch (below(4)) {
    case 0: close_range((unsigned)fd, (unsigned)fd, 0); break;
    case 1:
        if (all_closes_are_seen)
            close(fd);
        else
            syscall(SYS_close, fd);
        break;
    default: close(fd);
    }
    slots[slot] = (struct slot){.kind = CLOSED, .name = "closed", .peer = -1};
}

/* Puts an open file behind a slot's number. */
HELPER void place(int slot, int fd, struct slot what) {
    SET_UP(fd >= 0);
    int number = number_of(slot);
    if (slots[slot].kind != CLOSED && one_in(2)) close_slot(slot);
    part(slot);
    switch (below(3)) {
    case 0: SET_UP(dup2(fd, number) == number); break;
    case 1: SET_UP(dup3(fd, number, O_CLOEXEC) == number); break;
    default:
        if (slots[slot].kind != CLOSED) close_slot(slot);
        SET_UP(fcntl(fd, F_DUPFD, number) == number);
    }
    close(fd);
    what.peer = -1;
    slots[slot] = what;
}

HELPER void open_file(int slot) {
    static const struct {
        const char *name;
        int flags;
    } ways[] = {
        {"rw", O_RDWR},       {"rw", O_RDWR},   {"rw", O_RDWR}, {"append", O_RDWR | O_APPEND}, {"direct", O_RDWR | O_DIRECT},
        {"append-only", O_WRONLY | O_APPEND},   {"read-only", O_RDONLY},                       {"write-only", O_WRONLY},
        {"dsync", O_RDWR | O_DSYNC},            {"nonblock", O_RDWR | O_NONBLOCK},
        {"direct-append", O_RDWR | O_DIRECT | O_APPEND},
    };
    size_t way = below(COUNT(ways));
    int file = (int)below(FILES), access = ways[way].flags & O_ACCMODE;
    int fd = open(file_name(file), ways[way].flags);
    if (fd < 0 && errno == EINVAL) fd = open(file_name(file), ways[way].flags & ~O_DIRECT);
    place(slot, fd, (struct slot){REGULAR, ways[way].name, file, -1, 0, access != O_WRONLY, access != O_RDONLY});
}

HELPER void open_memfd(int slot) {
    int fd = memfd_create("memory", MFD_ALLOW_SEALING);
    SET_UP(ftruncate(fd, (off_t)below(3) * 50000) == 0);
    bool sealed = one_in(3);
    if (sealed) SET_UP(fcntl(fd, F_ADD_SEALS, PICK(((int[]){F_SEAL_WRITE, F_SEAL_GROW}))) == 0);
    place(slot, fd, (struct slot){REGULAR, sealed ? "sealed" : "memfd", FILES + slot, -1, 0, true, true});
}

HELPER void open_other(int slot) {
    static const char *const names[] = {"directory", "path", "/dev/null", "/dev/zero", "/dev/full", "epoll", "tcp", "/proc/version"};
    int fd = -1;
    size_t which = below(COUNT(names));
    switch (which) {
    case 0: fd = open(".", O_RDONLY | O_DIRECTORY); break;
    case 1: fd = open("a", O_PATH); break;
    case 5: fd = epoll_create1(0); break;
    case 6: fd = socket(AF_INET, SOCK_STREAM, 0); break;
    case 7: fd = open(names[which], O_RDONLY); break;
    default: fd = open(names[which], O_RDWR);
    }
    place(slot, fd, (struct slot){OTHER, names[which], 0, -1, 0, true, true});
}

/* Two slots, one for each end. */
HELPER void open_pair(int slot) {
    int ends[2], other = (slot + 1 + (int)below(SLOTS - 1)) % SLOTS, flags = one_in(3) ? O_NONBLOCK : 0;
    struct slot left = {.kind = STREAM, .reads = true, .writes = true}, right = left;
    switch (below(5)) {
    case 0:
        SET_UP(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, ends) == 0);
        left.name = right.name = "stream";
        break;
    case 1:
        SET_UP(socketpair(AF_UNIX, SOCK_DGRAM | flags, 0, ends) == 0);
        left.kind = right.kind = PACKETS, left.name = right.name = "datagrams";
        break;
    case 2:
        SET_UP(socketpair(AF_UNIX, SOCK_SEQPACKET | flags, 0, ends) == 0);
        left.kind = right.kind = PACKETS, left.name = right.name = "seqpacket";
        break;
    default:
        SET_UP(pipe2(ends, flags) == 0);
        left.name = "pipe-out", left.writes = false, right.name = "pipe-in", right.reads = false;
    }
    place(slot, ends[0], left);
    place(other, ends[1], right);
    slots[slot].peer = other, slots[other].peer = slot;
}

/* Puts something else behind a slot. */
HELPER void open_slot(int slot) {
    switch (below(10)) {
    case 0: open_memfd(slot); break;
    case 1: open_other(slot); break;
    case 2: case 3: case 4: open_pair(slot); break;
    case 5:
        place(slot, eventfd((unsigned)below(3), one_in(3) ? EFD_NONBLOCK : 0),
              (struct slot){COUNTER, "eventfd", 0, -1, 0, true, true});
        break;
    default: open_file(slot);
    }
    say("s%d is %s%s%s", slot, slots[slot].name, slots[slot].kind == REGULAR && slots[slot].file < FILES ? " " : "",
        slots[slot].kind == REGULAR && slots[slot].file < FILES ? file_name(slots[slot].file) : "");
}

HELPER off_t size_of_slot(int slot) {
    struct stat st;
    SET_UP(fstat(number_of(slot), &st) == 0);
    return st.st_size;
}

/* How much can be read at once. */
HELPER int available(int slot) {
    int bytes = 0;
    return ioctl(number_of(slot), FIONREAD, &bytes) == 0 ? bytes : 0;
}

HELPER bool does_not_wait(int slot) { return fcntl(number_of(slot), F_GETFL) & O_NONBLOCK; }

/* What can be seen of every slot and file between two steps: the next difference is then one of the next step. */
HELPER void say_world(void) {
    static char piece[LANE];
    uint64_t sum = 0;
    for (int file = 0; file < FILES; file++) {
        int fd = open(file_name(file), O_RDWR | O_CLOEXEC);
        struct stat st;
        SET_UP(fd >= 0 && fstat(fd, &st) == 0);
        if (st.st_size > (off_t)LANES * LANE) SET_UP(ftruncate(fd, (off_t)LANES * LANE) == 0);
        uint64_t of_file = (uint64_t)st.st_size;
        ssize_t n;
        for (off_t at = 0; (n = pread(fd, piece, sizeof piece, at)) > 0; at += n)
            of_file = sum_of(of_file, piece, (size_t)n);
        say("file %s has %lld bytes, sum %016llx", file_name(file), (long long)st.st_size, (unsigned long long)of_file);
        close(fd);
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t of_slot = slots[slot].kind;
        struct pollfd poll_fd = {.fd = number_of(slot), .events = POLLIN};
        if (slots[slot].kind == REGULAR) of_slot = (uint64_t)lseek(number_of(slot), 0, SEEK_CUR) << 32 ^ (uint64_t)size_of_slot(slot);
        if (slots[slot].kind == STREAM || slots[slot].kind == PACKETS || slots[slot].kind == COUNTER) {
            SET_UP(poll(&poll_fd, 1, 0) >= 0);
            of_slot = (uint64_t)poll_fd.revents << 32 | (uint64_t)(slots[slot].reads ? available(slot) : 0);
            if (poll_fd.revents || of_slot) say("s%d (%s) shows %016llx", slot, slots[slot].name, (unsigned long long)of_slot);
        }
        sum = sum_of(sum, &of_slot, 8);
    }
    say("descriptors: %016llx", (unsigned long long)sum);
}

#endif
