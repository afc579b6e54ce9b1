//! What a wheel promises, each by itself, and all of it together against a sorted map.

use super::buckets::{CHUNK, TICK_BITS};
use super::{LEAST_MOVES, TimerKey, Wheel};
use std::collections::BTreeMap;
use std::time::Duration;

const TICK: u64 = 1 << TICK_BITS;
const DAY: u64 = 24 * 3600 * 1_000_000_000;
const ALL: usize = usize::MAX;

fn ns(nanoseconds: u64) -> Duration {
    Duration::from_nanos(nanoseconds)
}

fn wheel<T: Copy>() -> Wheel<T> {
    Wheel::new(usize::MAX)
}

fn arm<T: Copy>(wheel: &mut Wheel<T>, deadline: u64, payload: T) -> TimerKey {
    wheel.arm(ns(deadline), payload).expect("below the limit")
}

/// What comes out at `now`, in order.
fn expired<T: Copy>(wheel: &mut Wheel<T>, now: u64, budget: usize) -> (Vec<T>, bool) {
    let mut out = Vec::new();
    let more = wheel.expire(ns(now), budget, |_, _, payload| out.push(payload));
    (out, more)
}

#[test]
fn a_timer_comes_out_at_its_nanosecond_and_not_before() {
    for deadline in [1, TICK - 1, TICK, TICK + 1, 77 * TICK + 5, 5_000 * TICK - 1, DAY + 12_345] {
        let mut wheel = wheel();
        arm(&mut wheel, deadline, ());
        assert_eq!(expired(&mut wheel, deadline - 1, ALL), (vec![], false), "{deadline}");
        assert_eq!(expired(&mut wheel, deadline, ALL), (vec![()], false), "{deadline}");
        assert_eq!(expired(&mut wheel, deadline + DAY, ALL), (vec![], false), "{deadline}");
        assert_eq!(wheel.len(), 0);
    }
}

#[test]
fn timers_of_one_tick_come_out_by_their_nanoseconds() {
    let mut wheel = wheel();
    for deadline in [9, 3, 7, 1, 5] {
        arm(&mut wheel, 100 * TICK + deadline, deadline);
    }
    assert_eq!(expired(&mut wheel, 100 * TICK + 6, ALL).0, [1, 3, 5]);
    assert_eq!(expired(&mut wheel, 101 * TICK, ALL).0, [7, 9]);
}

#[test]
fn equal_deadlines_come_out_in_the_order_of_arming_whenever_they_were_armed() {
    let mut wheel = wheel();
    let deadline = DAY + 17;
    // Each is armed from nearer, and so goes into a lower bucket.
    for (order, before) in [DAY, DAY / 60, 100 * TICK, 3 * TICK, 1].into_iter().enumerate() {
        assert_eq!(expired(&mut wheel, deadline - before, ALL).0, []);
        arm(&mut wheel, deadline, 2 * order);
        arm(&mut wheel, deadline, 2 * order + 1);
    }
    assert_eq!(expired(&mut wheel, deadline, ALL).0, (0..10).collect::<Vec<_>>());
}

#[test]
fn what_the_budget_leaves_comes_first_the_next_time() {
    let mut wheel = wheel();
    for deadline in 1..=5 {
        arm(&mut wheel, deadline * TICK, deadline);
    }
    let now = 10 * TICK;
    assert_eq!(expired(&mut wheel, now, 2), (vec![1, 2], true));
    // One in the past does not overtake what is overdue.
    arm(&mut wheel, 0, 6);
    assert_eq!(expired(&mut wheel, now, 0), (vec![], true));
    assert_eq!(expired(&mut wheel, now, 3), (vec![3, 4, 5], true));
    assert_eq!(expired(&mut wheel, now, 1), (vec![6], false));
}

#[test]
fn a_deadline_in_the_past_is_due_at_once_and_is_told_as_the_latest_time() {
    let mut wheel = wheel();
    expired(&mut wheel, DAY, ALL);
    arm(&mut wheel, 5, 'a');
    arm(&mut wheel, DAY + 1, 'b');
    arm(&mut wheel, 3, 'c');
    assert_eq!(wheel.next_deadline(), Some(ns(DAY)));
    let mut out = Vec::new();
    assert!(!wheel.expire(ns(DAY), ALL, |_, deadline, payload| out.push((deadline, payload))));
    assert_eq!(out, [(ns(DAY), 'a'), (ns(DAY), 'c')]);
}

#[test]
fn a_time_before_the_latest_one_counts_as_that_one() {
    let mut wheel = wheel();
    expired(&mut wheel, DAY, ALL);
    arm(&mut wheel, DAY, 'a');
    arm(&mut wheel, DAY + 1, 'b');
    assert_eq!(expired(&mut wheel, 0, ALL), (vec!['a'], false));
    assert_eq!(expired(&mut wheel, DAY + 1, ALL), (vec!['b'], false));
}

