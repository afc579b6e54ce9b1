//! A reactor that another loop polls: one made of `poll(2)`, and another reactor.

use crate::common::PATIENCE;
use crate::{drain, embeddable, reactor, reported, waited};
use eventpoll::sources::Event;
use onewait::reactor::{Events, Fd, Interest, Reactor, Ready};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Whether the descriptor becomes readable within this time.
fn is_readable(reactor: &Reactor, timeout: Duration) -> bool {
    let fd = reactor.descriptor().expect("it is embeddable").as_raw_fd();
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, valid for the call.
    let count = unsafe { libc::poll(&raw mut entry, 1, timeout.as_millis() as i32) };
    assert!(count >= 0);
    count == 1
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn only_an_embeddable_reactor_has_a_descriptor() {
    assert!(reactor().descriptor().is_none());
    assert!(embeddable().descriptor().is_some());
}

#[test]
fn it_is_readable_when_a_source_is_ready_and_not_after_that_was_reported() {
    let mut reactor = embeddable();
    let event = Event::new(0);
    reactor.registry().add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    for _ in 0..3 {
        assert!(!is_readable(&reactor, Duration::ZERO));
        event.write(1).unwrap();
        assert!(is_readable(&reactor, Duration::ZERO));
        assert_eq!(drain(&mut reactor), [1]);
    }
    assert!(!is_readable(&reactor, Duration::ZERO));
}

#[test]
fn it_is_readable_as_long_as_something_is_left_to_report() {
    let mut reactor = embeddable();
    let events = [Event::new(1), Event::new(1), Event::new(1)];
    for (token, event) in events.iter().enumerate() {
        reactor.registry().add(event, Interest::IN | Interest::EDGE, token as u64).unwrap();
    }
    reactor.arm_timer_in(Duration::ZERO, 3).unwrap();
    reactor.arm_timer_in(Duration::ZERO, 4).unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        assert!(is_readable(&reactor, LONG));
        let mut one = [Ready::default()];
        let found = reactor.wait(&mut one, Some(Duration::ZERO)).unwrap();
        seen.push(found[0].token);
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(drain(&mut reactor), []);
    assert!(!is_readable(&reactor, Duration::ZERO));
}

#[test]
fn it_is_readable_when_a_descriptor_is_ready() {
    let mut reactor = embeddable();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    assert!(!is_readable(&reactor, Duration::ZERO));
    writer.write_all(b"x").unwrap();
    assert!(is_readable(&reactor, Duration::ZERO));
    assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
    reader.read_exact(&mut [0]).unwrap();
    assert_eq!(drain(&mut reactor), []);
    assert!(!is_readable(&reactor, Duration::ZERO));
}

#[test]
fn it_is_readable_when_a_timer_is_due_and_not_before() {
    let mut reactor = embeddable();
    let late = reactor.arm_timer_in(LONG, 1).unwrap();
    for round in 2..5 {
        let deadline = Instant::now() + Duration::from_millis(3);
        reactor.arm_timer(deadline, round).unwrap();
        assert!(is_readable(&reactor, LONG));
        assert!(Instant::now() >= deadline);
        assert_eq!(drain(&mut reactor), [round]);
        assert!(!is_readable(&reactor, Duration::ZERO));
    }
    assert!(reactor.rearm_timer(late, Instant::now()).is_some());
    assert!(is_readable(&reactor, LONG));
    assert_eq!(drain(&mut reactor), [1]);
}

#[test]
fn a_waker_makes_it_readable() {
    let mut reactor = embeddable();
    let waker = reactor.registry().waker();
    for _ in 0..2 {
        waker.wake();
        assert!(is_readable(&reactor, Duration::ZERO));
        assert_eq!(waited(&mut reactor, PATIENCE), [], "it does not sleep");
        assert!(!is_readable(&reactor, Duration::ZERO));
    }
}

#[test]
fn a_reactor_in_a_reactor_loses_nothing() {
    let (mut outer, mut inner) = (reactor(), embeddable());
    let event = Arc::new(Event::new(0));
    inner.registry().add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    outer.registry().add(Fd(&inner.descriptor().unwrap()), Interest::IN, 7).unwrap();
    assert_eq!(reported(&mut outer), []);
    let writer = {
        let event = Arc::clone(&event);
        thread::spawn(move || (0..2_000).for_each(|_| event.write(1).unwrap()))
    };
    let mut count = 0;
    while count < 2_000 {
        assert_eq!(waited(&mut outer, PATIENCE), [(7, Events::IN)]);
        drain(&mut inner);
        count += event.read().unwrap_or(0);
    }
    writer.join().unwrap();
}

#[test]
fn a_waker_that_comes_with_an_event_ends_the_next_wait() {
    let mut reactor = embeddable();
    let event = Event::new(0);
    reactor.registry().add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    event.write(1).unwrap();
    reactor.registry().waker().wake();
    assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
    let begin = Instant::now();
    assert_eq!(waited(&mut reactor, PATIENCE), []);
    assert!(begin.elapsed() < LONG, "it was woken, and not for the time");
}

#[test]
fn the_rings_of_the_doorbell_take_no_room() {
    let mut reactor = embeddable();
    let (reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    // The doorbell first, then the pipe.
    reactor.registry().waker().wake();
    writer.write_all(b"x").unwrap();
    let mut one = [Ready::default()];
    assert_eq!(reactor.wait(&mut one, Some(Duration::ZERO)).unwrap().len(), 1);
}
