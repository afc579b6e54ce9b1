//! An event poll that is closed while others use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use eventpoll::sources::{Event, pipe};
use eventpoll::{Error, EventPoll, Events, Interest, Ready};
use libc::EBADF;

use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::waiters::Waiters;

ours_alone!(
    closing_wakes_all_waiters,
    closing_beats_a_timeout,
    all_calls_after_closing_fail,
    a_closed_inner_event_poll_is_silent,
    closing_beside_everything_else,
    a_waker_outlives_its_event_poll,
);

const NOW: Option<Duration> = Some(Duration::ZERO);

fn closing_wakes_all_waiters() {
    for _ in 0..50 {
        let (poll, event) = (Arc::new(EventPoll::new()), Event::new(0));
        poll.add(&event, Interest::IN, 1).unwrap();
        let waiters = Waiters::in_each::<Ours>([&poll, &poll, &poll]);
        poll.close();
        waiters.settle();
        assert_eq!(waiters.outcomes(), [Some(Err(EBADF)), Some(Err(EBADF)), Some(Err(EBADF))]);
        waiters.release(|| ());
    }
}

fn closing_beats_a_timeout() {
    let poll = Arc::new(EventPoll::new());
    let mut waiters = Waiters::default();
    waiters.start_timed::<Ours>(&poll, Some(Duration::from_secs(1 << 30)));
    waiters.settle();
    poll.close();
    waiters.settle();
    assert_eq!(waiters.outcomes(), [Some(Err(EBADF))]);
    waiters.release(|| ());
}

fn all_calls_after_closing_fail() {
    let (poll, old, new) = (EventPoll::new(), Event::new(1), Event::new(1));
    poll.add(&old, Interest::IN, 1).unwrap();
    let waker = poll.waker();
    poll.close();
    poll.close();
    let mut out = [Ready::default()];
    assert_eq!(poll.wait(&mut out, NOW), Err(Error::Closed));
    assert_eq!(poll.wait(&mut out, None), Err(Error::Closed));
    assert_eq!(poll.wait(&mut [], None), Err(Error::Closed), "rule 48: closed comes first");
    assert_eq!(poll.add(&new, Interest::IN, 1), Err(Error::Closed));
    assert_eq!(poll.modify(&old, Interest::IN, 1), Err(Error::Closed));
    assert_eq!(poll.delete(&old), Err(Error::Closed));
    assert_eq!(poll.watches(), Err(Error::Closed));
    assert_eq!((poll.poll(), poll.len(), poll.is_empty()), (Events::empty(), Err(Error::Closed), Err(Error::Closed)));
    waker.wake();
    old.write(1).unwrap();
    assert_eq!(poll.wait(&mut out, None), Err(Error::Closed));
}

fn a_closed_inner_event_poll_is_silent() {
    let (outer, inner, event) = (EventPoll::new(), EventPoll::new(), Event::new(1));
    inner.add(&event, Interest::IN, 1).unwrap();
    outer.add(&inner, Interest::IN, 2).unwrap();
    inner.close();
    assert_eq!(outer.wait(&mut [Ready::default()], NOW), Ok(0));
    event.write(1).unwrap();
    assert_eq!(outer.wait(&mut [Ready::default()], NOW), Ok(0));
    assert_eq!(outer.delete(&inner), Ok(()), "it is closed, but it is there");
}

fn closing_beside_everything_else() {
    for round in 0..100 {
        let (poll, event, (reader, writer)) = (EventPoll::new(), Event::new(0), pipe());
        let outer = EventPoll::new();
        outer.add(&poll, Interest::IN, 0).unwrap();
        let closed = AtomicBool::new(false);
        let allowed = |result: Result<(), Error>| {
            assert!(matches!(result, Ok(()) | Err(Error::Closed | Error::Exists | Error::NotFound)), "{result:?}");
            result != Err(Error::Closed)
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut out = [Ready::default(); 4];
                    while poll.wait(&mut out, Some(Duration::from_micros(50))) != Err(Error::Closed) {}
                });
            }
            scope.spawn(|| {
                while allowed(poll.add(&event, Interest::IN, 1))
                    && allowed(poll.add(&reader, Interest::IN | Interest::EDGE, 2))
                    && allowed(poll.delete(&event))
                    && allowed(poll.modify(&reader, Interest::IN, 3))
                {}
            });
            scope.spawn(|| {
                while !closed.load(Ordering::Relaxed) {
                    event.write(1).unwrap();
                    let _ = writer.write(&[0]);
                    let _ = outer.wait(&mut [Ready::default()], NOW);
                    poll.waker().wake();
                }
            });
            for _ in 0..round % 10 {
                thread::yield_now();
            }
            poll.close();
            closed.store(true, Ordering::Relaxed);
        });
        assert_eq!(poll.len(), Err(Error::Closed));
    }
}

fn a_waker_outlives_its_event_poll() {
    let poll = EventPoll::new();
    let waker = poll.waker();
    drop(poll);
    waker.wake();
    waker.clone().wake();
}
