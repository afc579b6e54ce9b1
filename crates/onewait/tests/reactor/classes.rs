//! What is in which class: watching, changing, and what the urgent one takes.

use crate::common::{PATIENCE, Scratch, in_child};
use crate::{full_pipe, reactor, reported};
use eventpoll::EventPoll;
use eventpoll::sources::Event;
use onewait::Errno;
use onewait::reactor::{Events, Fd, Interest, Reactor, Registry, Watchable};
use std::hint;
use std::io::PipeReader;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

const EXISTS: Result<(), Errno> = Err(Errno(libc::EEXIST));
const NOT_FOUND: Result<(), Errno> = Err(Errno(libc::ENOENT));

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

/// Two threads that add the same things in different classes at once: at most one has each of them.
#[test]
fn a_race_of_the_classes_has_at_most_one_winner() {
    const ROUNDS: usize = 2_000;
    let (mut reactor, events, (reader, _writer)) = (reactor(), [(); 32].map(|()| Event::new(1)), full_pipe());
    // In each round both say that they are there, so that both begin at the same time; and the same at its end.
    let gate = |arrived: &AtomicUsize, count: usize| {
        arrived.fetch_add(1, Ordering::AcqRel);
        let begin = Instant::now();
        for look in 0_u32.. {
            if arrived.load(Ordering::Acquire) >= count {
                return;
            }
            assert!(Some(begin.elapsed()) < PATIENCE, "the other one has failed");
            // It may need this processor.
            if look < 200 { hint::spin_loop() } else { thread::yield_now() }
        }
    };
    let (begins, ends) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let play = |registry: Registry, is_urgent: bool| {
        for round in 1..=ROUNDS {
            gate(&begins, 2 * round);
            let add = |what: &dyn Watchable| match is_urgent {
                true => registry.add_urgent(what, Interest::IN, 1),
                false => registry.add(what, Interest::IN, 1),
            };
            let _ = add(&reader);
            // From both ends: somewhere they meet.
            for place in 0..events.len() {
                let _ = add(&events[if is_urgent { place } else { events.len() - 1 - place }]);
            }
            gate(&ends, 2 * round);
            if is_urgent {
                registry.delete(&reader).expect("the later one has not failed, or the earlier one has not");
                assert_eq!(registry.delete(&reader), NOT_FOUND);
                for event in &events {
                    // Neither may have it: both have seen that the other is about to.
                    let _ = registry.delete(event);
                    assert_eq!(registry.delete(event), NOT_FOUND, "round {round}: it was in both");
                }
            }
        }
    };
    thread::scope(|scope| {
        let (normal, urgent) = (reactor.registry().clone(), reactor.registry().clone());
        scope.spawn(|| play(normal, false));
        scope.spawn(|| play(urgent, true));
    });
    assert_eq!(reported(&mut reactor), []);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_class_that_is_not_used_takes_no_descriptor() {
    in_child("classes::a_class_that_is_not_used_takes_no_descriptor", &[], || {
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
    in_child("classes::without_a_descriptor_for_the_class_nothing_is_watched_and_it_can_be_tried_again", &[], || {
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

/// A child of `fork` has the epoll, but its parent would know nothing of one more.
#[test]
fn a_forked_child_begins_no_urgent_class_and_shares_one() {
    in_child("classes::a_forked_child_begins_no_urgent_class_and_shares_one", &[], || {
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