#[test]
fn a_cancelled_timer_gives_its_payload_back_and_does_not_come_out() {
    let mut wheel = wheel();
    let keys = [5, 70 * TICK, DAY].map(|deadline| arm(&mut wheel, deadline, deadline));
    assert_eq!(wheel.len(), 3);
    assert_eq!(keys.map(|key| wheel.cancel(key)), [Some(5), Some(70 * TICK), Some(DAY)]);
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    assert_eq!(expired(&mut wheel, 2 * DAY, ALL), (vec![], false));
}

#[test]
fn a_stale_key_names_nothing_also_when_its_slot_is_used_again() {
    let mut wheel = wheel();
    let cancelled = arm(&mut wheel, 1, 'a');
    wheel.cancel(cancelled);
    let expired_key = arm(&mut wheel, 1, 'b');
    expired(&mut wheel, 1, ALL);
    let moved = arm(&mut wheel, 2, 'c');
    let armed = wheel.rearm(moved, ns(3)).expect("armed");
    for stale in [cancelled, expired_key, moved] {
        assert_eq!(stale.slot, armed.slot);
        assert_eq!((wheel.cancel(stale), wheel.rearm(stale, ns(9))), (None, None));
    }
    assert_eq!(wheel.cancel(armed), Some('c'));
}

#[test]
fn a_slot_whose_generations_are_used_up_is_used_no_more() {
    let mut wheel = wheel();
    let first = arm(&mut wheel, DAY, 'a');
    // As if it had been armed two thousand million times.
    wheel.cancel(first);
    wheel.slots.generations[first.slot as usize] = u32::MAX - 1;
    let last = arm(&mut wheel, DAY, 'b');
    assert_eq!((last.slot, last.generation), (first.slot, u32::MAX));
    assert_eq!(wheel.cancel(last), Some('b'));
    assert_ne!(arm(&mut wheel, DAY, 'c').slot, first.slot);
    assert_eq!(wheel.cancel(last), None);
    assert_eq!(expired(&mut wheel, DAY, ALL).0, ['c']);
}

#[test]
fn rearming_moves_a_timer_both_ways_and_counts_as_arming() {
    let mut wheel = wheel();
    let far = arm(&mut wheel, DAY, 'a');
    let near = arm(&mut wheel, 5, 'b');
    arm(&mut wheel, 9, 'c');
    assert!(wheel.rearm(far, ns(9)).is_some());
    assert!(wheel.rearm(near, ns(DAY)).is_some());
    assert_eq!(wheel.len(), 3);
    assert_eq!(wheel.next_deadline(), Some(ns(9)));
    assert_eq!(expired(&mut wheel, 10, ALL).0, ['c', 'a']);
    assert_eq!(expired(&mut wheel, DAY, ALL).0, ['b']);
}

#[test]
fn a_timer_of_a_batch_that_the_budget_cut_can_be_cancelled() {
    let mut wheel = wheel();
    let keys: Vec<_> = (1..=6).map(|deadline| arm(&mut wheel, deadline, deadline)).collect();
    assert_eq!(expired(&mut wheel, 6, 2), (vec![1, 2], true));
    assert_eq!(wheel.cancel(keys[1]), None, "it came out");
    assert_eq!(wheel.cancel(keys[2]), Some(3), "the first that is left");
    assert_eq!(wheel.cancel(keys[4]), Some(5), "one in the middle");
    assert_eq!(expired(&mut wheel, 6, 2), (vec![4, 6], false));
}

#[test]
fn deadlines_at_the_end_of_time_work() {
    let mut wheel = wheel();
    let year = 365 * DAY;
    arm(&mut wheel, u64::MAX, 'y');
    wheel.arm(Duration::MAX, 'z');
    arm(&mut wheel, u64::MAX - 1, 'x');
    arm(&mut wheel, 500 * year, 'c');
    arm(&mut wheel, 3 * year, 'a');
    arm(&mut wheel, 3 * year + 1, 'b');
    assert_eq!(wheel.next_deadline(), Some(ns(3 * year)));
    assert_eq!(expired(&mut wheel, 3 * year, ALL).0, ['a']);
    assert_eq!(expired(&mut wheel, 500 * year, ALL).0, ['b', 'c']);
    assert_eq!(expired(&mut wheel, u64::MAX - 1, ALL).0, ['x']);
    let mut out = Vec::new();
    assert!(!wheel.expire(Duration::MAX, ALL, |_, deadline, payload| out.push((deadline, payload))));
    assert_eq!(out, [(ns(u64::MAX), 'y'), (ns(u64::MAX), 'z')]);
    arm(&mut wheel, 0, 'd');
    assert_eq!(expired(&mut wheel, 0, ALL), (vec!['d'], false));
}

