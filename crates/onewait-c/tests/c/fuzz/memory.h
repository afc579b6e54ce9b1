/*
 * memory.h - control blocks and buffers, with guards around them that show a stray write.
 */
#ifndef MEMORY_H
#define MEMORY_H

#include "world.h"

#include <aio.h>

enum { CELLS = 24, PAGE = 4096, GUARD = 64 };

/* A control block between two pieces of known bytes, and a buffer between two pages that cannot be touched. */
struct cell {
    unsigned char before[GUARD];
    struct aiocb cb;
    unsigned char after[GUARD];
    struct aiocb asked; /* the block as it was when the request was made */
    char *buffer;
};

enum { BUFFER = LANE + PAGE };

static struct cell cells[CELLS];
static char *no_memory, *read_only_memory;

HELPER char *map(size_t bytes, int protection) {
    char *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SET_UP(p != MAP_FAILED);
    return p;
}

HELPER void make_memory(void) {
    no_memory = map(16 * PAGE, PROT_NONE);
    read_only_memory = map(BUFFER, PROT_READ);
    for (int i = 0; i < CELLS; i++) {
        char *region = map(BUFFER + 2 * PAGE, PROT_NONE);
        SET_UP(mprotect(region + PAGE, BUFFER, PROT_READ | PROT_WRITE) == 0);
        cells[i].buffer = region + PAGE;
        memset(cells[i].before, 0xb5, GUARD);
        memset(cells[i].after, 0xa7, GUARD);
    }
}

HELPER bool guards_stand(const struct cell *cell) {
    for (int i = 0; i < GUARD; i++)
        if (cell->before[i] != 0xb5 || cell->after[i] != 0xa7) return false;
    return true;
}

/* Whether the program's fields are what they were. (glibc itself changes the opcode and the priority.) */
HELPER bool fields_stand(const struct cell *cell) {
    const struct aiocb *now = &cell->cb, *then = &cell->asked;
    return now->aio_fildes == then->aio_fildes && now->aio_buf == then->aio_buf && now->aio_nbytes == then->aio_nbytes &&
           now->aio_offset == then->aio_offset &&
           memcmp(&now->aio_sigevent, &then->aio_sigevent, sizeof now->aio_sigevent) == 0;
}

#endif
