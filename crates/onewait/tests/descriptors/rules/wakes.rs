//! What ends a sleep.

use crate::bits::{ET, EXCLUSIVE, IN, OUT};
use crate::fds::{counter, raise, stream, take};
use crate::process::Waiter;
use crate::world::{List, World, both, event};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

both!(
    rule_65_many_lists_on_one_source_all_wake,
    rule_65_of_the_exclusive_the_first_that_sleeps,
    rule_68_a_concurrent_modify_loses_nothing,
    rule_69_add_to_a_ready_mask_wakes_a_waiter,
    rule_69_modify_to_a_ready_mask_wakes_a_waiter,
);

fn rule_65_many_lists_on_one_source_all_wake<W: World>() {
    let one = counter(0);
    let waiters: Vec<_> = (0..5)
        .map(|data| {
            let w = W::new();
            w.add(&one, IN | if data % 2 == 0 { ET } else { 0 }, data).unwrap();
            Waiter::new(w, 8, None)
        })
        .collect();
    raise(&one, 1).unwrap();
    for (waiter, data) in waiters.into_iter().zip(0..) {
        assert_eq!(waiter.join().1, Ok(vec![event(IN, data)]));
    }
}

fn rule_65_of_the_exclusive_the_first_that_sleeps<W: World>() {
    let one = counter(0);
    let sleeper = |bits: u32, data: u64| {
        let w = W::new();
        w.add(&one, bits, data).unwrap();
        Waiter::new(w, 8, None)
    };
    let mut idle = W::new();
    idle.add(&one, IN | EXCLUSIVE | ET, 0).unwrap();
    let (first, second, plain) = (sleeper(IN | EXCLUSIVE, 1), sleeper(IN | EXCLUSIVE, 2), sleeper(IN, 3));
    raise(&one, 1).unwrap();
    assert_eq!(first.join().1, Ok(vec![event(IN, 1)]));
    assert_eq!(plain.join().1, Ok(vec![event(IN, 3)]), "those without it always");
    second.settle();
    assert!(!second.has_returned());
    assert_eq!(idle.now(8), [event(IN, 0)], "before those who sleep: queued, though nobody woke");
    raise(&one, 1).unwrap();
    assert_eq!(second.join().1, Ok(vec![event(IN, 2)]));
}

fn rule_68_a_concurrent_modify_loses_nothing<W: World>() {
    let (mut w, one, done) = (W::new(), counter(0), AtomicBool::new(false));
    w.add(&one, IN | ET, 1).unwrap();
    let list = w.list().clone();
    thread::scope(|scope| {
        let (one, done) = (&one, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                list.modify(one, OUT | ET, 2).unwrap();
                list.modify(one, IN | ET, 1).unwrap();
            }
        });
        for _ in 0..2_000 {
            raise(one, 1).unwrap();
            while !w.next(8).contains(&event(IN, 1)) {}
            assert_eq!(take(one), Ok(1));
        }
        done.store(true, Ordering::Release);
    });
}

fn rule_69_add_to_a_ready_mask_wakes_a_waiter<W: World>() {
    for bits in [IN, IN | ET, IN | EXCLUSIVE] {
        let (w, one) = (W::new(), counter(1));
        let list = w.list().clone();
        let waiter = Waiter::new(w, 8, None);
        list.add(&one, bits, 1).unwrap();
        assert_eq!(waiter.join().1, Ok(vec![event(IN, 1)]));
    }
}

fn rule_69_modify_to_a_ready_mask_wakes_a_waiter<W: World>() {
    let (w, (near, _far)) = (W::new(), stream());
    let list = w.list().clone();
    list.add(&near, IN, 1).unwrap();
    let waiter = Waiter::new(w, 8, None);
    assert!(!waiter.has_returned());
    list.modify(&near, OUT, 2).unwrap();
    assert_eq!(waiter.join().1, Ok(vec![event(OUT, 2)]));
}
