//! The wait call: its room, its end, and signals.

use crate::bits::{ET, IN, OUT};
use crate::fds::{counter, raise, stream, take, write};
use crate::process::{Waiter, interrupt};
use crate::tasks;
use crate::world::{List, NOW, World, both, event};
use libc::{EINTR, EINVAL};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

both!(
    rule_48_no_room_is_invalid,
    rule_48_more_room_than_is_ready,
    rule_52_no_time_polls,
    rule_52_never_early,
    rule_52_without_a_timeout_it_waits_for_an_event,
    rule_52_an_event_ends_it_before_its_time,
    rule_55_a_sleeping_wait_is_interrupted,
    rule_56_an_event_beats_an_interruption,
    rule_56_an_event_after_an_interruption_is_kept,
    rule_57_a_wait_of_no_time_is_not_interrupted,
    rule_58_an_infinite_wait_never_returns_nothing,
    rule_59_a_waiter_woken_as_it_times_out_loses_nothing,
    rule_61_harvest_and_control_are_serialised,
);

fn rule_48_no_room_is_invalid<W: World>() {
    let (mut w, one) = (W::new(), counter(1));
    assert_eq!(w.wait(0, NOW), Err(EINVAL));
    w.add(&one, IN | ET, 1).unwrap();
    assert_eq!(w.wait(0, None), Err(EINVAL));
    assert_eq!(w.now(1), [event(IN, 1)]);
}

fn rule_48_more_room_than_is_ready<W: World>() {
    let (mut w, one) = (W::new(), counter(1));
    w.add(&one, IN | ET, 1).unwrap();
    assert_eq!(w.now(1 << 16), [event(IN, 1)]);
}

fn rule_52_no_time_polls<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    assert_eq!(w.wait(8, NOW), Ok(vec![]), "an empty interest list is none to refuse");
    w.add(&near, IN, 1).unwrap();
    assert_eq!(w.wait(8, NOW), Ok(vec![]));
    write(&far, 1).unwrap();
    assert_eq!(w.wait(8, NOW), Ok(vec![event(IN, 1)]));
}

fn rule_52_never_early<W: World>() {
    let (mut w, one) = (W::new(), counter(0));
    w.add(&one, IN, 1).unwrap();
    for micros in [1, 10, 100, 999, 1_000, 1_001, 2_500, 20_000] {
        let (timeout, start) = (Duration::from_micros(micros), Instant::now());
        assert_eq!(w.wait(8, Some(timeout)), Ok(vec![]));
        assert!(start.elapsed() >= timeout, "{:?} instead of {timeout:?}", start.elapsed());
    }
}

/// More than the limit of the test.
const FAR: Option<Duration> = Some(Duration::from_secs(1 << 30));

fn ends_a_sleep<W: World>(timeout: Option<Duration>) {
    let (w, (near, far)) = (W::new(), stream());
    w.add(&near, IN, 1).unwrap();
    let waiter = Waiter::new(w, 8, timeout);
    assert!(!waiter.has_returned());
    write(&far, 1).unwrap();
    assert_eq!(waiter.join().1, Ok(vec![event(IN, 1)]));
}

fn rule_52_without_a_timeout_it_waits_for_an_event<W: World>() {
    ends_a_sleep::<W>(None);
}

fn rule_52_an_event_ends_it_before_its_time<W: World>() {
    ends_a_sleep::<W>(FAR);
}

fn rule_55_a_sleeping_wait_is_interrupted<W: World>() {
    for timeout in [None, FAR] {
        let (w, one) = (W::new(), counter(0));
        w.add(&one, IN, 1).unwrap();
        let waiter = Waiter::new(w, 8, timeout);
        interrupt(waiter.task());
        let (mut w, outcome) = waiter.join();
        assert_eq!(outcome, Err(EINTR));
        raise(&one, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)]);
    }
}

