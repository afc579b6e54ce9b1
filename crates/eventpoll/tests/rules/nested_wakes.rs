//! Who wakes when event polls are nested.

use std::sync::Arc;

use super::wakes::Home;
use crate::common::bits::{ET, IN};
use crate::common::both;
use crate::common::histogram::outcomes;
use crate::common::waiters::Waiters;
use crate::common::world::{Counter, Poll, Watched, World};

both!(
    rule_67_one_thread_two_waits,
    rule_67_two_threads_on_the_outermost,
    rule_67_the_last_hop_decides,
    rule_67_one_on_the_inner_and_one_on_the_outer,
    rule_67_two_inners_under_one_outer,
);

const ROUNDS: usize = 40;

fn rule_67_one_thread_two_waits<W: World>() {
    for (bits, expected) in [(IN, [1, 1]), (IN | ET, [1, 0])] {
        let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
        inner.add(counter.source(), IN, 1).unwrap();
        outer.add(inner.source(), bits, 2).unwrap();
        counter.write(1).unwrap();
        assert_eq!([outer.now(8).len(), outer.now(8).len()], expected);
    }
}

/// A chain of event polls above a counter, each hop with its own bits, and two sleepers in the last; how many return
/// after one write?
fn at_the_end<W: World>(hops: &[u32]) -> usize {
    let (home, counter) = (Home::<W>::new(hops.len()), W::counter(0));
    home.polls[0].add(counter.source(), hops[0], 0).unwrap();
    for (pair, bits) in home.polls.windows(2).zip(&hops[1..]) {
        pair[1].add(pair[0].source(), *bits, 0).unwrap();
    }
    let last = home.polls.last().expect("a chain has an end");
    let waiters = Waiters::in_each::<W>([last, last]);
    counter.write(1).unwrap();
    waiters.settle();
    let returned = waiters.returned().len();
    home.send_home(waiters);
    returned
}

fn rule_67_two_threads_on_the_outermost<W: World>() {
    for (hops, count) in [([IN, IN], 2), ([IN | ET, IN], 2), ([IN, IN | ET], 1), ([IN | ET, IN | ET], 1)] {
        let seen = outcomes(ROUNDS, || at_the_end::<W>(&hops));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [count], "{hops:x?}");
    }
}

fn rule_67_the_last_hop_decides<W: World>() {
    for (hops, count) in [([IN | ET, IN | ET, IN], 2), ([IN, IN, IN | ET], 1), ([IN, IN | ET, IN], 2)] {
        let seen = outcomes(ROUNDS, || at_the_end::<W>(&hops));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [count], "{hops:x?}");
    }
}

fn rule_67_one_on_the_inner_and_one_on_the_outer<W: World>() {
    for outer_bits in [IN, IN | ET] {
        let seen = outcomes(ROUNDS, || {
            let (home, counter) = (Home::<W>::new(2), W::counter(0));
            let [inner, outer] = [&home.polls[0], &home.polls[1]];
            inner.add(counter.source(), IN, 1).unwrap();
            outer.add(inner.source(), outer_bits, 2).unwrap();
            let waiters = Waiters::in_each::<W>([inner, outer]);
            counter.write(1).unwrap();
            waiters.settle();
            let returned = waiters.returned();
            home.send_home(waiters);
            returned
        });
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [[0, 1]]);
    }
}

fn rule_67_two_inners_under_one_outer<W: World>() {
    for (bits, expected) in [(IN, [2, 2]), (IN | ET, [2, 0])] {
        let (outer, inners, counter) = (W::poll(), [Arc::new(W::poll()), Arc::new(W::poll())], W::counter(0));
        for inner in &inners {
            inner.add(counter.source(), IN, 1).unwrap();
            outer.add(inner.source(), bits, 2).unwrap();
        }
        counter.write(1).unwrap();
        assert_eq!([outer.now(8).len(), outer.now(8).len()], expected);
    }
}
