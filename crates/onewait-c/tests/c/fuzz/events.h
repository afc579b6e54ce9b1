/*
 * events.h - the notifications of a step: each one that comes is noted, by its request's number.
 */
#ifndef EVENTS_H
#define EVENTS_H

#include "memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { MOST_EVENTS = 1024, OWN_SIGNALS = 4, PATIENCE_S = 10 };

/* What came, written by handlers and notification threads; a place is valid when its text is not 0. */
static _Atomic uint64_t events[MOST_EVENTS];
static atomic_int events_begun, events_noted;
static int events_expected;
static pthread_attr_t thread_attributes;

/* How it came, in the upper half: the signal's number, or 1 for a thread; and 1000 if something was wrong with it. */
HELPER void note_event(unsigned how, unsigned value) {
    int at = atomic_fetch_add(&events_begun, 1);
    if (at < MOST_EVENTS) atomic_store(&events[at], (uint64_t)how << 32 | value);
    atomic_fetch_add(&events_noted, 1);
}

HELPER void note_thread(union sigval value) { note_event(1, (unsigned)value.sival_int); }

HELPER void note_signal_info(int signal, const siginfo_t *info) {
    bool right = info->si_code == SI_ASYNCIO && info->si_pid == getpid() && info->si_uid == getuid();
    note_event((unsigned)signal + (right ? 0 : 1000), (unsigned)info->si_value.sival_int);
}

/* Runs only on notification threads, which have an empty mask; everywhere else the signals are blocked and fetched. */
HELPER void note_signal(int signal, siginfo_t *info, void *context) {
    (void)context;
    note_signal_info(signal, info);
}

HELPER void own_signals(sigset_t *set) {
    sigemptyset(set);
    for (int i = 0; i < OWN_SIGNALS; i++) sigaddset(set, SIGRTMIN + i);
}

HELPER void prepare_events(void) {
    struct sigaction action = {.sa_sigaction = note_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    for (int i = 0; i < OWN_SIGNALS; i++) SET_UP(sigaction(SIGRTMIN + i, &action, NULL) == 0);
    sigset_t set;
    own_signals(&set);
    SET_UP(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    SET_UP(pthread_attr_init(&thread_attributes) == 0);
    SET_UP(pthread_attr_setdetachstate(&thread_attributes, PTHREAD_CREATE_DETACHED) == 0);
}

HELPER void fetch_signals(void) {
    sigset_t set;
    own_signals(&set);
    siginfo_t info;
    int signal;
    while ((signal = sigtimedwait(&set, &info, &(struct timespec){0, 0})) > 0) note_signal_info(signal, &info);
}

HELPER int compare_events(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Waits for what must come, and shows what came, in an order that does not depend on time. */
HELPER void say_events(void) {
    for (int i = 0; i < PATIENCE_S * 2000; i++) {
        fetch_signals();
        if (atomic_load(&events_noted) >= events_expected) break;
        nanosleep(&(struct timespec){0, 500000}, NULL);
    }
    static uint64_t sorted[MOST_EVENTS];
    int count = atomic_load(&events_noted);
    if (count > MOST_EVENTS) count = MOST_EVENTS;
    for (int i = 0; i < count; i++) sorted[i] = atomic_load(&events[i]);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_events);
    for (int i = 0; i < count; i++) {
        unsigned how = (unsigned)(sorted[i] >> 32), value = (unsigned)sorted[i];
        if (how == 1)
            say("event: thread, value %u", value);
        else
            say("event: signal RTMIN%+d%s, value %u", (int)(how % 1000) - SIGRTMIN, how > 1000 ? " (bad siginfo)" : "", value);
    }
    if (count != events_expected) say("%d events, not %d", count, events_expected);
    atomic_store(&events_begun, 0);
    atomic_store(&events_noted, 0);
    events_expected = 0;
}

/* How a request or a list is to be announced. What the original does badly is left out: a signal that does not exist
 * changes the result there, and SIGEV_THREAD_ID means nothing. True if an event must come. */
HELPER bool choose_event(struct sigevent *event, unsigned value) {
    *event = (struct sigevent){.sigev_value.sival_int = (int)value};
    event->sigev_notify = SIGEV_NONE;
    switch (below(12)) {
    case 0: case 1:
        event->sigev_notify = SIGEV_SIGNAL;
        event->sigev_signo = SIGRTMIN + (int)below(OWN_SIGNALS);
        return true;
    case 2:
        event->sigev_notify = SIGEV_THREAD;
        event->sigev_notify_function = note_thread;
        event->sigev_notify_attributes = one_in(2) ? &thread_attributes : NULL;
        return true;
    case 3: event->sigev_notify = PICK(((int[]){99, -1, 3, 77})); return false;
    case 4: event->sigev_notify = SIGEV_SIGNAL; return false; /* signal 0, as in a zeroed block */
    default: return false;
    }
}

HELPER const char *event_name(const struct sigevent *event) {
    switch (event->sigev_notify) {
    case SIGEV_NONE: return "none";
    case SIGEV_SIGNAL: return event->sigev_signo == 0 ? "signal-0" : "signal";
    case SIGEV_THREAD: return "thread";
    default: return "unknown";
    }
}

#endif
