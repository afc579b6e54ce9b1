//! A parking whose `wake` calls back: the only code of a user's that runs in a notify.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Futex, Interest, Parked, Parking, Ready};

use crate::common::ours_alone;

ours_alone!(deleting_in_a_notify);

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
    assert_eq!(poll.len(), 2);
}
