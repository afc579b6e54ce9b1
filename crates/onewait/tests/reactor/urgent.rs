//! Two classes: what is urgent comes first, and yet starves nobody. Counted in turns.

use crate::common::PATIENCE;
use crate::{NOW, full_pipe, reactor, reported, waited};
use eventpoll::sources::Event;
use onewait::reactor::{Dispatcher, Events, Interest, Next, Reactor, Ready};
use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::thread;
use std::time::Duration;

/// Tokens of the kinds begin here.
const TIMER: u64 = 1 << 32;
const SOURCE: u64 = 2 << 32;
const DESCRIPTOR: u64 = 3 << 32;
const URGENT_SOURCE: u64 = 4 << 32;
const URGENT_DESCRIPTOR: u64 = 5 << 32;

fn is_urgent(token: u64) -> bool {
    token >= URGENT_SOURCE
}

/// A reactor with so many of each kind, all ready by level, for ever.
struct Crowd {
    reactor: Reactor,
    has_timer: bool,
    _events: Vec<Event>,
    _pipes: Vec<(PipeReader, PipeWriter)>,
}

#[derive(Clone, Copy, Default)]
struct Sizes {
    timer: bool,
    sources: u64,
    descriptors: u64,
    urgent_sources: u64,
    urgent_descriptors: u64,
}

impl Crowd {
    fn new(sizes: Sizes) -> Crowd {
        let mut reactor = reactor();
        let (mut events, mut pipes) = (Vec::new(), Vec::new());
        let kinds = [(sizes.sources, SOURCE), (sizes.urgent_sources, URGENT_SOURCE)];
        for token in kinds.into_iter().flat_map(|(count, first)| first..first + count) {
            let event = Event::new(1);
            let registry = reactor.registry();
            let add = if is_urgent(token) {
                registry.add_urgent(&event, Interest::IN, token)
            } else {
                registry.add(&event, Interest::IN, token)
            };
            add.unwrap();
            events.push(event);
        }
        let kinds = [(sizes.descriptors, DESCRIPTOR), (sizes.urgent_descriptors, URGENT_DESCRIPTOR)];
        for token in kinds.into_iter().flat_map(|(count, first)| first..first + count) {
            let pipe = full_pipe();
            let registry = reactor.registry();
            let add = if is_urgent(token) {
                registry.add_urgent(&pipe.0, Interest::IN, token)
            } else {
                registry.add(&pipe.0, Interest::IN, token)
            };
            add.unwrap();
            pipes.push(pipe);
        }
        if sizes.timer {
            reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
        }
        Crowd { reactor, has_timer: sizes.timer, _events: events, _pipes: pipes }
    }

    fn turn(&mut self, room: usize, timeout: Option<Duration>) -> Vec<u64> {
        let mut events = vec![Ready::default(); room];
        let found = self.reactor.wait(&mut events, timeout).unwrap();
        let tokens: Vec<_> = found.iter().map(|ready| ready.token).collect();
        if self.has_timer && tokens.contains(&TIMER) {
            self.reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
        }
        tokens
    }

    /// How often each token is reported.
    fn turns(&mut self, room: usize, turns: usize, timeout: Option<Duration>) -> HashMap<u64, usize> {
        let mut counts = HashMap::new();
        for _ in 0..turns {
            let tokens = self.turn(room, timeout);
            let normal = tokens.iter().position(|token| !is_urgent(*token)).unwrap_or(tokens.len());
            assert!(!tokens[normal..].iter().any(|token| is_urgent(*token)), "urgent ones are first: {tokens:x?}");
            for token in tokens {
                *counts.entry(token).or_default() += 1;
            }
        }
        counts
    }
}

const TIMEOUTS: [Option<Duration>; 2] = [NOW, PATIENCE];

