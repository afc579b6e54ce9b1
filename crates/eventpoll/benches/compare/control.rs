//! Changing what is watched, among 1000 items.

use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Interest, Ready};

use crate::kernel::{Epoll, EventFlags, Eventfd};
use crate::report::{Report, Required};

const ITEMS: usize = 1000;

struct Both {
    poll: EventPoll,
    events: Vec<Event>,
    epoll: Epoll,
    eventfds: Vec<Eventfd>,
}

impl Both {
    fn new(interest: Interest, flags: EventFlags) -> Self {
        let both = Self {
            poll: EventPoll::new(),
            events: (0..ITEMS).map(|_| Event::new(0)).collect(),
            epoll: Epoll::new(),
            eventfds: (0..ITEMS).map(|_| Eventfd::new()).collect(),
        };
        for (token, (event, eventfd)) in both.events.iter().zip(&both.eventfds).enumerate() {
            both.poll.add(event, interest, token as u64).unwrap();
            both.epoll.add(eventfd, flags, token as u64);
        }
        both
    }
}

pub(crate) fn rows(report: &mut Report) {
    if report.wants("add + delete") {
        let Both { poll, events, epoll, eventfds } = Both::new(Interest::IN, EventFlags::IN);
        report.race(
            "add + delete",
            Required::Cheaper(5.0),
            "epoll",
            |count| {
                for event in events.iter().cycle().take(count) {
                    poll.delete(event).unwrap();
                    poll.add(event, Interest::IN, 1).unwrap();
                }
            },
            |count| {
                for eventfd in eventfds.iter().cycle().take(count) {
                    epoll.delete(eventfd);
                    epoll.add(eventfd, EventFlags::IN, 1);
                }
            },
        );
    }
    if report.wants("modify") {
        let Both { poll, events, epoll, eventfds } = Both::new(Interest::IN, EventFlags::IN);
        report.race(
            "modify",
            Required::Cheaper(4.0),
            "epoll",
            |count| {
                for event in events.iter().cycle().take(count) {
                    poll.modify(event, Interest::IN, 1).unwrap();
                }
            },
            |count| {
                for eventfd in eventfds.iter().cycle().take(count) {
                    epoll.modify(eventfd, EventFlags::IN, 1);
                }
            },
        );
    }
    if report.wants("oneshot re-arm") {
        oneshot(report);
    }
}

/// A notification, its report, and the item armed again.
fn oneshot(report: &mut Report) {
    let interest = Interest::IN | Interest::ONESHOT;
    let flags = EventFlags::IN | EventFlags::ONESHOT;
    let Both { poll, events, mut epoll, eventfds } = Both::new(interest, flags);
    let mut out = [Ready::default(); 8];
    report.race(
        "oneshot re-arm",
        Required::Cheaper(6.0),
        "eventfd, epoll",
        |count| {
            for event in events.iter().cycle().take(count) {
                event.write(1).unwrap();
                assert_eq!(poll.wait(&mut out, Some(Duration::ZERO)), Ok(1));
                event.read().unwrap();
                poll.modify(event, interest, 1).unwrap();
            }
        },
        |count| {
            for eventfd in eventfds.iter().cycle().take(count) {
                eventfd.write();
                assert_eq!(epoll.wait(), 1);
                eventfd.read();
                epoll.modify(eventfd, flags, 1);
            }
        },
    );
}
