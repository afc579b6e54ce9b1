//! Completions that were not reaped, and the threads that wait for them.

use super::completion::Completion;
use crate::counters::{Counters, Event};
use eventpoll::{AsSource, Events, Source, SourceRef, Watched};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The list, and those who wait for it. Its lock is held for moments, by code that calls nothing; the engine's threads take
/// it to add a completion.
pub(super) struct Finished {
    list: Watched<List>,
    arrived: Condvar,
    /// Requests that have a place: in flight or not reaped. At most `limit`.
    outstanding: AtomicUsize,
    limit: usize,
}

/// Ready to be read when there is a completion; each one is an edge.
#[derive(Default)]
struct List {
    state: Mutex<State>,
    /// How many completions there are. Changed under the lock; read without, so that it can be asked in the child of a fork,
    /// where a thread may have left the lock taken. Relaxed: a notification that others see comes after.
    ready: AtomicUsize,
}

impl List {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for List {
    fn level(&self) -> Events {
        if self.ready.load(Ordering::Relaxed) == 0 { Events::empty() } else { READABLE }
    }
}

const READABLE: Events = Events::IN.union(Events::RDNORM);

#[derive(Default)]
struct State {
    ready: VecDeque<Completion>,
    /// Threads that sleep, or have been woken and not yet come back.
    sleeping: usize,
    /// How many of them are on their way back for certain: each of those looks at the list before it sleeps again. A thread
    /// that comes back by itself may take one off too many, which costs a wake-up and never loses one.
    woken: usize,
}

impl Finished {
    pub(super) fn new(limit: usize) -> Finished {
        let list = Watched::new(List::default());
        Finished { list, arrived: Condvar::new(), outstanding: AtomicUsize::new(0), limit }
    }

    pub(super) fn source(&self) -> SourceRef<'_> {
        self.list.as_source()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.list.lock()
    }

    /// So many completions are there from now on.
    fn note(&self, count: usize) {
        self.list.ready.store(count, Ordering::Relaxed);
    }

    /// Takes a place for one more request. False if there is none.
    pub(super) fn take_place(&self) -> bool {
        let one_more = |count: usize| (count < self.limit).then_some(count + 1);
        let taken = self.outstanding.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !taken {
            Counters::current().event(Event::LimitHit);
        }
        taken
    }

    /// Gives the place of a request back that was not submitted.
    pub(super) fn give_place_back(&self) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes the oldest, if it comes in time.
    pub(super) fn reap(&self, timeout: Option<Duration>) -> Option<Completion> {
        let mut one = One(None);
        self.wait(&mut one, 1, timeout);
        one.0
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    pub(super) fn ready(&self) -> usize {
        self.list.ready.load(Ordering::Relaxed)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Adds a completion, and wakes a thread if one sleeps that no other completion has woken.
    pub(super) fn push(&self, completion: Completion) {
        let mut state = self.lock();
        state.ready.push_back(completion);
        self.note(state.ready.len());
        let wakes = state.sleeping > state.woken;
        if wakes {
            state.woken += 1;
        }
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        self.list.notify(READABLE);
    }

    /// Moves up to `limit` completions to `into`, oldest first; sleeps until there is one, at most for `timeout`.
    pub(super) fn wait(&self, into: &mut impl Extend<Completion>, limit: usize, timeout: Option<Duration>) -> usize {
        let mut state = self.lock();
        // Begins when there turns out to be nothing; a time that the clock cannot show is never reached.
        let mut deadline = None;
        let mut event = Event::InstantWait;
        loop {
            let count = state.ready.len().min(limit);
            if count > 0 {
                // First, since what it goes to may panic, and the rest is right even so.
                self.note(state.ready.len() - count);
                into.extend(state.ready.drain(..count));
                drop(state);
                self.outstanding.fetch_sub(count, Ordering::Relaxed);
                Counters::current().event(event);
                return count;
            }
            if limit == 0 || timeout == Some(Duration::ZERO) {
                return 0;
            }
            let now = timeout.map(|_| Instant::now());
            if event == Event::InstantWait {
                event = Event::SleepingWait;
                deadline = now.zip(timeout).and_then(|(now, timeout)| now.checked_add(timeout));
            }
            let left = deadline.zip(now).map(|(deadline, now)| deadline.saturating_duration_since(now));
            if left == Some(Duration::ZERO) {
                Counters::current().event(event);
                return 0;
            }
            state.sleeping += 1;
            state = match left {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            state.sleeping -= 1;
            state.woken = state.woken.saturating_sub(1);
        }
    }
}

/// Room for one completion.
struct One(Option<Completion>);

impl Extend<Completion> for One {
    fn extend<T: IntoIterator<Item = Completion>>(&mut self, completions: T) {
        self.0 = completions.into_iter().next();
    }
}
