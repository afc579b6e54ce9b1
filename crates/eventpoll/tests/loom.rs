//! Every order in which threads can do what could go wrong, within a bound on how often one is interrupted:
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p eventpoll --release --test loom
#![cfg(loom)]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Armed, Error, EventPoll, Events, Interest, Parked, Parking, Ready, Ring, Source, Watched};
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;

/// A thread that sleeps on a word, and what wakes it.
type Sleeper = (usize, Arc<Condvar>);

loom::lazy_static! {
    static ref SLEEPING: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
    static ref SLEEPS: Condvar = Condvar::new();
}

/// Until a thread sleeps.
fn until_asleep() {
    let mut sleeping = SLEEPING.lock().unwrap();
    while sleeping.is_empty() {
        sleeping = SLEEPS.wait(sleeping).unwrap();
    }
}

/// Whether a thread sleeps that nobody has woken.
fn sleeps() -> bool {
    !SLEEPING.lock().unwrap().is_empty()
}

loom::thread_local! {
    static INSIDE: Cell<bool> = Cell::new(false);
}

/// Sleeps on a condition variable of the word's own, so that loom sees a wake-up that never comes, or comes to another
/// word, as a deadlock. Time is over at once: whatever happens before that is up to the order of the threads.
struct Model;

impl Parking for Model {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        let mut sleeping = SLEEPING.lock().unwrap();
        if word.load(Ordering::Acquire) != expected {
            return Parked::Woken;
        }
        if timeout.is_some() {
            return Parked::TimedOut;
        }
        let woken = Arc::new(Condvar::new());
        sleeping.push((address(word), woken.clone()));
        SLEEPS.notify_all();
        drop(woken.wait(sleeping).unwrap());
        Parked::Woken
    }

    fn wake(&self, word: &AtomicU32) {
        let mut sleeping = SLEEPING.lock().unwrap();
        if let Some(place) = sleeping.iter().position(|(other, _)| *other == address(word)) {
            sleeping.remove(place).1.notify_one();
        }
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn enter(&self) -> bool {
        INSIDE.with(|inside| !inside.replace(true))
    }

    fn leave(&self) {
        INSIDE.with(|inside| inside.set(false));
    }
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_nanos(1));
const EDGE: Interest = Interest::IN.union(Interest::EDGE);

fn model(f: impl Fn() + Sync + Send + 'static) {
    model_with(3, f);
}

/// With three threads at work, what three interruptions can do takes minutes.
fn model_with(interruptions: usize, f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.check(f);
}

fn poll_with(events: &[&Event], interest: Interest) -> Arc<EventPoll> {
    let poll = EventPoll::with_parking(&Model);
    for (token, event) in events.iter().enumerate() {
        poll.add(*event, interest, token as u64).unwrap();
    }
    Arc::new(poll)
}

fn wait(poll: &EventPoll, timeout: Option<Duration>) -> Result<usize, Error> {
    poll.wait(&mut [Ready::default(); 4], timeout)
}

fn event() -> Arc<Event> {
    Arc::new(Event::new(0))
}

fn writes(event: &Arc<Event>) -> thread::JoinHandle<()> {
    let event = event.clone();
    thread::spawn(move || event.write(1).unwrap())
}

#[test]
fn notify_and_notify_of_two_sources_are_both_reported() {
    model(|| {
        let (one, other) = (event(), event());
        let poll = poll_with(&[&one, &other], EDGE);
        let writer = writes(&one);
        other.write(1).unwrap();
        writer.join().unwrap();
        assert_eq!(wait(&poll, NOW), Ok(2));
        assert_eq!(wait(&poll, NOW), Ok(0));
    });
}

#[test]
fn notify_and_notify_of_one_source_are_one_event() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let writer = writes(&event);
        event.write(1).unwrap();
        assert_eq!(wait(&poll, NOW), Ok(1), "what was notified before the wait is there");
        writer.join().unwrap();
        assert!(wait(&poll, NOW).unwrap() <= 1);
        assert_eq!((wait(&poll, NOW), event.read()), (Ok(0), Ok(2)));
    });
}

#[test]
fn notify_wakes_a_waiter() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let writer = writes(&event);
        assert_eq!(wait(&poll, None), Ok(1));
        writer.join().unwrap();
        assert_eq!(wait(&poll, NOW), Ok(0));
    });
}

