//! A user's code that an inner event poll leaves to be run: the outer one is not locked either when it runs.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Events, Futex, Interest, Parked, Parking, Ready, Result, Source, Watched};

use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::own_source::OwnSource;
use crate::common::waiters::Waiters;

ours_alone!(a_wake_from_an_inner_event_poll, a_drop_in_an_inner_event_poll, a_drop_in_a_closed_inner_event_poll);

const NOW: Option<Duration> = Some(Duration::ZERO);

/// The futex. The first wake looks at the outer event poll, each later one asks it how many items it has.
struct Asking;

static OUTER: OnceLock<EventPoll> = OnceLock::new();
static ANSWERS: Mutex<Vec<Result<usize>>> = Mutex::new(Vec::new());
static WAKES: AtomicU32 = AtomicU32::new(0);

impl Parking for Asking {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        Futex.wait(word, expected, timeout)
    }

    fn wake(&self, word: &AtomicU32) {
        if let Some(outer) = OUTER.get() {
            if WAKES.fetch_add(1, Ordering::Relaxed) == 0 {
                assert_eq!(outer.poll(), Events::IN | Events::RDNORM);
            } else {
                ANSWERS.lock().unwrap().push(outer.len());
            }
        }
        Futex.wake(word);
    }

    fn now(&self) -> Duration {
        Futex.now()
    }

    fn enter(&self) -> bool {
        Futex.enter()
    }

    fn leave(&self) {
        Futex.leave();
    }
}

fn a_wake_from_an_inner_event_poll() {
    let (inner, event) = (Arc::new(EventPoll::with_parking(&Asking)), Event::new(0));
    inner.add(&event, Interest::IN, 1).unwrap();
    let outer = OUTER.get_or_init(EventPoll::new);
    outer.add(&*inner, Interest::IN, 2).unwrap();
    let waiters = Waiters::in_each::<Ours>([&inner, &inner]);
    // Wakes one waiter. That wake looks at the outer event poll, hence at the inner one, and this look wakes the other.
    event.write(1).unwrap();
    waiters.release(|| ());
    assert_eq!(*ANSWERS.lock().unwrap(), [Ok(1)]);
}

/// A state whose drop does something.
struct Last<F: FnMut() + Send + Sync + 'static>(F);

impl<F: FnMut() + Send + Sync + 'static> Source for Last<F> {
    fn level(&self) -> Events {
        Events::empty()
    }
}

impl<F: FnMut() + Send + Sync + 'static> Drop for Last<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// An event poll in another one, with a source whose level does what `hook` says, and one whose drop asks the outer event
/// poll how many items it has. That one is dropped in the level of the first, after the hook.
fn dropped_in_a_level(hook: impl Fn(&mut Option<EventPoll>) + Send + 'static) -> Vec<Result<usize>> {
    let (outer, inner, source) = (Arc::new(EventPoll::new()), EventPoll::new(), OwnSource::watched(Events::IN));
    let answers = Arc::new(Mutex::new(Vec::new()));
    let (asked, kept) = (Arc::downgrade(&outer), answers.clone());
    let last = Watched::new(Last(move || kept.lock().unwrap().push(asked.upgrade().unwrap().len())));
    inner.add(&last, Interest::IN, 2).unwrap();
    inner.add(&source, Interest::IN, 1).unwrap();
    outer.add(&inner, Interest::IN, 0).unwrap();
    let (mut last, mut inner) = (Some(last), Some(inner));
    source.hook(move || {
        drop(last.take());
        hook(&mut inner);
    });
    assert!(outer.wait(&mut [Ready::default()], NOW).is_ok());
    answers.lock().unwrap().clone()
}

fn a_drop_in_an_inner_event_poll() {
    assert_eq!(dropped_in_a_level(|_stays| ()), [Ok(1)]);
}

fn a_drop_in_a_closed_inner_event_poll() {
    assert_eq!(dropped_in_a_level(|inner| drop(inner.take())), [Ok(0)]);
}
