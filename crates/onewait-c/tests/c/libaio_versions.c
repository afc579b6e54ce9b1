/*
 * Both generations of libaio's symbols. Programs that were linked long ago ask for io_getevents@LIBAIO_0.1, which has
 * other parameters than the one of today.
 */
#include "libaio_check.h"

#include <dlfcn.h>

/* What the compiler calls by these names is linked to the old versions. */
int old_getevents(io_context_t ctx, long nr, struct io_event *events, const struct timespec *timeout);
int old_cancel(io_context_t ctx, struct iocb *cb);
int old_queue_wait(io_context_t ctx, struct timespec *timeout);
int new_queue_wait(io_context_t ctx, struct timespec *timeout);
__asm__(".symver old_getevents, io_getevents@LIBAIO_0.1");
__asm__(".symver old_cancel, io_cancel@LIBAIO_0.1");
__asm__(".symver old_queue_wait, io_queue_wait@LIBAIO_0.1");
__asm__(".symver new_queue_wait, io_queue_wait@LIBAIO_0.4");

static char buffer[BLOCK];

TEST(same, versions_old_getevents_waits_for_one) {
    io_context_t ctx = new_context(8);
    int fd = pattern_file("data", BLOCK);
    struct iocb cbs[3] = {read_of(fd, buffer, BLOCK, 0), read_of(fd, buffer, BLOCK, 0), read_of(fd, buffer, BLOCK, 0)};
    struct iocb *list[] = {&cbs[0], &cbs[1], &cbs[2]};
    struct io_event events[4];
    CHECK_GIVES(io_submit(ctx, 3, list), 3);
    for (int have = 0; have < 3;) {
        int result = old_getevents(ctx, 4, events, NULL);
        CHECK(result >= 1 && result <= 3 - have);
        for (int i = 0; i < result; i++) CHECK_EQ(events[i].res, BLOCK);
        have += result;
    }
    struct timespec soon = {0, 1000000}, now = {0, 0};
    CHECK_GIVES(old_getevents(ctx, 4, events, &soon), 0);
    CHECK_GIVES(old_getevents(ctx, 4, events, &now), 0);
    CHECK_GIVES(old_getevents(ctx, 0, events, NULL), -EINVAL); /* one is more than none */
}

TEST(same, versions_old_cancel_needs_no_event) {
    io_context_t ctx = new_context(8);
    int ends[2];
    silent_pipe(ends);
    struct iocb cb = poll_of(ends[0], POLLIN);
    CHECK_GIVES(old_cancel(ctx, &cb), -EINVAL);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_GIVES(old_cancel(ctx, &cb), -EINPROGRESS);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, 0);
}

/* Neither takes anything, and neither waits: libaio asks for none of none. */
TEST(same, versions_both_queue_waits_give_zero) {
    io_context_t ctx = new_context(8);
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0);
    struct timespec soon = {0, 1000000};
    CHECK_GIVES(old_queue_wait(ctx, &soon), 0);
    CHECK_GIVES(new_queue_wait(ctx, &soon), 0);
    CHECK_GIVES(old_queue_wait(ctx, NULL), 0);
    CHECK_GIVES(new_queue_wait(ctx, NULL), 0);
    CHECK_GIVES(submit(ctx, &cb), 1);
    CHECK_GIVES(old_queue_wait(ctx, NULL), 0);
    CHECK_GIVES(new_queue_wait(ctx, NULL), 0);
    struct io_event event;
    reap(ctx, 1, &event);
    CHECK_EQ(event.res, BLOCK);
}

/* The table of the symbols of libaio 0.3.113. */
static const struct {
    const char *name, *version;
} symbols[] = {
    {"io_queue_init", "LIBAIO_0.1"}, {"io_queue_run", "LIBAIO_0.1"},  {"io_queue_release", "LIBAIO_0.1"},
    {"io_queue_wait", "LIBAIO_0.1"}, {"io_queue_wait", "LIBAIO_0.4"}, {"io_submit", "LIBAIO_0.1"},
    {"io_cancel", "LIBAIO_0.1"},     {"io_cancel", "LIBAIO_0.4"},     {"io_getevents", "LIBAIO_0.1"},
    {"io_getevents", "LIBAIO_0.4"},  {"io_setup", "LIBAIO_0.4"},      {"io_destroy", "LIBAIO_0.4"},
    {"io_pgetevents", "LIBAIO_0.5"},
};

TEST(same, versions_every_symbol_is_there) {
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (dlvsym(RTLD_DEFAULT, symbols[i].name, symbols[i].version) == NULL)
            FAIL("%s@%s: %s", symbols[i].name, symbols[i].version, dlerror());
}

TEST(same, versions_the_two_generations_differ) {
    for (int i = 0; i < 3; i++) {
        const char *name[] = {"io_cancel", "io_getevents", "io_queue_wait"};
        void *old = dlvsym(RTLD_DEFAULT, name[i], "LIBAIO_0.1"), *new = dlvsym(RTLD_DEFAULT, name[i], "LIBAIO_0.4");
        CHECK(old != NULL && new != NULL && old != new);
    }
}

/* All of them come from one object: half of ours and half of libaio's would be no library at all. */
TEST(same, versions_all_symbols_are_of_one_library) {
    Dl_info first, other;
    CHECK(dladdr(dlvsym(RTLD_DEFAULT, symbols[0].name, symbols[0].version), &first) != 0);
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        CHECK(dladdr(dlvsym(RTLD_DEFAULT, symbols[i].name, symbols[i].version), &other) != 0);
        if (first.dli_fbase != other.dli_fbase)
            FAIL("%s@%s is of %s, not of %s", symbols[i].name, symbols[i].version, other.dli_fname, first.dli_fname);
    }
}

/* A program that loads libaio by itself gets the file, whatever is preloaded, and must find a whole library there. */
TEST(same, versions_a_library_loaded_by_hand_works) {
    void *library = dlopen("libaio.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) SKIP("%s", dlerror());
    int (*setup)(int, io_context_t *) = dlsym(library, "io_setup");
    int (*submission)(io_context_t, long, struct iocb **) = dlsym(library, "io_submit");
    int (*getevents)(io_context_t, long, long, struct io_event *, struct timespec *) = dlsym(library, "io_getevents");
    int (*destroy)(io_context_t) = dlsym(library, "io_destroy");
    CHECK(setup != NULL && submission != NULL && getevents != NULL && destroy != NULL);
    io_context_t ctx = NULL;
    struct iocb cb = read_of(pattern_file("data", BLOCK), buffer, BLOCK, 0), *list[] = {&cb};
    struct io_event event;
    CHECK_EQ(setup(8, &ctx), 0);
    CHECK_EQ(submission(ctx, 1, list), 1);
    CHECK_EQ(getevents(ctx, 1, 1, &event, NULL), 1);
    CHECK(event.obj == &cb && event.res == BLOCK);
    check_pattern(buffer, BLOCK, 0);
    CHECK_EQ(destroy(ctx), 0);
}