#[test]
fn a_sleeper_wakes_for_a_lone_timer_once() {
    for deadline in [3, 100 * TICK + 9, DAY + 1, 10_000 * DAY + 7] {
        let mut wheel = wheel();
        let first = arm(&mut wheel, deadline - 1, ());
        arm(&mut wheel, deadline, ());
        // So that the other one has to be looked for.
        wheel.cancel(first);
        assert_eq!(wheel.next_deadline(), Some(ns(deadline)));
    }
}

#[test]
fn a_sleeper_wakes_a_few_times_for_a_crowd_and_never_late() {
    let mut wheel = wheel();
    let crowd = 10 * CHUNK;
    for place in 0..crowd {
        arm(&mut wheel, 30 * DAY + 7, place);
    }
    // So that the others have to be looked for.
    let first = arm(&mut wheel, 29 * DAY, crowd);
    wheel.cancel(first);
    let (mut wakes, mut out) = (0, Vec::new());
    while let Some(bound) = wheel.next_deadline() {
        assert!(bound <= ns(30 * DAY + 7));
        wheel.expire(bound, ALL, |_, _, payload| out.push(payload));
        wakes += 1;
        assert!(wakes < 10, "woken at {bound:?} again");
    }
    assert_eq!(out, (0..crowd).collect::<Vec<_>>());
}

#[test]
fn the_next_deadline_follows_what_is_armed_and_cancelled() {
    let mut wheel = wheel();
    assert_eq!(wheel.next_deadline(), None);
    let later = arm(&mut wheel, DAY, ());
    let first = arm(&mut wheel, 9 * TICK, ());
    assert_eq!(wheel.next_deadline(), Some(ns(9 * TICK)));
    wheel.cancel(first);
    assert_eq!(wheel.next_deadline(), Some(ns(DAY)));
    let first = arm(&mut wheel, 3, ());
    assert_eq!(wheel.next_deadline(), Some(ns(3)));
    wheel.cancel(first);
    wheel.cancel(later);
    assert_eq!(wheel.next_deadline(), None);
}

#[test]
fn at_the_limit_no_more_are_armed() {
    let mut wheel = Wheel::new(2);
    let first = arm(&mut wheel, 1, 'a');
    arm(&mut wheel, 2, 'b');
    assert_eq!(wheel.arm(ns(3), 'c'), None);
    assert!(wheel.rearm(first, ns(4)).is_some());
    assert_eq!(expired(&mut wheel, 2, ALL).0, ['b']);
    assert!(wheel.arm(ns(3), 'd').is_some());
    assert_eq!(expired(&mut wheel, 4, ALL).0, ['d', 'a']);
}

#[test]
fn a_call_moves_no_more_than_it_may_and_the_order_stays() {
    let mut wheel = wheel();
    let deadline = DAY + 5;
    let crowd = 3 * LEAST_MOVES;
    for place in 0..crowd {
        arm(&mut wheel, deadline, place);
    }
    assert_eq!(expired(&mut wheel, deadline, 1), (vec![], true), "the bucket is still being emptied");
    assert!(wheel.next_deadline() <= Some(ns(deadline)), "nobody may sleep");
    // Armed meanwhile: one in front of all, one behind.
    arm(&mut wheel, deadline, crowd);
    let (mut out, mut calls) = (Vec::new(), 0);
    loop {
        let (batch, more) = expired(&mut wheel, deadline, 7);
        assert!(batch.len() <= 7);
        out.extend(batch);
        calls += 1;
        if !more {
            break;
        }
    }
    assert_eq!(out, (0..=crowd).collect::<Vec<_>>());
    assert!(calls < crowd);
}

#[test]
fn cancelled_timers_do_not_pile_up() {
    for deadline in [0, DAY] {
        let mut wheel = wheel();
        for place in 0..1_000 {
            arm(&mut wheel, 2 * DAY + place, ());
        }
        for _ in 0..100_000 {
            let key = arm(&mut wheel, deadline, ());
            wheel.cancel(key);
        }
        assert_eq!(wheel.slots.generations.len(), 1_001);
        assert!(wheel.heap.capacity() <= 256, "{} in the heap", wheel.heap.capacity());
        assert!(wheel.buckets.room() <= 3_000, "{} in the buckets", wheel.buckets.room());
    }
}

/// What a wheel shall do, done slowly: timers by deadline and order of arming.
#[derive(Default)]
struct Model {
    timers: BTreeMap<(u64, u64), (TimerKey, u64)>,
    places: BTreeMap<TimerKey, (u64, u64)>,
    now: u64,
    order: u64,
}

