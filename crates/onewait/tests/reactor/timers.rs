//! The reactor's timers.

use crate::common::PATIENCE;
use crate::{reactor, reported, waited};
use onewait::Errno;
use onewait::reactor::{Events, Reactor, Ready};
use std::time::{Duration, Instant};

#[test]
fn a_timer_ends_a_sleep_and_is_never_early() {
    let mut reactor = reactor();
    for micros in [1, 100, 1_000, 3_500, 20_000] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        reactor.arm_timer(deadline, micros).unwrap();
        assert_eq!(waited(&mut reactor, PATIENCE), [(micros, Events::IN)]);
        assert!(Instant::now() >= deadline);
        assert_eq!(reported(&mut reactor), [], "once");
    }
}

#[test]
fn timers_come_in_the_order_of_their_deadlines() {
    let mut reactor = reactor();
    let begin = Instant::now();
    for place in [3_u64, 1, 4, 0, 2] {
        reactor.arm_timer(begin + Duration::from_micros(place), place).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1));
    let tokens: Vec<_> = reported(&mut reactor).into_iter().map(|(token, _)| token).collect();
    assert_eq!(tokens, [0, 1, 2, 3, 4]);
}

#[test]
fn a_cancelled_timer_is_not_reported_and_a_key_is_good_once() {
    let mut reactor = reactor();
    let timer = reactor.arm_timer_in(Duration::ZERO, 5).unwrap();
    assert_eq!(reactor.cancel_timer(timer), Some(5));
    assert_eq!(reactor.cancel_timer(timer), None);
    assert_eq!(reported(&mut reactor), []);
    let next = reactor.arm_timer_in(Duration::ZERO, 6).unwrap();
    assert_eq!(reactor.cancel_timer(timer), None, "it names the other one");
    assert_eq!(reported(&mut reactor), [(6, Events::IN)]);
    assert_eq!(reactor.rearm_timer(next, Instant::now()), None);
}

#[test]
fn a_rearmed_timer_comes_at_its_new_deadline() {
    let mut reactor = reactor();
    let timer = reactor.arm_timer_in(Duration::ZERO, 5).unwrap();
    let deadline = Instant::now() + Duration::from_millis(5);
    let timer = reactor.rearm_timer(timer, deadline).unwrap();
    assert_eq!(reported(&mut reactor), []);
    assert_eq!(waited(&mut reactor, PATIENCE), [(5, Events::IN)]);
    assert!(Instant::now() >= deadline);
    assert_eq!(reactor.cancel_timer(timer), None);
}

#[test]
fn the_limit_of_timers_is_eagain() {
    let mut reactor = Reactor::builder().timers(2).build().unwrap();
    let first = reactor.arm_timer_in(Duration::from_secs(60), 1).unwrap();
    reactor.arm_timer_in(Duration::from_secs(60), 2).unwrap();
    assert_eq!(reactor.arm_timer_in(Duration::ZERO, 3).unwrap_err(), Errno::AGAIN);
    reactor.cancel_timer(first);
    assert!(reactor.arm_timer_in(Duration::ZERO, 3).is_ok());
}

#[test]
fn a_deadline_beyond_the_clock_never_comes_and_does_not_end_the_wait() {
    let mut reactor = reactor();
    reactor.arm_timer_in(Duration::MAX, 1).unwrap();
    assert_eq!(waited(&mut reactor, Some(Duration::from_millis(5))), []);
}

#[test]
fn a_million_timers_are_reported_once_each() {
    const COUNT: u64 = 1_000_000;
    let mut reactor = reactor();
    for token in 0..COUNT {
        reactor.arm_timer_in(Duration::from_nanos(token * 7919 % 1_000_000), token).unwrap();
    }
    let (mut events, mut seen) = (vec![Ready::default(); 4096], vec![false; COUNT as usize]);
    let mut left = COUNT;
    while left > 0 {
        let events = reactor.wait(&mut events, PATIENCE).unwrap();
        assert!(!events.is_empty());
        for ready in events {
            assert!(!std::mem::replace(&mut seen[ready.token as usize], true));
        }
        left -= events.len() as u64;
    }
}
