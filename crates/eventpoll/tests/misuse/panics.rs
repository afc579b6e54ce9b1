//! A user's code that panics inside the event poll: the panic is the caller's, and the event poll goes on.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Events, Interest, Ready};

use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::own_source::OwnSource;
use crate::common::tasks;
use crate::common::waiters::Waiters;

ours_alone!(
    in_a_level,
    in_a_level_beside_a_sleeper,
    in_a_level_below_a_nested_event_poll,
    in_a_store,
    in_a_level_that_add_asks_for,
);

const NOW: Option<Duration> = Some(Duration::ZERO);

fn now(poll: &EventPoll) -> Vec<u64> {
    let mut out = [Ready::default(); 16];
    let stored = poll.wait(&mut out, NOW).unwrap();
    out[..stored].iter().map(|ready| ready.token).collect()
}

/// Panics, without a word about it.
fn panic_quietly() {
    resume_unwind(Box::new("on purpose"));
}

fn panics<R>(call: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(call)).is_err(), "the panic comes through");
}

/// An event poll with a source that panics once when it is asked, between two others.
fn panicking() -> (EventPoll, eventpoll::Watched<OwnSource>, [Event; 2]) {
    let (poll, source, others) = (EventPoll::new(), OwnSource::watched(Events::IN), [Event::new(1), Event::new(1)]);
    poll.add(&others[0], Interest::IN | Interest::EDGE, 1).unwrap();
    poll.add(&source, Interest::IN, 2).unwrap();
    poll.add(&others[1], Interest::IN | Interest::EDGE, 3).unwrap();
    source.hook(panic_quietly);
    (poll, source, others)
}

fn in_a_level() {
    let (poll, source, others) = panicking();
    panics(|| now(&poll));
    // The first event was taken by the wait that panicked; what was behind it is all there.
    assert_eq!(now(&poll), [2, 3]);
    others[0].write(1).unwrap();
    assert_eq!(now(&poll), [2, 1]);
    assert_eq!(poll.delete(&source), Ok(()));
    assert_eq!(now(&poll), []);
    // A waiter still sleeps and wakes.
    let (poll, end) = (Arc::new(poll), Event::new(0));
    poll.add(&end, Interest::IN, 9).unwrap();
    let waiters = Waiters::in_each::<Ours>([&poll, &poll]);
    waiters.release(|| end.write(1).unwrap());
}

fn in_a_level_beside_a_sleeper() {
    let (poll, source) = (Arc::new(EventPoll::new()), OwnSource::watched(Events::empty()));
    poll.add(&source, Interest::IN, 1).unwrap();
    let waiters = Waiters::in_each::<Ours>([&poll]);
    let unlucky = Arc::new(AtomicI32::new(0));
    let last_asleep = {
        let (poll, task) = (poll.clone(), unlucky.clone());
        thread::spawn(move || {
            task.store(tasks::current(), Ordering::Release);
            panics(|| poll.wait(&mut [Ready::default()], None));
        })
    };
    while !tasks::moment(unlucky.load(Ordering::Acquire)).is_some_and(tasks::Moment::asleep) {
        thread::yield_now();
    }
    source.set(Events::IN);
    source.hook(panic_quietly);
    source.notify(Events::IN);
    last_asleep.join().unwrap();
    waiters.settle();
    assert_eq!(waiters.returned(), [0], "what is left is for the next waiter");
    waiters.release(|| ());
}

fn in_a_level_below_a_nested_event_poll() {
    let (inner, _source, [first, _last]) = panicking();
    let outer = EventPoll::new();
    outer.add(&inner, Interest::IN, 9).unwrap();
    inner.delete(&first).unwrap();
    panics(|| now(&outer));
    assert_eq!(now(&outer), [9]);
    assert_eq!(now(&inner), [2, 3]);
    assert_eq!(now(&outer), [9]);
}

fn in_a_store() {
    let (poll, events) = (EventPoll::new(), [(); 3].map(|()| Event::new(1)));
    for (event, token) in events.iter().zip(1..) {
        poll.add(event, Interest::IN | Interest::EDGE, token).unwrap();
    }
    panics(|| {
        poll.wait_with(3, NOW, |ready| {
            if ready.token == 2 {
                panic_quietly();
            }
            true
        })
    });
    assert_eq!(now(&poll), [2, 3], "what could not be stored keeps its edge");
}

fn in_a_level_that_add_asks_for() {
    let (poll, source) = (EventPoll::new(), OwnSource::watched(Events::IN));
    source.hook(panic_quietly);
    panics(|| poll.add(&source, Interest::IN, 1));
    // Whether it is there now is the user's affair to find out; either way the event poll is whole.
    let there = poll.modify(&source, Interest::IN, 2).is_ok() || poll.add(&source, Interest::IN, 2).is_ok();
    assert!(there);
    assert_eq!(now(&poll), [2]);
    drop(source);
    assert_eq!((now(&poll), poll.len()), (vec![], Ok(0)));
}
