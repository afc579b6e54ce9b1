//! A parking whose `wake` calls back: the only code of a user's that runs in a notify.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Error, EventPoll, Events, Futex, Interest, Parked, Parking, Ready};

use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::own_source::OwnSource;
use crate::common::waiters::Waiters;

ours_alone!(deleting_in_a_notify, linking_in_the_wake_of_a_link, parkings_with_marks_of_their_own);

/// What a wake works on.
struct Victims {
    poll: Arc<EventPoll>,
    deleted: Event,
    dropped: Mutex<Option<Event>>,
    wakes: AtomicUsize,
}

static VICTIMS: OnceLock<Victims> = OnceLock::new();

/// The futex; each wake deletes one source, drops another, and notifies.
struct Meddling;

impl Parking for Meddling {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        Futex.wait(word, expected, timeout)
    }

    fn wake(&self, word: &AtomicU32) {
        if let Some(victims) = VICTIMS.get() {
            victims.wakes.fetch_add(1, Ordering::Relaxed);
            // Once it is deleted there is nothing to delete.
            let _ = victims.poll.delete(&victims.deleted);
            let _ = victims.poll.add(&victims.deleted, Interest::IN | Interest::EDGE, 2);
            drop(victims.dropped.lock().unwrap().take());
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

fn deleting_in_a_notify() {
    let (poll, event, dropped) = (Arc::new(EventPoll::with_parking(&Meddling)), Event::new(0), Event::new(0));
    poll.add(&event, Interest::IN, 1).unwrap();
    poll.add(&dropped, Interest::IN, 3).unwrap();
    let dropped = Mutex::new(Some(dropped));
    let victims = Victims { poll: poll.clone(), deleted: Event::new(0), dropped, wakes: AtomicUsize::new(0) };
    let victims = VICTIMS.get_or_init(|| victims);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..1000 {
                assert_eq!(poll.wait(&mut [Ready::default()], None), Ok(1));
                event.read().unwrap();
            }
        });
        for _ in 0..1000 {
            event.write(1).unwrap();
            while event.write(0).is_ok() && poll.poll().contains(eventpoll::Events::IN) {
                thread::yield_now();
            }
        }
    });
    assert!(victims.wakes.load(Ordering::Relaxed) > 0, "somebody slept and was woken");
    assert_eq!(poll.len(), Ok(2));
}

/// Adds an event poll to another one in each wake.
struct Linking;

static TO_LINK: OnceLock<[EventPoll; 2]> = OnceLock::new();

impl Parking for Linking {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        Futex.wait(word, expected, timeout)
    }

    fn wake(&self, word: &AtomicU32) {
        let [outer, inner] = TO_LINK.get_or_init(|| [EventPoll::new(), EventPoll::new()]);
        // The second time it is there already.
        let _ = outer.add(inner, Interest::IN, 0);
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

fn linking_in_the_wake_of_a_link() {
    let (outer, inner, event) = (Arc::new(EventPoll::with_parking(&Linking)), EventPoll::new(), Event::new(1));
    inner.add(&event, Interest::IN, 1).unwrap();
    let mut waiters = Waiters::default();
    waiters.start::<Ours>(&outer);
    waiters.settle();
    outer.add(&inner, Interest::IN, 2).unwrap();
    waiters.release(|| ());
    assert_eq!(TO_LINK.get().map(|[outer, _]| outer.len()), Some(Ok(1)), "the wake linked, too");
}

thread_local! {
    static OWN_MARK: Cell<bool> = const { Cell::new(false) };
}

/// The futex, with a mark that nobody else knows.
struct OwnMark;

impl Parking for OwnMark {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        Futex.wait(word, expected, timeout)
    }

    fn wake(&self, word: &AtomicU32) {
        Futex.wake(word);
    }

    fn now(&self) -> Duration {
        Futex.now()
    }

    fn enter(&self) -> bool {
        !OWN_MARK.replace(true)
    }

    fn leave(&self) {
        OWN_MARK.set(false);
    }
}

fn parkings_with_marks_of_their_own() {
    let (outer, inner) = (EventPoll::new(), Arc::new(EventPoll::with_parking(&OwnMark)));
    let source = OwnSource::watched(Events::IN);
    inner.add(&source, Interest::IN, 1).unwrap();
    outer.add(&*inner, Interest::IN, 2).unwrap();
    let (of_hook, seen) = (Arc::downgrade(&inner), Arc::new(Mutex::new(Vec::new())));
    let kept = seen.clone();
    source.hook(move || kept.lock().unwrap().push(of_hook.upgrade().unwrap().watches().map(|_| ())));
    assert_eq!(outer.wait(&mut [Ready::default()], Some(Duration::ZERO)), Ok(1));
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty(), "the hook ran");
    assert!(seen.iter().all(|result| *result == Err(Error::Deadlock)), "{seen:?}");
}
