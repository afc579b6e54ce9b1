//! Things that are dropped while others use them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use eventpoll::sources::{Event, pipe};
use eventpoll::{Error, EventPoll, Events, Interest, Ready};

use crate::common::ours_alone;
use crate::common::own_source::OwnSource;

ours_alone!(
    a_source_while_it_notifies,
    a_source_while_it_is_waited_for,
    an_event_poll_while_its_source_notifies,
    an_inner_event_poll_while_its_source_notifies,
    both_ends_of_a_pipe_at_once,
    a_delete_while_the_source_notifies,
    a_source_that_is_gone_does_not_count_in_the_limit,
    state_is_dropped_when_nobody_can_look_at_it,
);

const NOW: Option<Duration> = Some(Duration::ZERO);
const ROUNDS: usize = 1000;

/// Starts both at the same time, on two threads.
fn at_once(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    let start = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            a();
        });
        start.wait();
        b();
    });
}

fn a_source_while_it_notifies() {
    for round in 0..ROUNDS {
        let (poll, source) = (EventPoll::new(), OwnSource::watched(Events::IN));
        let notifier = source.notifier();
        poll.add(&source, Interest::IN | if round % 2 == 0 { Interest::EDGE } else { Interest::empty() }, 1).unwrap();
        at_once(
            move || {
                for _ in 0..10 {
                    notifier.notify(Events::IN);
                }
            },
            move || drop(source),
        );
        assert_eq!(poll.wait(&mut [Ready::default()], NOW), Ok(0), "round {round}");
        assert_eq!(poll.len(), Ok(0));
    }
}

fn a_source_while_it_is_waited_for() {
    for round in 0..ROUNDS {
        let (poll, stays) = (EventPoll::new(), Event::new(1));
        let goes = [(); 4].map(|()| Event::new(1));
        for (event, token) in goes.iter().zip(1..) {
            poll.add(event, Interest::IN, token).unwrap();
        }
        poll.add(&stays, Interest::IN, 9).unwrap();
        at_once(
            || {
                for _ in 0..10 {
                    assert!(poll.wait(&mut [Ready::default(); 8], NOW).is_ok_and(|stored| stored >= 1));
                }
            },
            move || drop(goes),
        );
        let mut out = [Ready::default(); 8];
        assert_eq!((poll.wait(&mut out, NOW), out[0].token), (Ok(1), 9), "round {round}");
        assert_eq!(poll.len(), Ok(1));
    }
}

fn an_event_poll_while_its_source_notifies() {
    for _ in 0..ROUNDS {
        let (poll, event) = (EventPoll::new(), Event::new(0));
        poll.add(&event, Interest::IN, 1).unwrap();
        at_once(move || drop(poll), || (0..10).for_each(|_| event.write(1).unwrap()));
        assert_eq!(event.read(), Ok(10));
    }
}

fn an_inner_event_poll_while_its_source_notifies() {
    for _ in 0..ROUNDS {
        let (outer, inner, event) = (EventPoll::new(), EventPoll::new(), Event::new(0));
        inner.add(&event, Interest::IN, 1).unwrap();
        outer.add(&inner, Interest::IN, 1).unwrap();
        at_once(
            move || drop(inner),
            || {
                for _ in 0..10 {
                    event.write(1).unwrap();
                    outer.wait(&mut [Ready::default()], NOW).unwrap();
                }
            },
        );
        assert_eq!((outer.wait(&mut [Ready::default()], NOW), outer.len()), (Ok(0), Ok(0)));
    }
}

fn both_ends_of_a_pipe_at_once() {
    for _ in 0..ROUNDS {
        let (poll, (reader, writer)) = (EventPoll::new(), pipe());
        poll.add(&reader, Interest::IN, 1).unwrap();
        poll.add(&writer, Interest::OUT, 2).unwrap();
        at_once(
            move || {
                // Fails if the reader goes first.
                let _ = writer.write(&[1]);
                drop(writer);
            },
            move || {
                let _ = reader.read(&mut [0; 8]);
            },
        );
        // The reader went at the end of its closure, the writer too.
        assert_eq!((poll.wait(&mut [Ready::default()], NOW), poll.len()), (Ok(0), Ok(0)));
    }
}

fn a_delete_while_the_source_notifies() {
    for round in 0..ROUNDS {
        let (poll, event) = (EventPoll::new(), Event::new(0));
        poll.add(&event, Interest::IN, 1).unwrap();
        at_once(|| (0..10).for_each(|_| event.write(1).unwrap()), || poll.delete(&event).unwrap());
        assert_eq!(poll.wait(&mut [Ready::default()], NOW), Ok(0), "round {round}");
        assert_eq!(poll.delete(&event), Err(Error::NotFound));
        poll.add(&event, Interest::IN | Interest::EDGE, 2).unwrap();
        let mut out = [Ready::default(); 4];
        assert_eq!((poll.wait(&mut out, NOW), out[0].token), (Ok(1), 2), "an old notification is not the new item's");
        assert_eq!(poll.wait(&mut out, NOW), Ok(0));
    }
}

fn a_source_that_is_gone_does_not_count_in_the_limit() {
    let (poll, source, third) = (EventPoll::new(), OwnSource::watched(Events::empty()), Event::new(0));
    let mut victim = Some(Event::new(0));
    poll.set_limit(2);
    poll.add(victim.as_ref().unwrap(), Interest::IN, 1).unwrap();
    // Dropped with the event poll locked, and nothing gathers after it.
    source.hook(move || drop(victim.take()));
    poll.add(&source, Interest::IN, 2).unwrap();
    assert_eq!(poll.add(&third, Interest::IN, 3), Ok(()));
    assert_eq!(poll.add(&Event::new(0), Interest::IN, 4), Err(Error::NoSpace));
}

/// Counts how many of its kind were dropped.
struct Counted(Arc<AtomicU64>);

impl eventpoll::Source for Counted {
    fn level(&self) -> Events {
        Events::IN
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn state_is_dropped_when_nobody_can_look_at_it() {
    let dropped = Arc::new(AtomicU64::new(0));
    let source = || eventpoll::Watched::new(Counted(dropped.clone()));
    let poll = EventPoll::new();
    for count in 1..=3 {
        let source = source();
        poll.add(&source, Interest::IN, 1).unwrap();
        drop(source);
        // The next call that locks the event poll does it, at the latest.
        assert_eq!(poll.wait(&mut [Ready::default()], NOW), Ok(0));
        assert_eq!(dropped.load(Ordering::Relaxed), count);
    }
    let kept = source();
    poll.add(&kept, Interest::IN, 1).unwrap();
    drop(poll);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    drop(kept);
    assert_eq!(dropped.load(Ordering::Relaxed), 4);
}
