/*
 * Plays a random sequence of AIO calls, and writes down everything that is determined about it: played on two AIOs, the
 * same seed gives the same transcript. `tests/support/fuzz.rs` compares them.
 *
 *     main play SEED STEPS       the transcript; STEPS is such as 0-39, or 3,7,12-14: the others are left out
 *     main garbage SEED STEPS    what no program should do: see garbage.h
 */
#include "garbage.h"
#include "steps.h"

static void *run_step(void *arg) {
    void (*step)(void) = *(void (**)(void))arg;
    step();
    return NULL;
}

static void *sleep_for_ever(void *arg) {
    for (;;) pause();
    return arg;
}

/* Some steps are taken by another thread, which makes a difference to an AIO that cares which thread a ring is of. */
static void take(void (*step)(void)) {
    pthread_t thread;
    if (!one_in(12)) {
        step();
        return;
    }
    SET_UP(pthread_create(&thread, NULL, run_step, &step) == 0);
    SET_UP(pthread_join(thread, NULL) == 0);
}

static void make_files(void) {
    static const size_t sizes[FILES] = {LANE * LANES, 100000, 0};
    static uint64_t words[LANE * LANES / 8];
    for (int file = 0; file < FILES; file++) {
        int fd = open(file_name(file), O_RDWR | O_CREAT | O_TRUNC, 0600);
        for (size_t i = 0; i < COUNT(words); i++) words[i] = next_random();
        SET_UP(fd >= 0 && write(fd, words, sizes[file]) == (ssize_t)sizes[file]);
        close(fd);
    }
}

/* Takes the steps that a list such as 3,7,12-14 names. False if it is none. */
static bool take_steps(uint64_t seed, const char *list, void (*step)(void)) {
    while (*list != '\0') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (end == list) return false;
        if (*end == '-') last = strtoul(end + 1, &end, 10);
        for (unsigned long i = first; i <= last; i++) {
            step_number = (unsigned)i;
            seed_random(seed, i + 2);
            take(step);
        }
        if (*end == ',') end++;
        list = end;
    }
    return true;
}

int main(int argc, char **argv) {
    bool garbage = argc == 4 && strcmp(argv[1], "garbage") == 0;
    if (argc != 4 || (!garbage && strcmp(argv[1], "play") != 0)) {
        fprintf(stderr, "usage: %s play|garbage SEED STEPS\n", argv[0]);
        return 2;
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    uint64_t seed = strtoull(argv[2], NULL, 0);
    seed_random(seed, 0);
    make_memory();
    make_files();
    prepare_events();
    for (int slot = 0; slot < SLOTS; slot++) slots[slot] = (struct slot){.kind = CLOSED, .name = "closed", .peer = -1};
    pthread_t thread;
    if (one_in(4)) SET_UP(pthread_create(&thread, NULL, sleep_for_ever, NULL) == 0);
    /* Each slot from the seed and its own number, so that what is left out later changes nothing here. */
    for (int slot = 0; slot < SLOTS; slot++)
        if (slots[slot].kind == CLOSED && !one_in(8)) open_slot(slot);
    all_closes_are_seen = garbage;
    if (!take_steps(seed, argv[3], garbage ? garbage_step : take_step)) {
        fprintf(stderr, "%s: no list of steps\n", argv[3]);
        return 2;
    }
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    say_events(); /* none is left over */
    say("end");
    return 0;
}
