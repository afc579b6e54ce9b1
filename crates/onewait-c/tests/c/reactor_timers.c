/*
 * Timers of onewait.h's reactor.
 */
#include "reactor_check.h"

TEST(ours, timers_come_in_the_order_of_their_deadlines_once_and_never_early) {
    ow_reactor *reactor = new_reactor();
    /* However long all this takes, each deadline is before the next one of the list below. */
    CHECK_EQ(ow_timer_arm_at(reactor, 1, 1, NULL), 0); /* long ago */
    CHECK_EQ(ow_timer_arm(reactor, 0, 2, NULL), 0);
    int64_t begin = now_ns();
    CHECK_EQ(ow_timer_arm(reactor, 30000000, 30, NULL), 0);
    CHECK_EQ(ow_timer_arm_at(reactor, (uint64_t)begin + 20000000, 20, NULL), 0);
    CHECK_EQ(ow_timer_arm_at(reactor, (uint64_t)begin + 10000000, 10, NULL), 0);
    for (uint64_t expected[] = {1, 2, 10, 20, 30}, i = 0; i < 5;) {
        struct ow_ready ready[1];
        CHECK_EQ(ow_reactor_wait(reactor, ready, 1, PATIENCE_NS), 1);
        CHECK_EQ(ready[0].token, expected[i]);
        CHECK_EQ(ready[0].events, EPOLLIN);
        if (expected[i] >= 10) CHECK(now_ns() - begin >= (int64_t)expected[i] * 1000000);
        i++;
    }
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, timer_that_is_cancelled_never_comes) {
    ow_reactor *reactor = new_reactor();
    uint64_t key = 0, other = 0, token = 0;
    CHECK_EQ(ow_timer_arm(reactor, 1000000, 41, &key), 0);
    CHECK_EQ(ow_timer_arm(reactor, 2000000, 42, &other), 0);
    CHECK(key != 0 && other != 0 && key != other);
    CHECK_EQ(ow_timer_cancel(reactor, key, &token), 0);
    CHECK_EQ(token, 41);
    CHECK_ERRNO(ow_timer_cancel(reactor, key, &token), ENOENT);
    CHECK_REPORTS(reactor, 42, EPOLLIN);
    CHECK_ERRNO(ow_timer_cancel(reactor, other, NULL), ENOENT);
    CHECK_ERRNO(ow_timer_rearm(reactor, &other, 1), ENOENT);
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}

TEST(ours, timer_that_is_armed_anew_has_another_key_and_time) {
    ow_reactor *reactor = new_reactor();
    uint64_t key = 0;
    CHECK_EQ(ow_timer_arm(reactor, 1000 * SECOND, 7, &key), 0);
    uint64_t first = key;
    CHECK_EQ(ow_timer_rearm(reactor, &key, 1000000), 0);
    CHECK(key != first);
    CHECK_ERRNO(ow_timer_cancel(reactor, first, NULL), ENOENT);
    CHECK_REPORTS(reactor, 7, EPOLLIN);
    CHECK_EQ(ow_timer_arm(reactor, 1000 * SECOND, 8, &key), 0);
    CHECK_EQ(ow_timer_rearm_at(reactor, &key, (uint64_t)now_ns() + 1000000), 0);
    CHECK_REPORTS(reactor, 8, EPOLLIN);
    ow_reactor_destroy(reactor);
}

TEST(ours, keys_that_were_never_given_name_nothing) {
    ow_reactor *reactor = new_reactor();
    uint64_t key = 0;
    CHECK_ERRNO(ow_timer_cancel(reactor, 0, NULL), ENOENT);
    CHECK_EQ(ow_timer_arm(reactor, 1000 * SECOND, 7, &key), 0);
    CHECK_EQ(ow_timer_cancel(reactor, key, NULL), 0);
    uint64_t state = 88172645463325252u;
    for (uint64_t generation = 0; generation < 64; generation++)
        for (uint64_t slot = 0; slot < 4; slot++)
            CHECK_ERRNO(ow_timer_cancel(reactor, generation << 32 | slot, NULL), ENOENT);
    for (int i = 0; i < 1000; i++) CHECK_ERRNO(ow_timer_cancel(reactor, next_random(&state), NULL), ENOENT);
    /* They have not led it astray. */
    CHECK_EQ(ow_timer_arm(reactor, 0, 8, &key), 0);
    CHECK_REPORTS(reactor, 8, EPOLLIN);
    ow_reactor_destroy(reactor);
}

TEST(ours, time_beyond_all_measure_is_for_ever) {
    ow_reactor *reactor = new_reactor();
    uint64_t key = 0;
    CHECK_EQ(ow_timer_arm(reactor, UINT64_MAX, 1, &key), 0);
    CHECK_EQ(ow_timer_arm_at(reactor, UINT64_MAX, 2, NULL), 0);
    CHECK_EQ(ow_timer_arm(reactor, 0, 3, NULL), 0);
    struct ow_ready ready[4];
    CHECK_EQ(ow_reactor_wait(reactor, ready, 4, INT64_MAX), 1);
    CHECK_EQ(ready[0].token, 3);
    CHECK_QUIET(reactor);
    CHECK_EQ(ow_timer_cancel(reactor, key, NULL), 0);
    ow_reactor_destroy(reactor);
}

TEST(ours, timers_beyond_the_limit_are_refused) {
    struct ow_reactor_options options = {.size = sizeof options, .timers = 2};
    ow_reactor *reactor = ow_reactor_create(&options);
    CHECK(reactor != NULL);
    uint64_t key = 0;
    CHECK_EQ(ow_timer_arm(reactor, 1000 * SECOND, 1, &key), 0);
    CHECK_EQ(ow_timer_arm(reactor, 1000 * SECOND, 2, NULL), 0);
    CHECK_ERRNO(ow_timer_arm(reactor, 1000 * SECOND, 3, NULL), EAGAIN);
    CHECK_EQ(ow_timer_rearm(reactor, &key, 2000 * SECOND), 0);
    CHECK_EQ(ow_timer_cancel(reactor, key, NULL), 0);
    CHECK_EQ(ow_timer_arm(reactor, 0, 3, NULL), 0);
    CHECK_REPORTS(reactor, 3, EPOLLIN);
    ow_reactor_destroy(reactor);
}

TEST(ours, many_timers) {
    enum { count = 20000 };
    ow_reactor *reactor = new_reactor();
    static bool seen[count];
    uint64_t state = 1;
    for (uint64_t i = 0; i < count; i++) CHECK_EQ(ow_timer_arm(reactor, next_random(&state) % 20000000, i, NULL), 0);
    for (int left = count; left > 0;) {
        struct ow_ready ready[256];
        int n = ow_reactor_wait(reactor, ready, 256, PATIENCE_NS);
        CHECK(n > 0);
        for (int i = 0; i < n; i++, left--) {
            CHECK(ready[i].token < count && !seen[ready[i].token]);
            seen[ready[i].token] = true;
        }
    }
    CHECK_QUIET(reactor);
    ow_reactor_destroy(reactor);
}
