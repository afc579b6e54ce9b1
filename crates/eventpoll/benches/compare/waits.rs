//! Notifying and waiting, on one thread.

use std::hint::black_box;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Interest, Ready};

use crate::counting;
use crate::kernel::{Epoll, EventFlags, Eventfd};
use crate::report::{Figure, Report, Required};

const NOW: Option<Duration> = Some(Duration::ZERO);
const BATCH: usize = 64;

pub(crate) fn rows(report: &mut Report) {
    if report.wants("notify + wait, edge") {
        one(report);
    }
    if report.wants("notify + wait, edge, batches of 64") {
        batches(report);
    }
    if report.wants("wait that finds nothing") {
        nothing(report);
    }
    if report.wants("coalesced notify") {
        coalesced(report);
    }
    if report.wants("allocations in notify and wait") {
        allocations(report);
    }
}

fn one(report: &mut Report) {
    let (poll, event) = (EventPoll::new(), Event::new(0));
    poll.add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    let mut out = [Ready::default(); BATCH];
    let (mut epoll, eventfd) = (Epoll::new(), Eventfd::new());
    epoll.add(&eventfd, EventFlags::IN | EventFlags::ET, 1);
    report.race(
        "notify + wait, edge",
        Required::Cheaper(8.0),
        "eventfd, epoll",
        |events| {
            for _ in 0..events {
                event.write(1).unwrap();
                assert_eq!(poll.wait(&mut out, NOW), Ok(1));
            }
        },
        |events| {
            for _ in 0..events {
                eventfd.write();
                assert_eq!(epoll.wait(), 1);
            }
        },
    );
}

fn batches(report: &mut Report) {
    let poll = EventPoll::new();
    let events: Vec<_> = (0..BATCH).map(|_| Event::new(0)).collect();
    let mut epoll = Epoll::new();
    let eventfds: Vec<_> = (0..BATCH).map(|_| Eventfd::new()).collect();
    for (token, (event, eventfd)) in events.iter().zip(&eventfds).enumerate() {
        poll.add(event, Interest::IN | Interest::EDGE, token as u64).unwrap();
        epoll.add(eventfd, EventFlags::IN | EventFlags::ET, token as u64);
    }
    let mut out = [Ready::default(); BATCH];
    report.race(
        "notify + wait, edge, batches of 64",
        Required::Cheaper(9.0),
        "eventfd, epoll",
        |count| {
            for _ in 0..count / BATCH {
                for event in &events {
                    event.write(1).unwrap();
                }
                assert_eq!(poll.wait(&mut out, NOW), Ok(BATCH));
            }
        },
        |count| {
            for _ in 0..count / BATCH {
                for eventfd in &eventfds {
                    eventfd.write();
                }
                assert_eq!(epoll.wait(), BATCH);
            }
        },
    );
}

fn nothing(report: &mut Report) {
    let (poll, event) = (EventPoll::new(), Event::new(0));
    poll.add(&event, Interest::IN, 1).unwrap();
    let mut out = [Ready::default(); BATCH];
    let (mut epoll, eventfd) = (Epoll::new(), Eventfd::new());
    epoll.add(&eventfd, EventFlags::IN, 1);
    report.race(
        "wait that finds nothing",
        Required::Cheaper(15.0),
        "epoll",
        |events| {
            for _ in 0..events {
                assert_eq!(black_box(&poll).wait(&mut out, NOW), Ok(0));
            }
        },
        |events| {
            for _ in 0..events {
                assert_eq!(epoll.wait(), 0);
            }
        },
    );
}

fn coalesced(report: &mut Report) {
    let (poll, event) = (EventPoll::new(), Event::new(0));
    poll.add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    event.write(1).unwrap();
    let (epoll, eventfd) = (Epoll::new(), Eventfd::new());
    epoll.add(&eventfd, EventFlags::IN | EventFlags::ET, 1);
    eventfd.write();
    report.race(
        "coalesced notify",
        Required::Below(15.0),
        "eventfd, epoll",
        |events| {
            for _ in 0..events {
                event.write(1).unwrap();
            }
        },
        |events| {
            for _ in 0..events {
                eventfd.write();
            }
        },
    );
}

fn allocations(report: &mut Report) {
    let (poll, event) = (EventPoll::new(), Event::new(0));
    poll.add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    let mut out = [Ready::default(); BATCH];
    let short = Some(Duration::from_nanos(1));
    // The first sleep makes the waiter that later ones use again.
    assert_eq!(poll.wait(&mut out, short), Ok(0));
    let before = counting::allocations();
    for _ in 0..1000 {
        event.write(1).unwrap();
        assert_eq!(poll.wait(&mut out, NOW), Ok(1));
        assert_eq!(poll.wait(&mut out, short), Ok(0));
    }
    let count = counting::allocations() - before;
    report.add("allocations in notify and wait", Figure::exactly(count as f64), None, "of 1000", Required::Below(0.0));
}
