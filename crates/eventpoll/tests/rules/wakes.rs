//! Which of several waiters wake, and how many.
//!
//! Each test plays many rounds and collects what happened; what is compared are the outcomes that occur, never times.

use std::sync::Arc;

use crate::common::bits::{ET, EXCLUSIVE, IN, ONESHOT, OUT};
use crate::common::both;
use crate::common::histogram::outcomes;
use crate::common::waiters::Waiters;
use crate::common::world::{Counter, Poll, Watched, World, Writer, event};

both!(
    rule_62_last_in_is_first_woken,
    rule_63_a_level_wakes_everyone,
    rule_63_a_drained_level_wakes_no_more,
    rule_64_an_edge_wakes_one,
    rule_64_two_writes_in_a_row_wake_one_or_two,
    rule_64_two_spaced_writes_wake_two,
    rule_64_oneshot_wakes_one_however_often,
    rule_65_many_polls_on_one_source_all_wake,
    rule_65_exclusive_wakes_the_first_that_has_a_sleeper,
    rule_65_without_exclusive_always,
    rule_65_exclusive_queues_before_the_sleeper_and_not_after,
    rule_65_a_hang_up_wakes_the_exclusive_ones_too,
    rule_68_ten_edges_for_ten_waiters,
    rule_69_add_wakes_one,
    rule_69_modify_wakes_one,
    rule_69_what_is_not_ready_wakes_nobody,
);

const ROUNDS: usize = 40;

/// Event polls that sleepers can be sent home from: each has a counter of its own for that.
pub(super) struct Home<W: World> {
    pub(super) polls: Vec<Arc<W::Poll>>,
    end: W::Counter,
}

impl<W: World> Home<W> {
    pub(super) fn new(polls: usize) -> Self {
        let (polls, end): (Vec<Arc<W::Poll>>, _) = ((0..polls).map(|_| Arc::new(W::poll())).collect(), W::counter(0));
        for poll in &polls {
            poll.add(end.source(), IN, u64::MAX).unwrap();
        }
        Home { polls, end }
    }

    /// Ends the round: whoever still sleeps is released by an event that nobody takes away.
    pub(super) fn send_home(&self, waiters: Waiters) {
        waiters.release(|| self.end.write(1).unwrap());
    }
}

/// Sleepers in one event poll with one counter; who has returned after `cause`?
fn returned<W: World>(sleepers: usize, bits: u32, cause: impl FnOnce(&W::Counter, &Waiters)) -> Vec<usize> {
    let (home, counter) = (Home::<W>::new(1), W::counter(0));
    home.polls[0].add(counter.source(), bits, 1).unwrap();
    let waiters = Waiters::in_each::<W>(std::iter::repeat_n(&home.polls[0], sleepers));
    assert_eq!(waiters.returned(), [0; 0]);
    cause(&counter, &waiters);
    waiters.settle();
    let returned = waiters.returned();
    for outcome in waiters.outcomes().into_iter().flatten() {
        assert_eq!(outcome, Ok(vec![event(IN, 1)]));
    }
    home.send_home(waiters);
    returned
}

fn rule_62_last_in_is_first_woken<W: World>() {
    let order = outcomes(ROUNDS, || {
        let mut order = Vec::new();
        returned::<W>(4, IN | ET, |counter, waiters| {
            for _ in 0..4 {
                counter.write(1).unwrap();
                waiters.settle();
                order_of(&mut order, waiters.returned());
            }
        });
        order
    });
    assert_eq!(order.into_keys().collect::<Vec<_>>(), [vec![3, 2, 1, 0]]);
}

/// Adds who is new.
fn order_of(order: &mut Vec<usize>, returned: Vec<usize>) {
    let new: Vec<_> = returned.into_iter().filter(|place| !order.contains(place)).collect();
    order.extend(new);
}

fn rule_63_a_level_wakes_everyone<W: World>() {
    let seen = outcomes(ROUNDS, || returned::<W>(4, IN, |counter, _| counter.write(1).unwrap()).len());
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [4]);
}

