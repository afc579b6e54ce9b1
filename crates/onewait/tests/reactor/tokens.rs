//! All tokens are the user's, also the one that the reactor has for its own.

use crate::common::PATIENCE;
use crate::{reported, waited};
use onewait::reactor::{Events, Interest, Reactor, Ready};
use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

fn embeddable() -> Reactor {
    Reactor::builder().embeddable().build().unwrap()
}

/// The token that an embeddable reactor has for its doorbell, as the kernel tells it of what the epoll watches.
fn own_token(reactor: &Reactor) -> u64 {
    own_token_of(reactor.descriptor().unwrap().as_raw_fd())
}

fn own_token_of(number: RawFd) -> u64 {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    // `tfd: 5 events: 80000019 data: 7f0000001234 …`; the doorbell was the first, and edges are its alone.
    let mut words = info.lines().find(|line| line.contains("events: 80000019")).unwrap().split_whitespace();
    words.find(|word| *word == "data:").unwrap();
    u64::from_str_radix(words.next().unwrap(), 16).unwrap()
}

#[test]
fn the_reactors_own_token_is_given_up_for_whoever_wants_it() {
    let mut reactor = embeddable();
    let pipes: Vec<_> = (0..4).map(|_| std::io::pipe().unwrap()).collect();
    let mut tokens = Vec::new();
    for (place, (reader, writer)) in pipes.iter().enumerate() {
        let token = own_token(&reactor);
        if place == 2 {
            // By a change of what is watched already.
            reactor.registry().add(reader, Interest::IN, 1).unwrap();
            reactor.registry().modify(reader, Interest::IN, token).unwrap();
        } else {
            reactor.registry().add(reader, Interest::IN, token).unwrap();
        }
        assert_ne!(own_token(&reactor), token);
        tokens.push(token);
        let mut writer = writer;
        writer.write_all(b"x").unwrap();
        let mut found: Vec<_> = reported(&mut reactor).into_iter().map(|(token, _)| token).collect();
        found.sort_unstable();
        tokens.sort_unstable();
        assert_eq!(found, tokens);
    }
    for (reader, _) in &pipes {
        reactor.registry().delete(reader).unwrap();
    }
    // The doorbell and the timer are told from all of them as before.
    reactor.registry().waker().wake();
    assert_eq!(waited(&mut reactor, PATIENCE), []);
    reactor.arm_timer_in(Duration::from_millis(1), 5).unwrap();
    assert_eq!(waited(&mut reactor, PATIENCE), [(5, Events::IN)]);
}

#[test]
fn the_urgent_class_has_no_token_of_its_own() {
    let mut reactor = embeddable();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let token = own_token(&reactor);
    reactor.registry().add_urgent(&reader, Interest::IN, token).unwrap();
    assert_ne!(own_token(&reactor), token, "it may be modified into the other class's");
    writer.write_all(b"x").unwrap();
    assert_eq!(reported(&mut reactor), [(token, Events::IN)]);
}

/// Another thread wants the reactor's own token again and again, while it waits and is rung for.
#[test]
fn a_wait_reports_no_token_that_nobody_gave_and_loses_none_meanwhile() {
    const ROUNDS: usize = 1_000;
    let mut reactor = embeddable();
    let (registry, waker) = (reactor.registry().clone(), reactor.registry().waker());
    let number = reactor.descriptor().unwrap().as_raw_fd();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let (given, seen, over) = (Mutex::new(HashSet::new()), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                waker.wake();
                thread::yield_now();
            }
        });
        scope.spawn(|| {
            let _end = OnDrop(&over);
            for _ in 0..ROUNDS {
                let token = own_token_of(number);
                given.lock().unwrap().insert(token);
                registry.add(&reader, Interest::IN | Interest::EDGE, token).unwrap();
                let begin = Instant::now();
                while seen.load(Ordering::Relaxed) != token {
                    assert!(Some(begin.elapsed()) < PATIENCE, "it was lost");
                    thread::yield_now();
                }
                registry.delete(&reader).unwrap();
            }
        });
        let _end = OnDrop(&over);
        let mut events = [Ready::default(); 8];
        while !over.load(Ordering::Relaxed) {
            for ready in reactor.wait(&mut events, Some(Duration::from_millis(1))).unwrap() {
                assert!(given.lock().unwrap().contains(&ready.token), "{:x} is nobody's", ready.token);
                seen.store(ready.token, Ordering::Relaxed);
            }
        }
    });
}

/// Ends the others, also when the test fails.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