impl Model {
    fn arm(&mut self, deadline: u64, key: TimerKey, payload: u64) {
        let place = (deadline.max(self.now), self.order);
        self.order += 1;
        assert_eq!(self.places.insert(key, place), None, "a key is given twice");
        self.timers.insert(place, (key, payload));
    }

    fn cancel(&mut self, key: TimerKey) -> Option<u64> {
        let place = self.places.remove(&key)?;
        self.timers.remove(&place).map(|(_, payload)| payload)
    }

    fn due(&self) -> bool {
        self.timers.first_key_value().is_some_and(|((deadline, _), _)| *deadline <= self.now)
    }
}

fn random_deadline(random: &mut fastrand::Rng, now: u64) -> u64 {
    match random.u32(0..20) {
        0 => random.u64(0..=now),
        1 => u64::MAX - random.u64(0..3),
        2..5 => now.saturating_add(random.u64(0..TICK)),
        5..8 => now.saturating_add(random.u64(0..8) * TICK),
        // Any distance, near ones as often as far ones.
        _ => now.saturating_add(random.u64(..) >> random.u32(1..64)),
    }
}

fn play(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut wheel, mut model) = (wheel(), Model::default());
    let mut keys = Vec::new();
    let crowd = random.usize(1..600);
    for step in 0..3_000 {
        match random.u32(0..10) {
            0..5 => {
                for _ in 0..if random.u32(0..50) == 0 { crowd } else { 1 } {
                    let deadline = random_deadline(&mut random, model.now);
                    let key = arm(&mut wheel, deadline, step);
                    model.arm(deadline, key, step);
                    keys.push(key);
                }
            }
            // Often of those that have ended, too.
            5 | 6 if !keys.is_empty() => {
                let key = keys[random.usize(..keys.len())];
                assert_eq!(wheel.cancel(key), model.cancel(key), "cancel");
            }
            7 if !keys.is_empty() => {
                let place = random.usize(..keys.len());
                let deadline = random_deadline(&mut random, model.now);
                let again = wheel.rearm(keys[place], ns(deadline));
                let payload = model.cancel(keys[place]);
                assert_eq!(again.is_some(), payload.is_some(), "rearm");
                if let (Some(key), Some(payload)) = (again, payload) {
                    model.arm(deadline, key, payload);
                    keys.push(key);
                }
            }
            8 => {
                let (bound, first) = (wheel.next_deadline(), model.timers.first_key_value());
                assert_eq!(bound.is_some(), first.is_some(), "next deadline");
                if let (Some(bound), Some(((deadline, _), _))) = (bound, first) {
                    assert!(bound <= ns(*deadline), "{bound:?} is later than {deadline}");
                    assert!(!model.due() || bound <= ns(model.now), "one sleeps until {bound:?} while some are due");
                }
            }
            _ => {
                if random.u32(0..8) != 0 {
                    model.now =
                        random_deadline(&mut random, model.now).min(model.now.saturating_add(DAY)).max(model.now);
                }
                let budget = if random.bool() { ALL } else { random.usize(0..10) };
                let mut out = Vec::new();
                let more = wheel.expire(ns(model.now), budget, |key, time, payload| out.push((key, time, payload)));
                assert!(out.len() <= budget, "more than the budget");
                for (key, time, payload) in &out {
                    let ((deadline, _), expected) = model.timers.pop_first().expect("one that is armed");
                    model.places.remove(key);
                    assert_eq!(((*key, *payload), *time), (expected, ns(deadline)));
                    assert!(deadline <= model.now, "early");
                }
                assert!(more || !model.due(), "some are due, and it does not say so");
                assert!(!more || budget != ALL, "all are wanted, and some are left");
            }
        }
        assert_eq!(wheel.len(), model.timers.len());
    }
}

#[test]
fn random_calls_do_what_a_sorted_map_does() {
    for _ in 0..40 {
        let seed = fastrand::u64(..);
        let result = std::panic::catch_unwind(|| play(seed));
        if let Err(panic) = result {
            eprintln!("the seed is {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_key_is_found_again_by_its_number_and_other_numbers_are_none() {
    let mut wheel = Wheel::new(usize::MAX);
    let key = wheel.arm(Duration::from_secs(1), 7).unwrap();
    assert_ne!(key.to_bits(), 0);
    assert_eq!(TimerKey::from_bits(key.to_bits()), Some(key));
    assert_eq!(wheel.cancel(key), Some(7));
    // The generation of the slot as it is now that it is free.
    assert_eq!(TimerKey::from_bits(key.to_bits() + (1 << 32)), None);
    assert_eq!(TimerKey::from_bits(0), None);
}
