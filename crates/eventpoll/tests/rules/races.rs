//! Waits, controls and notifications at the same time: what may come of it, and what never.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::common::bits::{ET, IN, ONESHOT, OUT};
use crate::common::both;
use crate::common::world::{Counter, Event, Poll, Watched, World, event};

both!(
    rule_58_an_infinite_wait_never_returns_nothing,
    rule_60_waits_of_no_time_share_one_edge,
    rule_61_an_event_has_the_data_of_its_bits,
    rule_68_a_concurrent_modify_loses_nothing,
    rule_68_a_concurrent_rearm_loses_nothing,
    rule_70_a_wait_after_delete_does_not_report_it,
);

const END: u64 = u64::MAX;

fn rule_58_an_infinite_wait_never_returns_nothing<W: World>() {
    // Several threads are woken for one level that the first of them takes away.
    let (poll, counter, end) = (W::poll(), W::semaphore(0), W::counter(0));
    poll.add(counter.source(), IN, 1).unwrap();
    poll.add(end.source(), IN, END).unwrap();
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let seen = poll.wait(1, None).unwrap();
                    assert_eq!(seen.len(), 1, "an infinite wait came back with nothing");
                    if seen[0].data == END {
                        return;
                    }
                    taken.fetch_add(counter.read().unwrap_or(0), Ordering::Relaxed);
                }
            });
        }
        for written in 1..=1000 {
            counter.write(1).unwrap();
            while taken.load(Ordering::Relaxed) < written {
                thread::yield_now();
            }
        }
        end.write(1).unwrap();
    });
}

fn rule_60_waits_of_no_time_share_one_edge<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    // Each round has one edge. A wait beside another's scan may miss it, but then that one has it.
    let rounds = 1000;
    let (round, seen) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while round.load(Ordering::Acquire) <= rounds {
                    seen.fetch_add(poll.now(4).len() as u64, Ordering::AcqRel);
                }
            });
        }
        for written in 1..=rounds {
            round.store(written, Ordering::Release);
            counter.write(1).unwrap();
            while seen.load(Ordering::Acquire) < written {
                thread::yield_now();
            }
        }
        round.store(rounds + 1, Ordering::Release);
    });
    assert_eq!(seen.into_inner(), rounds, "an edge was reported twice");
}

fn rule_61_an_event_has_the_data_of_its_bits<W: World>() {
    let (poll, counter, end) = (W::poll(), W::counter(1), AtomicBool::new(false));
    let pairs = [event(IN, 1), event(OUT, 2), event(IN | OUT, 3)];
    poll.add(counter.source(), IN, 1).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    for seen in poll.now(4) {
                        assert!(pairs.contains(&seen), "{seen:?} was never asked for");
                    }
                }
            });
        }
        for pair in pairs.iter().cycle().take(30_000) {
            poll.modify(counter.source(), pair.bits, pair.data).unwrap();
        }
        end.store(true, Ordering::Relaxed);
    });
}

/// One thread writes, one takes each edge that it is told of, and one interferes all the time. Comes back only if no
/// edge is lost.
fn nothing_is_lost<W: World>(
    bits: u32,
    interfere: impl Fn(&W::Poll, &W::Counter) + Sync,
    taken: impl Fn(&W::Poll, &W::Counter) + Sync,
) {
    let (poll, counter, end) = (W::poll(), W::counter(0), AtomicBool::new(false));
    poll.add(counter.source(), bits, 1).unwrap();
    let sum = AtomicU64::new(0);
    let writes = 1000;
    thread::scope(|scope| {
        scope.spawn(|| {
            while sum.load(Ordering::Acquire) < writes {
                assert_eq!(poll.wait(1, None).unwrap().len(), 1);
                sum.fetch_add(counter.read().unwrap_or(0), Ordering::AcqRel);
                taken(&poll, &counter);
            }
        });
        scope.spawn(|| {
            while !end.load(Ordering::Relaxed) {
                interfere(&poll, &counter);
            }
        });
        for written in 1..=writes {
            counter.write(1).unwrap();
            while sum.load(Ordering::Acquire) < written {
                thread::yield_now();
            }
        }
        end.store(true, Ordering::Relaxed);
    });
}

fn rule_68_a_concurrent_modify_loses_nothing<W: World>() {
    let same = |poll: &W::Poll, counter: &W::Counter| poll.modify(counter.source(), IN | ET, 1).unwrap();
    nothing_is_lost::<W>(IN | ET, same, |_, _| ());
    let other = |poll: &W::Poll, counter: &W::Counter| {
        poll.modify(counter.source(), ET, 1).unwrap();
        poll.modify(counter.source(), IN | ET, 1).unwrap();
    };
    nothing_is_lost::<W>(IN | ET, other, |_, _| ());
}

fn rule_68_a_concurrent_rearm_loses_nothing<W: World>() {
    let rearm = |poll: &W::Poll, counter: &W::Counter| poll.modify(counter.source(), IN | ONESHOT, 1).unwrap();
    nothing_is_lost::<W>(IN | ONESHOT, |_, _| thread::yield_now(), rearm);
    let again = |poll: &W::Poll, counter: &W::Counter| {
        // Either call may find what the other thread has just done; what is ready is found in any case.
        let _ = poll.delete(counter.source());
        let _ = poll.add(counter.source(), IN | ET, 1);
    };
    nothing_is_lost::<W>(IN | ET, again, |_, _| ());
}

fn rule_70_a_wait_after_delete_does_not_report_it<W: World>() {
    // A wait that is under way may still report it; the kernel promises no more.
    let (poll, counter) = (W::poll(), W::counter(1));
    let (deleted, end) = (AtomicU64::new(0), AtomicBool::new(false));
    let late = |seen: &Event, before: u64| seen.data <= before;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    let before = deleted.load(Ordering::Acquire);
                    for seen in poll.now(4) {
                        assert!(!late(&seen, before), "{seen:?}, though {before} was deleted before the wait began");
                    }
                }
            });
        }
        for round in 1..20_000 {
            poll.add(counter.source(), IN, round).unwrap();
            poll.delete(counter.source()).unwrap();
            deleted.store(round, Ordering::Release);
        }
        end.store(true, Ordering::Relaxed);
    });
}