#[test]
fn nobody_starves_where_all_are_always_ready() {
    for timeout in TIMEOUTS {
        for room in [1, 2, 3, 4, 5, 6, 7, 8, 16, 64] {
            let sizes = Sizes { timer: true, sources: 3, descriptors: 3, urgent_sources: 3, urgent_descriptors: 3 };
            let counts = Crowd::new(sizes).turns(room, 240, timeout);
            for token in [SOURCE, DESCRIPTOR, URGENT_SOURCE, URGENT_DESCRIPTOR].into_iter().flat_map(|it| it..it + 3) {
                // With one place a class has 120, its kinds 40 or 60, and each of three 13.
                assert!(counts.get(&token).is_some_and(|count| *count >= 13), "{room}: {token:x} of {counts:x?}");
            }
            assert!(counts[&TIMER] >= 40, "{room}: {counts:x?}");
        }
    }
}

#[test]
fn the_classes_take_turns_at_one_place() {
    let one_of = |class: [bool; 5]| Sizes {
        timer: class[0],
        sources: class[1].into(),
        descriptors: class[2].into(),
        urgent_sources: class[3].into(),
        urgent_descriptors: class[4].into(),
    };
    for timeout in TIMEOUTS {
        for (normal, urgent) in (0..3).flat_map(|normal| [3, 4].map(|urgent| (normal, urgent))) {
            let mut class = [false; 5];
            (class[normal], class[urgent]) = (true, true);
            let counts = Crowd::new(one_of(class)).turns(1, 100, timeout);
            let urgent: usize = counts.iter().filter(|(token, _)| is_urgent(**token)).map(|(_, count)| count).sum();
            assert!((49..=51).contains(&urgent), "{class:?}: {counts:x?}");
        }
    }
}

#[test]
fn many_that_are_urgent_leave_half_of_the_room() {
    for timeout in TIMEOUTS {
        for (sources, descriptors) in [(200, 0), (0, 200), (200, 200)] {
            let sizes =
                Sizes { sources: 20, urgent_sources: sources, urgent_descriptors: descriptors, ..Sizes::default() };
            let counts = Crowd::new(sizes).turns(20, 200, timeout);
            let sum = |first| (first..first + 200).map(|token| counts.get(&token).copied().unwrap_or(0)).sum::<usize>();
            // Half of the room, and of that a third is for descriptors, which are asked.
            assert_eq!(sum(SOURCE), if descriptors == 0 { 200 * 10 } else { 200 * 7 });
            assert_eq!(sum(URGENT_SOURCE) + sum(URGENT_DESCRIPTOR), 200 * 10);
            assert!(sum(URGENT_SOURCE) >= 200 * 5 || sources == 0);
            assert!(sum(URGENT_DESCRIPTOR) >= 200 * 5 || descriptors == 0);
        }
    }
}

/// Crowds of normal ones, also such that leave no room in a sleep.
#[test]
fn many_that_are_normal_delay_nobody_who_is_urgent() {
    for timeout in TIMEOUTS {
        for (timer, sources, descriptors) in [(true, 100, 100), (false, 100, 0), (false, 0, 100), (true, 0, 0)] {
            for room in [1, 2, 3, 5, 8, 30] {
                let sizes = Sizes { timer, sources, descriptors, ..Sizes::default() };
                let mut crowd = Crowd::new(sizes);
                let (event, (mut reader, mut writer)) = (Event::new(0), io::pipe().unwrap());
                crowd.reactor.registry().add_urgent(&event, Interest::IN, URGENT_SOURCE).unwrap();
                crowd.reactor.registry().add_urgent(&reader, Interest::IN, URGENT_DESCRIPTOR).unwrap();
                for round in 0..30 {
                    // At any moment of the rotations.
                    for _ in 0..round % 7 {
                        assert!(!crowd.turn(room, timeout).into_iter().any(is_urgent));
                    }
                    let by_descriptor = round % 2 == 0;
                    let expected = if by_descriptor { URGENT_DESCRIPTOR } else { URGENT_SOURCE };
                    if by_descriptor {
                        writer.write_all(b"x").unwrap();
                    } else {
                        event.write(1).unwrap();
                    }
                    let mut tokens = crowd.turn(room, timeout);
                    if room == 1 && tokens != [expected] {
                        tokens = crowd.turn(room, timeout);
                    }
                    assert_eq!(tokens.first(), Some(&expected), "room for {room}: {tokens:x?}");
                    if by_descriptor {
                        reader.read_exact(&mut [0]).unwrap();
                    } else {
                        event.read().unwrap();
                    }
                }
            }
        }
    }
}