fn rule_63_a_drained_level_wakes_no_more<W: World>() {
    // Whoever comes first drains it, so how many see it is chance; but never nobody, and never an empty wait.
    let seen = outcomes(ROUNDS, || {
        let returned = returned::<W>(3, IN, |counter, waiters| {
            counter.write(1).unwrap();
            while waiters.returned().is_empty() {
                std::thread::yield_now();
            }
            counter.read().unwrap();
        });
        returned.len()
    });
    assert!(seen.keys().all(|count| (1..=3).contains(count)), "{seen:?}");
}

fn rule_64_an_edge_wakes_one<W: World>() {
    let seen = outcomes(ROUNDS, || returned::<W>(4, IN | ET, |counter, _| counter.write(1).unwrap()));
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[3]]);
}

fn rule_64_two_writes_in_a_row_wake_one_or_two<W: World>() {
    let seen = outcomes(ROUNDS * 3, || {
        let returned = returned::<W>(4, IN | ET, |counter, _| {
            counter.write(1).unwrap();
            counter.write(1).unwrap();
        });
        returned.len()
    });
    // Two only if a waiter has come and gone between the writes.
    assert!(seen.contains_key(&1), "{seen:?}");
    assert!(seen.keys().all(|count| [1, 2].contains(count)), "{seen:?}");
}

fn rule_64_two_spaced_writes_wake_two<W: World>() {
    let seen = outcomes(ROUNDS, || {
        returned::<W>(4, IN | ET, |counter, waiters| {
            counter.write(1).unwrap();
            waiters.settle();
            counter.write(1).unwrap();
        })
    });
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[2, 3]]);
}

fn rule_64_oneshot_wakes_one_however_often<W: World>() {
    let seen = outcomes(ROUNDS, || {
        let returned = returned::<W>(4, IN | ET | ONESHOT, |counter, waiters| {
            for _ in 0..3 {
                counter.write(1).unwrap();
                waiters.settle();
            }
        });
        returned.len()
    });
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [1]);
}

/// An event poll for each of `bits`, with a sleeper in those of `sleeping`; who returned after one write, and which of
/// the others have an event.
fn shared<W: World>(bits: &[u32], sleeping: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let (home, counter) = (Home::<W>::new(bits.len()), W::counter(0));
    for (poll, bits) in home.polls.iter().zip(bits) {
        poll.add(counter.source(), IN | bits, 1).unwrap();
    }
    let waiters = Waiters::in_each::<W>(sleeping.iter().map(|place| &home.polls[*place]));
    counter.write(1).unwrap();
    waiters.settle();
    let woken: Vec<_> = waiters.returned().into_iter().map(|place| sleeping[place]).collect();
    let idle = (0..bits.len()).filter(|place| !sleeping.contains(place));
    let queued = idle.filter(|place| !home.polls[*place].now(8).is_empty()).collect();
    home.send_home(waiters);
    (woken, queued)
}

fn rule_65_many_polls_on_one_source_all_wake<W: World>() {
    for edge in [0, ET] {
        let seen = outcomes(ROUNDS, || shared::<W>(&[edge; 4], &[0, 1, 2, 3]));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [(vec![0, 1, 2, 3], vec![])]);
    }
}

fn rule_65_exclusive_wakes_the_first_that_has_a_sleeper<W: World>() {
    for edge in [0, ET] {
        for sleeping in [vec![0, 1, 2, 3], vec![3, 2, 1, 0], vec![2, 1, 3], vec![3]] {
            let first = *sleeping.iter().min().expect("someone sleeps");
            let seen = outcomes(ROUNDS / 4, || shared::<W>(&[EXCLUSIVE | edge; 4], &sleeping).0);
            assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[first]], "{sleeping:?} sleep");
        }
    }
}

fn rule_65_without_exclusive_always<W: World>() {
    let seen = outcomes(ROUNDS, || shared::<W>(&[EXCLUSIVE, 0, EXCLUSIVE, 0], &[0, 1, 2, 3]).0);
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[0, 1, 3]]);
}

