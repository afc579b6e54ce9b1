//! The wait itself: its time, its interruptions, its errors.

use crate::common::PATIENCE;
use crate::{NOW, reactor, reported, waited};
use eventpoll::sources::Event;
use onewait::Errno;
use onewait::reactor::{Events, Interest, Reactor, Ready};
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn no_room_is_invalid() {
    assert_eq!(reactor().wait(&mut [], None), Err(Errno::INVAL));
}

#[test]
fn a_wait_is_never_early() {
    let mut reactor = reactor();
    for micros in [0, 1, 50, 999, 1_000, 1_001, 15_000] {
        let (begin, timeout) = (Instant::now(), Duration::from_micros(micros));
        assert_eq!(waited(&mut reactor, Some(timeout)), []);
        assert!(begin.elapsed() >= timeout);
    }
}

#[test]
fn descriptors_and_sources_end_in_one_wait() {
    let mut reactor = reactor();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let event = Event::new(0);
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    reactor.registry().add(&event, Interest::IN, 2).unwrap();
    assert_eq!(reported(&mut reactor), []);
    writer.write_all(b"x").unwrap();
    event.write(1).unwrap();
    let mut both = reported(&mut reactor);
    both.sort_by_key(|(token, _)| *token);
    assert_eq!(both, [(1, Events::IN), (2, Events::IN)]);
}

#[test]
fn a_source_that_another_thread_notifies_ends_a_sleep() {
    let mut reactor = reactor();
    let event = Arc::new(Event::new(0));
    reactor.registry().add(&event, Interest::IN | Interest::EDGE, 7).unwrap();
    for _ in 0..500 {
        let notifier = {
            let event = Arc::clone(&event);
            thread::spawn(move || event.write(1).unwrap())
        };
        assert_eq!(waited(&mut reactor, PATIENCE), [(7, Events::IN)]);
        notifier.join().unwrap();
        assert_eq!(event.read(), Ok(1));
    }
}

#[test]
fn a_descriptor_that_another_thread_adds_ends_a_sleep() {
    let mut reactor = reactor();
    let registry = reactor.registry().clone();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let adder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        registry.add(&reader, Interest::IN, 3).unwrap();
        reader
    });
    assert_eq!(waited(&mut reactor, PATIENCE), [(3, Events::IN)]);
    drop(adder.join().unwrap());
}

#[test]
fn a_waker_ends_a_sleep_or_the_next_one_and_is_no_event() {
    let mut reactor = reactor();
    let waker = reactor.registry().waker();
    waker.wake();
    waker.wake();
    assert_eq!(reported(&mut reactor), [], "a wait of no time takes no notice");
    assert_eq!(waited(&mut reactor, PATIENCE), []);
    for _ in 0..500 {
        let waker = waker.clone();
        let other = thread::spawn(move || waker.wake());
        assert_eq!(waited(&mut reactor, PATIENCE), []);
        other.join().unwrap();
    }
}

#[test]
fn wakers_that_never_tire_do_not_keep_descriptors_waiting() {
    let mut reactor = reactor();
    let waker = reactor.registry().waker();
    let (reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    writer.write_all(b"x").unwrap();
    let mut found = 0;
    for _ in 0..100 {
        waker.wake();
        found += waited(&mut reactor, PATIENCE).len();
    }
    assert!(found >= 50, "reported {found} times in 100 turns");
}

#[test]
fn a_descriptor_may_have_any_token() {
    let mut reactor = reactor();
    let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
    let tokens = [0, u64::MAX, 1 << 63];
    for ((reader, writer), token) in pipes.iter().zip(tokens) {
        let mut writer = writer;
        reactor.registry().add(reader, Interest::IN, token).unwrap();
        writer.write_all(b"x").unwrap();
    }
    let seen: Vec<_> = reported(&mut reactor).into_iter().map(|(token, _)| token).collect();
    assert_eq!(seen, tokens);
}

#[test]
fn a_reactor_may_move_to_another_thread_between_waits() {
    let mut reactor = reactor();
    let event = Arc::new(Event::new(0));
    reactor.registry().add(&event, Interest::IN, 1).unwrap();
    let mut reactor = thread::spawn(move || {
        assert_eq!(reported(&mut reactor), []);
        reactor
    })
    .join()
    .unwrap();
    event.write(1).unwrap();
    assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
}

#[test]
fn with_spinning_nothing_is_lost_and_the_time_is_kept() {
    let mut reactor = Reactor::builder().spin(Duration::from_micros(50)).build().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN | Interest::EDGE, 1).unwrap();
    for round in 0..200 {
        let begin = Instant::now();
        assert_eq!(waited(&mut reactor, Some(Duration::from_micros(100))), []);
        assert!(begin.elapsed() >= Duration::from_micros(100));
        if round % 2 == 0 {
            writer.write_all(b"x").unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
        }
    }
}

#[test]
fn an_event_is_reported_to_whoever_has_room_for_one() {
    let mut reactor = reactor();
    let (reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    writer.write_all(b"x").unwrap();
    let mut one = [Ready::default()];
    for _ in 0..10 {
        assert_eq!(reactor.wait(&mut one, PATIENCE).unwrap().len(), 1);
    }
    assert_eq!(reactor.wait(&mut one, NOW).unwrap()[0].token, 1);
}

#[test]
fn a_ring_that_came_too_late_hides_no_descriptor() {
    let (mut reactor, event) = (reactor(), Event::new(0));
    let pipes: Vec<_> = (0..2).map(|_| std::io::pipe().unwrap()).collect();
    let [(a, to_a), (b, to_b)] = &pipes[..] else { unreachable!() };
    let edge = Interest::IN | Interest::EDGE;
    reactor.registry().add(a, edge, 1).unwrap();
    reactor.registry().add(b, edge, 2).unwrap();
    reactor.registry().add(&event, edge, 3).unwrap();
    let mut one = [Ready::default()];
    for _ in 0..300 {
        // The sleeper is woken by the one, and the other's ring is left in the kernel.
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(200));
                let mut to_a = to_a;
                to_a.write_all(b"x").unwrap();
                event.write(1).unwrap();
            });
            assert_eq!(reactor.wait(&mut one, PATIENCE).unwrap().len(), 1);
        });
        assert_eq!(event.read(), Ok(1));
        let mut byte = [0];
        let (mut from_a, mut from_b, mut to_b) = (a, b, to_b);
        from_a.read_exact(&mut byte).unwrap();
        to_b.write_all(b"x").unwrap();
        assert_eq!(reactor.wait(&mut one, NOW).unwrap(), [Ready { token: 2, events: Events::IN }]);
        from_b.read_exact(&mut byte).unwrap();
    }
}