fn rule_56_an_event_beats_an_interruption<W: World>() {
    for _ in 0..100 {
        let (w, one) = (W::new(), counter(0));
        w.add(&one, IN | ET, 1).unwrap();
        let waiter = Waiter::new(w, 8, None);
        raise(&one, 1).unwrap();
        interrupt(waiter.task());
        let (mut w, outcome) = waiter.join();
        assert_eq!(outcome, Ok(vec![event(IN, 1)]));
        assert_eq!(w.now(8), []);
    }
}

fn rule_56_an_event_after_an_interruption_is_kept<W: World>() {
    for _ in 0..100 {
        let (w, one) = (W::new(), counter(0));
        w.add(&one, IN | ET, 1).unwrap();
        let waiter = Waiter::new(w, 8, None);
        interrupt(waiter.task());
        raise(&one, 1).unwrap();
        let (mut w, outcome) = waiter.join();
        // Whoever was too quick to see the event has left it there.
        let left = match outcome {
            Ok(events) => {
                assert_eq!(events, [event(IN, 1)]);
                vec![]
            }
            outcome => {
                assert_eq!(outcome, Err(EINTR));
                vec![event(IN, 1)]
            }
        };
        assert_eq!(w.now(8), left);
    }
}

fn rule_57_a_wait_of_no_time_is_not_interrupted<W: World>() {
    let (mut w, one, done) = (W::new(), counter(0), AtomicBool::new(false));
    w.add(&one, IN, 1).unwrap();
    let task = tasks::current();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2_000 {
                interrupt(task);
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            assert_eq!(w.wait(8, NOW), Ok(vec![]));
        }
    });
}

fn rule_58_an_infinite_wait_never_returns_nothing<W: World>() {
    let (w, one, other) = (W::new(), counter(0), counter(0));
    w.add(&one, IN, 1).unwrap();
    w.add(&other, IN | ET, 2).unwrap();
    let mut waiter = Waiter::new(w, 8, None);
    for _ in 0..300 {
        // The waiter may find that what it was woken for is over; or it was quick, and another waits in its place.
        for number in [&one, &other] {
            raise(number, 1).unwrap();
            let _ = take(number);
        }
        waiter.settle();
        if waiter.has_returned() {
            let (w, outcome) = waiter.join();
            assert!(!outcome.expect("nobody interrupts").is_empty());
            waiter = Waiter::new(w, 8, None);
        }
    }
    raise(&one, 1).unwrap();
    assert!(!waiter.join().1.expect("nobody interrupts").is_empty());
}

fn rule_59_a_waiter_woken_as_it_times_out_loses_nothing<W: World>() {
    let (mut w, one) = (W::new(), counter(0));
    w.add(&one, IN | ET, 1).unwrap();
    for micros in (0..100).cycle().take(1_000) {
        let found = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_micros(50));
                raise(&one, 1).unwrap();
            });
            w.wait(8, Some(Duration::from_micros(50 + micros))).expect("nobody interrupts")
        });
        let left = w.now(8);
        assert_eq!([found, left].concat(), [event(IN, 1)]);
    }
}

fn rule_61_harvest_and_control_are_serialised<W: World>() {
    const CHANGES: u64 = 5_000;
    let (mut w, one) = (W::new(), counter(1));
    w.add(&one, IN, 0).unwrap();
    let list = w.list().clone();
    thread::scope(|scope| {
        let one = &one;
        scope.spawn(move || {
            for change in 1..=CHANGES {
                // Now IN, now OUT, so that what is reported tells which change it belongs to.
                list.modify(one, if change % 2 == 0 { IN } else { OUT }, change).unwrap();
            }
        });
        let mut last = 0;
        while last < CHANGES {
            let [seen] = w.next(8)[..] else { panic!("one descriptor is watched, and it is ready") };
            assert!(seen.data >= last, "{seen:?} after {last}");
            assert_eq!(seen.bits, if seen.data % 2 == 0 { IN } else { OUT }, "{seen:?}");
            last = seen.data;
        }
    });
}