#[test]
fn a_sleeping_reactor_is_woken_by_what_is_urgent() {
    let mut reactor = reactor();
    let (event, (reader, mut writer)) = (Event::new(0), io::pipe().unwrap());
    let registry = reactor.registry().clone();
    let other = thread::spawn(move || {
        // The first of their class, while it sleeps.
        thread::sleep(Duration::from_millis(20));
        registry.add_urgent(&event, Interest::IN, 1).unwrap();
        thread::sleep(Duration::from_millis(20));
        event.write(1).unwrap();
        thread::sleep(Duration::from_millis(20));
        registry.add_urgent(&reader, Interest::IN | Interest::EDGE, 2).unwrap();
        event.read().unwrap();
        thread::sleep(Duration::from_millis(20));
        writer.write_all(b"x").unwrap();
        (event, reader, writer)
    });
    let mut seen = Vec::new();
    while seen.last() != Some(&2) {
        let found = waited(&mut reactor, PATIENCE);
        assert!(!found.is_empty());
        seen.extend(found.into_iter().map(|(token, _)| token));
    }
    assert!(seen.contains(&1));
    let _alive = other.join().unwrap();
    assert_eq!(reported(&mut reactor), []);
    // And so it sleeps again.
    assert_eq!(waited(&mut reactor, Some(Duration::from_millis(5))), []);
}

#[test]
fn a_waker_wakes_a_reactor_with_two_classes() {
    let mut reactor = reactor();
    let event = Event::new(0);
    reactor.registry().add_urgent(&event, Interest::IN, 1).unwrap();
    for _ in 0..3 {
        let waker = reactor.registry().waker();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(5));
            waker.wake();
        });
        assert_eq!(waited(&mut reactor, None), []);
        other.join().unwrap();
    }
}

#[test]
fn another_loop_sees_what_is_urgent() {
    let (mut inner, mut outer) = (Reactor::builder().embeddable().build().unwrap(), reactor());
    let (event, (mut reader, mut writer)) = (Event::new(0), io::pipe().unwrap());
    inner.registry().add_urgent(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    inner.registry().add_urgent(&reader, Interest::IN, 2).unwrap();
    outer.registry().add(inner.descriptor().unwrap(), Interest::IN, 9).unwrap();
    // The beginning of the class has rung.
    assert_eq!(reported(&mut inner), []);
    assert_eq!(reported(&mut outer), []);
    for _ in 0..3 {
        event.write(1).unwrap();
        assert_eq!(waited(&mut outer, PATIENCE), [(9, Events::IN)]);
        assert_eq!(reported(&mut inner), [(1, Events::IN)]);
        writer.write_all(b"x").unwrap();
        assert_eq!(waited(&mut outer, PATIENCE), [(9, Events::IN)]);
        assert_eq!(reported(&mut inner), [(2, Events::IN)]);
        reader.read_exact(&mut [0]).unwrap();
        assert_eq!(reported(&mut inner), []);
        assert_eq!(reported(&mut outer), []);
    }
}

#[test]
fn an_urgent_handler_is_called_first() {
    let mut dispatcher = Dispatcher::<Vec<&str>>::new().unwrap();
    dispatcher
        .watch(Event::new(1), Interest::IN, |_, log: &mut Vec<_>, _, _| {
            log.push("normal");
            Ok(Next::Remove)
        })
        .unwrap();
    dispatcher
        .watch_urgent(Event::new(1), Interest::IN | Interest::ONESHOT, |_, log: &mut Vec<_>, _, _| {
            log.push("urgent");
            Ok(if log.len() > 2 { Next::Remove } else { Next::Watch(Interest::IN) })
        })
        .unwrap();
    let mut log = Vec::new();
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log, ["urgent", "normal", "urgent"]);
}
