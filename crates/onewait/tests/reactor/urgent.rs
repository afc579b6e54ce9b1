//! Two classes: what is urgent comes first, and yet starves nobody. Counted in turns.

use crate::common::{PATIENCE, Scratch, in_child};
use crate::{NOW, reactor, reported, waited};
use eventpoll::EventPoll;
use eventpoll::sources::Event;
use onewait::Errno;
use onewait::reactor::{Dispatcher, Events, Fd, Interest, Next, Reactor, Ready};
use std::collections::HashMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::thread;
use std::time::Duration;

const EXISTS: Result<(), Errno> = Err(Errno(libc::EEXIST));
const NOT_FOUND: Result<(), Errno> = Err(Errno(libc::ENOENT));

/// Tokens of the kinds begin here.
const TIMER: u64 = 1 << 32;
const SOURCE: u64 = 2 << 32;
const DESCRIPTOR: u64 = 3 << 32;
const URGENT_SOURCE: u64 = 4 << 32;
const URGENT_DESCRIPTOR: u64 = 5 << 32;

fn is_urgent(token: u64) -> bool {
    token >= URGENT_SOURCE
}

/// A pipe that is readable.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    (reader, writer)
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
fn modify_and_delete_find_the_class() {
    let (mut reactor, event, (reader, _writer)) = (reactor(), Event::new(1), full_pipe());
    let (scratch, once) = (Scratch::new(), Interest::IN | Interest::ONESHOT);
    let file = scratch.open();
    let registry = reactor.registry().clone();
    registry.add_urgent(&event, once, 1).unwrap();
    registry.add_urgent(&reader, once, 2).unwrap();
    registry.add_urgent(&file, once, 3).unwrap();
    let mut found = reported(&mut reactor);
    found.sort_unstable_by_key(|(token, _)| *token);
    assert_eq!(found.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(reported(&mut reactor), []);
    registry.modify(&event, once, 4).unwrap();
    registry.modify(&reader, once, 5).unwrap();
    registry.modify(&file, once, 6).unwrap();
    let mut found = reported(&mut reactor);
    found.sort_unstable_by_key(|(token, _)| *token);
    assert_eq!(found, [4, 5, 6].map(|token| (token, Events::IN)));
    registry.delete(&event).unwrap();
    registry.delete(&reader).unwrap();
    registry.delete(&file).unwrap();
    for result in [registry.delete(&event), registry.delete(&reader), registry.delete(&file)] {
        assert_eq!(result, NOT_FOUND);
    }
    for result in [registry.modify(&event, once, 7), registry.modify(&reader, once, 7), registry.modify(&file, once, 7)]
    {
        assert_eq!(result, NOT_FOUND);
    }
    assert_eq!(reported(&mut reactor), []);
}

#[test]
fn what_is_watched_in_one_class_exists_in_the_other() {
    let (mut reactor, event, (reader, _writer), scratch) = (reactor(), Event::new(1), full_pipe(), Scratch::new());
    let file = scratch.open();
    let registry = reactor.registry().clone();
    for _ in 0..2 {
        registry.add(&event, Interest::IN, 1).unwrap();
        registry.add(&reader, Interest::IN, 2).unwrap();
        registry.add(&file, Interest::IN, 3).unwrap();
        assert_eq!(registry.add_urgent(&event, Interest::IN, 7), EXISTS);
        assert_eq!(registry.add_urgent(&reader, Interest::IN, 7), EXISTS);
        assert_eq!(registry.add_urgent(&file, Interest::IN, 7), EXISTS);
        let mut found = reported(&mut reactor);
        found.sort_unstable_by_key(|(token, _)| *token);
        assert_eq!(found, [1, 2, 3].map(|token| (token, Events::IN)), "once each");
        registry.delete(&event).unwrap();
        registry.delete(&reader).unwrap();
        registry.delete(&file).unwrap();
        registry.add_urgent(&event, Interest::IN, 4).unwrap();
        registry.add_urgent(&reader, Interest::IN, 5).unwrap();
        registry.add_urgent(&file, Interest::IN, 6).unwrap();
        for result in [registry.add(&event, Interest::IN, 7), registry.add(&reader, Interest::IN, 7)] {
            assert_eq!(result, EXISTS);
        }
        assert_eq!(registry.add(&file, Interest::IN, 7), EXISTS);
        assert_eq!(registry.add_urgent(&reader, Interest::IN, 7), EXISTS);
        registry.delete(&event).unwrap();
        registry.delete(&reader).unwrap();
        registry.delete(&file).unwrap();
    }
    assert_eq!(reported(&mut reactor), [], "nothing is left of what was tried");
}

/// Two threads that add one thing in different classes at once: at most one has it.
#[test]
fn a_race_of_the_classes_has_at_most_one_winner() {
    for _ in 0..300 {
        let (mut reactor, event, (reader, _writer)) = (reactor(), Event::new(1), full_pipe());
        let (normal, urgent) = (reactor.registry().clone(), reactor.registry().clone());
        let both = thread::scope(|scope| {
            let (event, reader) = (&event, &reader);
            let one = scope.spawn(move || (normal.add(event, Interest::IN, 1), normal.add(reader, Interest::IN, 2)));
            let other = scope
                .spawn(move || (urgent.add_urgent(event, Interest::IN, 1), urgent.add_urgent(reader, Interest::IN, 2)));
            [one.join().unwrap(), other.join().unwrap()]
        });
        let winners = |token| match token {
            1 => both.iter().filter(|(event, _)| event.is_ok()).count(),
            _ => both.iter().filter(|(_, reader)| reader.is_ok()).count(),
        };
        assert!(winners(1) <= 1 && winners(2) == 1, "{both:?}");
        let found = reported(&mut reactor);
        for token in [1, 2] {
            assert_eq!(found.iter().filter(|(it, _)| *it == token).count(), winners(token), "{both:?}: {found:?}");
        }
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_class_that_is_not_used_takes_no_descriptor() {
    in_child("urgent::a_class_that_is_not_used_takes_no_descriptor", &[], || {
        let (event, (reader, _writer)) = (Event::new(1), full_pipe());
        let before = open_descriptors();
        let mut reactor = reactor();
        assert_eq!(open_descriptors() - before, 2, "the epoll and the doorbell");
        reactor.registry().add_urgent(&event, Interest::IN, 1).unwrap();
        assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
        assert_eq!(open_descriptors() - before, 2, "nor does a source");
        reactor.registry().add_urgent(&reader, Interest::IN, 2).unwrap();
        assert_eq!(open_descriptors() - before, 3);
        drop(reactor);
        assert_eq!(open_descriptors(), before);
    });
}

#[test]
fn without_a_descriptor_for_the_class_nothing_is_watched_and_it_can_be_tried_again() {
    in_child("urgent::without_a_descriptor_for_the_class_nothing_is_watched_and_it_can_be_tried_again", &[], || {
        let ((reader, _writer), mut reactor) = (full_pipe(), reactor());
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let none = rustix::process::Rlimit { current: Some(0), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, none).unwrap();
        let refused = reactor.registry().add_urgent(&reader, Interest::IN, 1);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        assert_eq!(refused, Err(Errno(libc::EMFILE)));
        assert_eq!(reported(&mut reactor), []);
        reactor.registry().add_urgent(&reader, Interest::IN, 1).unwrap();
        assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
    });
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
fn an_urgent_epoll_has_one_link_less_below_it() {
    let reactor = reactor();
    let epolls: Vec<_> =
        (0..4).map(|_| rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap()).collect();
    for (outer, inner) in epolls.iter().zip(&epolls[1..]) {
        let data = rustix::event::epoll::EventData::new_u64(0);
        rustix::event::epoll::add(outer, inner, data, rustix::event::epoll::EventFlags::IN).unwrap();
    }
    assert_eq!(reactor.registry().add_urgent(Fd(&epolls[0]), Interest::IN, 1), Err(Errno(libc::ELOOP)));
    assert_eq!(reactor.registry().add_urgent(Fd(&epolls[1]), Interest::IN, 1), Ok(()));
    assert_eq!(reactor.registry().add(Fd(&epolls[0]), Interest::IN, 1), Ok(()));
}

#[test]
fn an_urgent_event_poll_has_as_many_links_as_any() {
    let (mut reactor, event) = (reactor(), Event::new(1));
    let polls: Vec<_> = (0..4).map(|_| EventPoll::new()).collect();
    for (outer, inner) in polls.iter().zip(&polls[1..]) {
        outer.add(inner, Interest::IN, 0).unwrap();
    }
    polls[3].add(&event, Interest::IN, 0).unwrap();
    reactor.registry().add_urgent(&polls[0], Interest::IN, 1).unwrap();
    assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
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

/// A child of `fork` has the epoll, but its parent would know nothing of one more.
#[test]
fn a_forked_child_begins_no_urgent_class_and_shares_one() {
    in_child("urgent::a_forked_child_begins_no_urgent_class_and_shares_one", &[], || {
        let (mut reactor, (first, _first_writer), (second, _second_writer)) = (reactor(), full_pipe(), full_pipe());
        let add =
            |reactor: &Reactor, what: &PipeReader, token| reactor.registry().add_urgent(what, Interest::IN, token);
        assert_eq!(in_fork(|| add(&reactor, &first, 1) == Err(Errno::INVAL)), 0);
        add(&reactor, &first, 1).unwrap();
        assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
        assert_eq!(in_fork(|| add(&reactor, &second, 2) == Ok(())), 0);
        let mut found = reported(&mut reactor);
        found.sort_unstable_by_key(|(token, _)| *token);
        assert_eq!(found, [(1, Events::IN), (2, Events::IN)], "rule 46");
    });
}

/// The exit status of a child of this process: 0 if it says yes.
fn in_fork(body: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child makes system calls, and ends; this process has no other thread that holds a lock.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(i32::from(!body())),
            child => {
                let mut status = -1;
                assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                status
            }
        }
    }
}