#[test]
fn notify_in_a_scan_is_reported_by_it_or_after_it() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        event.write(1).unwrap();
        event.read().unwrap();
        // The item is queued and not ready; the scan drops it just as it becomes ready.
        let writer = writes(&event);
        let early = wait(&poll, NOW).unwrap();
        writer.join().unwrap();
        let late = wait(&poll, NOW).unwrap();
        assert!(early + late >= 1, "the edge is lost");
        assert_eq!(wait(&poll, NOW), Ok(0));
    });
}

#[test]
fn level_triggered_events_go_through_all_waiters() {
    model_with(2, || {
        let event = event();
        let poll = poll_with(&[&event], Interest::IN);
        let other = {
            let poll = poll.clone();
            thread::spawn(move || assert_eq!(wait(&poll, None), Ok(1)))
        };
        let writer = writes(&event);
        assert_eq!(wait(&poll, None), Ok(1));
        other.join().unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn modify_and_notify_lose_nothing() {
    model(|| {
        let event = Arc::new(Event::new(0));
        let poll = poll_with(&[&event], Interest::PRI | Interest::EDGE);
        let writer = writes(&event);
        poll.modify(&event, EDGE, 5).unwrap();
        writer.join().unwrap();
        assert_eq!(wait(&poll, NOW), Ok(1));
        assert_eq!(wait(&poll, NOW), Ok(0));
    });
}

#[test]
fn rearm_and_notify_lose_nothing() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], Interest::IN | Interest::ONESHOT);
        event.write(1).unwrap();
        assert_eq!((wait(&poll, NOW), event.read()), (Ok(1), Ok(1)));
        let writer = writes(&event);
        poll.modify(&event, Interest::IN | Interest::ONESHOT, 0).unwrap();
        assert_eq!(wait(&poll, None), Ok(1));
        writer.join().unwrap();
        assert_eq!(wait(&poll, NOW), Ok(0));
    });
}

#[test]
fn delete_and_notify_leave_nothing() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let writer = writes(&event);
        poll.delete(&event).unwrap();
        assert_eq!(wait(&poll, NOW), Ok(0));
        writer.join().unwrap();
        assert_eq!((wait(&poll, NOW), poll.len()), (Ok(0), Ok(0)));
        poll.add(&event, EDGE, 2).unwrap();
        assert_eq!(wait(&poll, NOW), Ok(1));
    });
}

#[test]
fn the_drop_of_a_source_and_notify_leave_nothing() {
    struct Always;
    impl Source for Always {
        fn level(&self) -> Events {
            Events::IN
        }
    }
    model(|| {
        let source = Watched::new(Always);
        let poll = EventPoll::with_parking(&Model);
        poll.add(&source, EDGE, 0).unwrap();
        let notifier = source.notifier();
        let other = thread::spawn(move || notifier.notify(Events::IN));
        drop(source);
        other.join().unwrap();
        assert_eq!((wait(&poll, NOW), poll.len()), (Ok(0), Ok(0)));
    });
}

#[test]
fn the_drop_of_a_source_in_a_wait_leaves_nothing() {
    model(|| {
        let event = Event::new(1);
        let poll = poll_with(&[&event], Interest::IN);
        let other = {
            let poll = poll.clone();
            thread::spawn(move || assert!(wait(&poll, NOW).unwrap() <= 1))
        };
        drop(event);
        other.join().unwrap();
        assert_eq!((wait(&poll, NOW), poll.len()), (Ok(0), Ok(0)));
    });
}

#[test]
fn the_end_of_the_time_and_notify_lose_nothing() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let writer = writes(&event);
        let early = wait(&poll, SOON).unwrap();
        writer.join().unwrap();
        assert_eq!(early + wait(&poll, NOW).unwrap(), 1);
    });
}

#[test]
fn rule_59_a_waiter_woken_as_its_time_ends_does_not_keep_others_asleep() {
    model_with(2, || {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let hasty = {
            let poll = poll.clone();
            thread::spawn(move || wait(&poll, SOON).unwrap())
        };
        let patient = {
            let poll = poll.clone();
            thread::spawn(move || assert_eq!(wait(&poll, None), Ok(1)))
        };
        event.write(1).unwrap();
        if hasty.join().unwrap() == 1 {
            event.write(1).unwrap();
        }
        patient.join().unwrap();
    });
}

#[test]
fn a_waker_interrupts_one_wait() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let waker = poll.waker();
        let other = thread::spawn(move || waker.wake());
        assert_eq!(wait(&poll, None), Err(Error::Interrupted));
        other.join().unwrap();
        assert_eq!(wait(&poll, SOON), Ok(0));
    });
}

