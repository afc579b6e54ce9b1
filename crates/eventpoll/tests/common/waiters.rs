//! Threads that wait in event polls, and who of them came back.
//!
//! A round of a test about waking is: start waiters, [`Waiters::settle`], cause something, settle again, look at who
//! returned, release the others. "Settled" means that each waiter has returned or is asleep, and that no wake is on its
//! way: a wake makes its thread runnable before the call that caused it returns.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::tasks::{self, Moment};
use super::world::{Errno, Event, Poll, World};

/// What a waiter's wait returned.
pub(crate) type Outcome = Result<Vec<Event>, Errno>;

struct Shared {
    /// The thread's number once it is about to wait.
    task: AtomicI32,
    /// Set by the thread as the first thing after its wait, before it does anything that might sleep.
    awake: AtomicBool,
    outcome: Mutex<Option<Outcome>>,
}

struct Waiter {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// Waiting threads, in the order in which they fell asleep.
#[derive(Default)]
pub(crate) struct Waiters(Vec<Waiter>);

impl Waiters {
    /// Starts a thread that waits once, for ever, for at most one event; comes back when it sleeps (or has returned).
    pub(crate) fn start<W: World>(&mut self, poll: &Arc<W::Poll>) {
        self.start_timed::<W>(poll, None);
        self.settle();
    }

    /// As `start`, with a timeout; does not look whether it sleeps yet.
    pub(crate) fn start_timed<W: World>(&mut self, poll: &Arc<W::Poll>, timeout: Option<Duration>) {
        let shared = Shared { task: AtomicI32::new(0), awake: AtomicBool::new(false), outcome: Mutex::new(None) };
        let shared = Arc::new(shared);
        let (poll, ours) = (poll.clone(), shared.clone());
        let thread = thread::spawn(move || {
            let mut events = [Event::default()];
            ours.task.store(tasks::current(), Ordering::Release);
            let stored = poll.wait_into(&mut events, timeout);
            ours.awake.store(true, Ordering::Release);
            let outcome = stored.map(|stored| events[..stored].to_vec());
            // The poll may be closed as soon as a test sees the outcome.
            drop(poll);
            *ours.outcome.lock().expect("no waiter panics") = Some(outcome);
        });
        self.0.push(Waiter { shared, thread });
        self.settle();
    }

    /// A thread for each of these event polls, asleep in this order.
    pub(crate) fn in_each<'a, W: World>(polls: impl IntoIterator<Item = &'a Arc<W::Poll>>) -> Self {
        let mut waiters = Self::default();
        for poll in polls {
            waiters.start::<W>(poll);
        }
        waiters
    }

    /// Comes back when each waiter has returned or sleeps.
    pub(crate) fn settle(&self) {
        let mut before = self.moments();
        loop {
            let after = self.moments();
            if after == before && after.iter().all(|moment| moment.is_none_or(Moment::asleep)) {
                return;
            }
            before = after;
            thread::yield_now();
        }
    }

    /// Nothing for who has returned; a thread that has not even begun counts as awake.
    fn moments(&self) -> Vec<Option<Moment>> {
        let awake = Moment::default();
        let one = |waiter: &Waiter| {
            if waiter.shared.outcome.lock().expect("no waiter panics").is_some() {
                return None;
            }
            match waiter.shared.task.load(Ordering::Acquire) {
                0 => Some(awake),
                _ if waiter.shared.awake.load(Ordering::Acquire) => Some(awake),
                task => Some(tasks::moment(task).unwrap_or(awake)),
            }
        };
        self.0.iter().map(one).collect()
    }

    /// What each waiter's wait returned, and nothing for those that still wait.
    pub(crate) fn outcomes(&self) -> Vec<Option<Outcome>> {
        self.0.iter().map(|waiter| waiter.shared.outcome.lock().expect("no waiter panics").clone()).collect()
    }

    /// The places of those that have returned.
    pub(crate) fn returned(&self) -> Vec<usize> {
        self.outcomes().iter().enumerate().filter_map(|(place, outcome)| outcome.as_ref().map(|_| place)).collect()
    }

    /// The kernel's number of the thread at this place.
    pub(crate) fn task(&self, place: usize) -> i32 {
        self.0[place].shared.task.load(Ordering::Acquire)
    }

    /// Calls `cause` as often as it takes until everyone has returned.
    pub(crate) fn release(self, mut cause: impl FnMut()) {
        while self.returned().len() < self.0.len() {
            cause();
            self.settle();
        }
        for waiter in self.0 {
            waiter.thread.join().expect("no waiter panics");
        }
    }
}
