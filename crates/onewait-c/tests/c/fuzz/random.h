/*
 * random.h - where every choice of a run comes from.
 *
 * Each step has a generator of its own, made of the seed and the step's number: a step that is left out changes no
 * choice of the others, so that a run can be made shorter.
 */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HELPER static __attribute__((unused))

static uint64_t random_state;

/* splitmix64: good from the first value on, whatever the seed. */
HELPER uint64_t next_random(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

HELPER void seed_random(uint64_t seed, uint64_t step) {
    random_state = seed;
    random_state = next_random() ^ step * 0xd1342543de82ef95u;
    next_random();
}

/* 0 to n-1. */
HELPER uint64_t below(uint64_t n) { return next_random() % n; }

HELPER bool one_in(uint64_t n) { return below(n) == 0; }

#define COUNT(ARRAY) (sizeof(ARRAY) / sizeof *(ARRAY))
#define PICK(ARRAY) ((ARRAY)[below(COUNT(ARRAY))])

/* A checksum, eight bytes at a time. */
HELPER uint64_t sum_of(uint64_t sum, const void *data, size_t bytes) {
    const unsigned char *p = data;
    for (; bytes >= 8; p += 8, bytes -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 29;
    }
    for (; bytes > 0; p++, bytes--) sum = (sum ^ *p) * 0x100000001b3u;
    return sum;
}

#endif