#[test]
fn a_waker_beside_a_waiter_that_does_not_stay_reaches_one_that_sleeps() {
    model(|| {
        let poll = poll_with(&[], EDGE);
        let sleeper = {
            let poll = poll.clone();
            thread::spawn(move || wait(&poll, None))
        };
        until_asleep();
        let waker = poll.waker();
        let other = thread::spawn(move || {
            waker.wake();
            waker.wake();
        });
        // This wait may take the first wake-up just before it would sleep, with the second one already there.
        assert!(matches!(wait(&poll, SOON), Ok(0) | Err(Error::Interrupted)));
        other.join().unwrap();
        if sleeps() {
            assert_eq!(wait(&poll, SOON), Ok(0), "the wake-up was for who sleeps");
            poll.waker().wake();
        }
        assert_eq!(sleeper.join().unwrap(), Err(Error::Interrupted));
    });
}

#[test]
fn a_waker_and_notify_lose_no_event() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let waker = poll.waker();
        let other = thread::spawn(move || waker.wake());
        let writer = writes(&event);
        match wait(&poll, None) {
            // The waker's wait may have ended with the event.
            Ok(1) => {
                other.join().unwrap();
                assert!(matches!(wait(&poll, SOON), Ok(0) | Err(Error::Interrupted)));
            }
            Err(Error::Interrupted) => {
                assert_eq!(wait(&poll, None), Ok(1));
                other.join().unwrap();
            }
            other => panic!("{other:?}"),
        }
        writer.join().unwrap();
    });
}

#[test]
fn close_ends_a_wait() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let other = {
            let poll = poll.clone();
            thread::spawn(move || poll.close())
        };
        assert_eq!(wait(&poll, None), Err(Error::Closed));
        other.join().unwrap();
        event.write(1).unwrap();
    });
}

#[test]
fn a_notification_passes_through_an_inner_event_poll() {
    model(|| {
        let event = event();
        let inner = poll_with(&[&event], EDGE);
        let outer = EventPoll::with_parking(&Model);
        outer.add(&*inner, EDGE, 9).unwrap();
        let writer = writes(&event);
        assert_eq!(wait(&outer, None), Ok(1));
        writer.join().unwrap();
        assert_eq!(wait(&inner, NOW), Ok(1));
    });
}

/// Somebody who sleeps elsewhere: loom sees a ring that never comes as a deadlock.
#[derive(Default)]
struct Elsewhere {
    rung: Mutex<bool>,
    rings: Condvar,
}

impl Elsewhere {
    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.rings.wait(rung).unwrap();
        }
        *rung = false;
    }
}

impl Ring for Elsewhere {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.rings.notify_one();
    }
}

#[test]
fn an_armed_bell_rings_for_what_is_notified() {
    model(|| {
        let (event, elsewhere) = (event(), Arc::new(Elsewhere::default()));
        let poll = poll_with(&[&event], EDGE);
        let mut bell = poll.bell(elsewhere.clone());
        let writer = writes(&event);
        loop {
            match wait(&poll, NOW) {
                Ok(0) => {}
                result => break assert_eq!(result, Ok(1)),
            }
            if bell.arm() == Ok(Armed::Sleep) {
                elsewhere.sleep();
            }
            bell.disarm();
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_bell_that_is_disarmed_and_armed_again_rings_for_what_is_notified_then() {
    model_with(2, || {
        let (event, elsewhere) = (event(), Arc::new(Elsewhere::default()));
        let poll = poll_with(&[&event], EDGE);
        let mut bell = poll.bell(elsewhere.clone());
        let (first, second) = (writes(&event), writes(&event));
        let _ = bell.arm();
        bell.disarm();
        let mut found = 0;
        while found == 0 {
            found += wait(&poll, NOW).unwrap();
            if found == 0 && bell.arm() == Ok(Armed::Sleep) {
                elsewhere.sleep();
            }
        }
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(event.read(), Ok(2));
    });
}

#[test]
fn a_bell_that_is_dropped_when_it_has_rung_passes_the_event_on() {
    model(|| {
        let event = event();
        let poll = poll_with(&[&event], EDGE);
        let sleeper = {
            let poll = poll.clone();
            thread::spawn(move || wait(&poll, None))
        };
        until_asleep();
        let mut bell = poll.bell(Arc::new(Elsewhere::default()));
        assert_eq!(bell.arm(), Ok(Armed::Sleep));
        event.write(1).unwrap();
        drop(bell);
        assert_eq!(sleeper.join().unwrap(), Ok(1));
    });
}