fn rule_65_exclusive_queues_before_the_sleeper_and_not_after<W: World>() {
    let seen = outcomes(ROUNDS, || shared::<W>(&[EXCLUSIVE; 4], &[2]));
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [(vec![2], vec![0, 1])]);
    let seen = outcomes(ROUNDS, || shared::<W>(&[EXCLUSIVE, 0, EXCLUSIVE, EXCLUSIVE], &[2]));
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [(vec![2], vec![0, 1])]);
    // Until the next notification.
    let (home, counter) = (Home::<W>::new(2), W::counter(0));
    for poll in &home.polls {
        poll.add(counter.source(), IN | EXCLUSIVE, 1).unwrap();
    }
    let waiters = Waiters::in_each::<W>(&home.polls[..1]);
    counter.write(1).unwrap();
    waiters.settle();
    assert_eq!(home.polls[1].now(8), []);
    counter.write(1).unwrap();
    assert_eq!(home.polls[1].now(8), [event(IN, 1)], "nobody sleeps now, so everyone is told");
    home.send_home(waiters);
}

fn rule_65_a_hang_up_wakes_the_exclusive_ones_too<W: World>() {
    let seen = outcomes(ROUNDS / 2, || {
        let (home, (reader, writer)) = (Home::<W>::new(3), W::pipe());
        for poll in &home.polls {
            poll.add(reader.source(), IN | EXCLUSIVE, 1).unwrap();
        }
        let waiters = Waiters::in_each::<W>(&home.polls);
        assert_eq!(writer.write(0), Ok(0));
        drop(writer);
        waiters.settle();
        let returned = waiters.returned();
        home.send_home(waiters);
        returned
    });
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[0, 1, 2]]);
}

fn rule_68_ten_edges_for_ten_waiters<W: World>() {
    let seen = outcomes(ROUNDS, || {
        let (home, counters) = (Home::<W>::new(1), [(); 10].map(|()| W::counter(0)));
        for (counter, data) in counters.iter().zip(0..) {
            home.polls[0].add(counter.source(), IN | ET, data).unwrap();
        }
        let waiters = Waiters::in_each::<W>(std::iter::repeat_n(&home.polls[0], 10));
        for counter in &counters {
            counter.write(1).unwrap();
        }
        waiters.settle();
        let mut data: Vec<_> = waiters.outcomes().into_iter().flatten().flatten().flatten().collect();
        data.sort_unstable();
        home.send_home(waiters);
        data
    });
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), [(0..10).map(|data| event(IN, data)).collect::<Vec<_>>()]);
}

/// Two sleepers in an event poll with a counter that is watched for nothing yet; how many return?
fn after<W: World>(add: bool, bits: u32) -> usize {
    let (home, counter) = (Home::<W>::new(1), W::counter(1));
    let poll = &home.polls[0];
    if !add {
        poll.add(counter.source(), 0, 1).unwrap();
    }
    let waiters = Waiters::in_each::<W>([poll, poll]);
    if add {
        poll.add(counter.source(), bits, 1).unwrap();
    } else {
        poll.modify(counter.source(), bits, 1).unwrap();
    }
    waiters.settle();
    let returned = waiters.returned().len();
    home.send_home(waiters);
    returned
}

fn rule_69_add_wakes_one<W: World>() {
    for (bits, count) in [(IN | ET, 1), (OUT | ONESHOT, 1), (IN, 2)] {
        let seen = outcomes(ROUNDS / 2, || after::<W>(true, bits));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [count], "{bits:#x}");
    }
}

fn rule_69_modify_wakes_one<W: World>() {
    for (bits, count) in [(IN | ET, 1), (OUT | ONESHOT, 1), (IN, 2)] {
        let seen = outcomes(ROUNDS / 2, || after::<W>(false, bits));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [count], "{bits:#x}");
    }
}

fn rule_69_what_is_not_ready_wakes_nobody<W: World>() {
    for add in [true, false] {
        let seen = outcomes(ROUNDS / 4, || after::<W>(add, crate::common::bits::PRI));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [0]);
    }
}
