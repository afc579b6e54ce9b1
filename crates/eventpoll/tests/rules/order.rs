//! In which order events are reported.

use crate::common::bits::{ET, EXCLUSIVE, IN, OUT};
use crate::common::both;
use crate::common::world::{Counter, Event, Poll, Watched, World, event};

both!(
    rule_25_a_ready_item_goes_to_the_tail,
    rule_26_a_queued_item_does_not_move,
    rule_28_level_items_take_turns,
    rule_28_what_was_not_reached_stays_at_the_head,
    rule_28_edges_leave_level_items_go_round,
    rule_29_a_level_item_lingers,
    rule_29_until_a_wait_finds_it_unready,
    rule_30_the_newest_item_is_queued_first,
    rule_30_exclusive_ones_after_the_others_oldest_first,
    rule_30_delete_and_add_makes_it_the_newest,
    rule_31_unscanned_then_arrivals_then_level_again,
    rule_31_an_arrival_during_the_scan_is_one_more_edge,
);

/// So many counters in one event poll, with data 0, 1, 2 …
fn several<W: World, const N: usize>(bits: u32) -> (W::Poll, [W::Counter; N]) {
    let (poll, counters) = (W::poll(), std::array::from_fn(|_| W::counter(0)));
    for (counter, data) in counters.iter().zip(0..) {
        poll.add(counter.source(), bits, data).unwrap();
    }
    (poll, counters)
}

/// IN of these, in this order.
fn readable<const N: usize>(data: [u64; N]) -> [Event; N] {
    data.map(|data| event(IN, data))
}

fn rule_25_a_ready_item_goes_to_the_tail<W: World>() {
    let (poll, [a, b, c]) = several::<W, 3>(IN);
    for counter in [&c, &a] {
        counter.write(1).unwrap();
    }
    let late = W::counter(1);
    poll.add(late.source(), IN, 9).unwrap();
    b.write(1).unwrap();
    assert_eq!(poll.now(8), readable([2, 0, 9, 1]));
    let (poll, [a, b, _c]) = several::<W, 3>(OUT | ET);
    poll.now(8);
    b.write(1).unwrap();
    poll.modify(b.source(), IN, 1).unwrap();
    a.write(1).unwrap();
    poll.modify(a.source(), IN, 0).unwrap();
    assert_eq!(poll.now(8), readable([1, 0]));
}

fn rule_26_a_queued_item_does_not_move<W: World>() {
    for bits in [IN, IN | ET] {
        let (poll, [a, b]) = several::<W, 2>(bits);
        for counter in [&a, &b, &a, &a] {
            counter.write(1).unwrap();
        }
        poll.modify(a.source(), bits, 0).unwrap();
        assert_eq!(poll.now(8), readable([0, 1]));
    }
}

fn rule_28_level_items_take_turns<W: World>() {
    let (poll, counters) = several::<W, 5>(IN);
    for counter in &counters {
        counter.write(1).unwrap();
    }
    for data in [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0] {
        assert_eq!(poll.now(1), readable([data]));
    }
}

fn rule_28_what_was_not_reached_stays_at_the_head<W: World>() {
    let (poll, counters) = several::<W, 5>(IN);
    for counter in &counters {
        counter.write(1).unwrap();
    }
    assert_eq!(poll.now(2), readable([0, 1]));
    assert_eq!(poll.now(2), readable([2, 3]));
    assert_eq!(poll.now(3), readable([4, 0, 1]));
    assert_eq!(poll.now(8), readable([2, 3, 4, 0, 1]), "each once, however much room there is");
}

fn rule_28_edges_leave_level_items_go_round<W: World>() {
    let (poll, [a, b, c]) = several::<W, 3>(IN | ET);
    poll.modify(b.source(), IN, 1).unwrap();
    for counter in [&a, &b, &c] {
        counter.write(1).unwrap();
    }
    assert_eq!(poll.now(2), readable([0, 1]));
    a.write(1).unwrap();
    assert_eq!(poll.now(8), readable([2, 1, 0]));
    assert_eq!(poll.now(8), readable([1]));
}

fn rule_29_a_level_item_lingers<W: World>() {
    let (poll, [a, b]) = several::<W, 2>(IN);
    a.write(1).unwrap();
    b.write(1).unwrap();
    assert_eq!(poll.now(8), readable([0, 1]));
    a.read().unwrap();
    a.write(1).unwrap();
    assert_eq!(poll.now(8), readable([0, 1]), "it was still queued, and keeps its place");
}

fn rule_29_until_a_wait_finds_it_unready<W: World>() {
    let (poll, [a, b]) = several::<W, 2>(IN);
    a.write(1).unwrap();
    b.write(1).unwrap();
    assert_eq!(poll.now(8), readable([0, 1]));
    a.read().unwrap();
    assert_eq!(poll.now(8), readable([1]));
    a.write(1).unwrap();
    assert_eq!(poll.now(8), readable([1, 0]));
}

/// Event polls in one outer one, whose ready list shows in which order they were told.
fn watchers<W: World, const N: usize>() -> (W::Poll, [W::Poll; N]) {
    let (outer, polls) = (W::poll(), std::array::from_fn(|_| W::poll()));
    for (poll, data) in polls.iter().zip(0..) {
        outer.add(poll.source(), IN | ET, data).unwrap();
    }
    (outer, polls)
}

fn rule_30_the_newest_item_is_queued_first<W: World>() {
    let (outer, [a, b, c]) = watchers::<W, 3>();
    let counter = W::counter(0);
    for poll in [&b, &a, &c] {
        poll.add(counter.source(), IN, 0).unwrap();
    }
    counter.write(1).unwrap();
    assert_eq!(outer.now(8), readable([2, 0, 1]));
}

fn rule_30_exclusive_ones_after_the_others_oldest_first<W: World>() {
    let (outer, [a, b, c, d]) = watchers::<W, 4>();
    let counter = W::counter(0);
    a.add(counter.source(), IN | EXCLUSIVE, 0).unwrap();
    b.add(counter.source(), IN, 0).unwrap();
    c.add(counter.source(), IN | EXCLUSIVE, 0).unwrap();
    d.add(counter.source(), IN, 0).unwrap();
    counter.write(1).unwrap();
    assert_eq!(outer.now(8), readable([3, 1, 0, 2]));
}

fn rule_30_delete_and_add_makes_it_the_newest<W: World>() {
    let (outer, [a, b, c]) = watchers::<W, 3>();
    let counter = W::counter(0);
    for poll in [&a, &b, &c] {
        poll.add(counter.source(), IN, 0).unwrap();
    }
    b.modify(counter.source(), IN | ET, 0).unwrap();
    a.delete(counter.source()).unwrap();
    a.add(counter.source(), IN, 0).unwrap();
    counter.write(1).unwrap();
    assert_eq!(outer.now(8), readable([0, 2, 1]), "a modified one stays where it was");
}

fn rule_31_unscanned_then_arrivals_then_level_again<W: World>() {
    let (poll, [a, b, c, d, e]) = several::<W, 5>(IN);
    for counter in [&a, &b, &c] {
        counter.write(1).unwrap();
    }
    let Some(seen) = poll.wait_with_hook(2, || {
        e.write(1).unwrap();
        d.write(1).unwrap();
    }) else {
        return;
    };
    assert_eq!(seen, Ok(readable([0, 1]).to_vec()));
    assert_eq!(poll.now(8), readable([2, 4, 3, 0, 1]));
}

fn rule_31_an_arrival_during_the_scan_is_one_more_edge<W: World>() {
    let (poll, [a, b, c]) = several::<W, 3>(IN | ET);
    for counter in [&a, &b] {
        counter.write(1).unwrap();
    }
    let Some(seen) = poll.wait_with_hook(8, || {
        for counter in [&a, &c, &a] {
            counter.write(1).unwrap();
        }
    }) else {
        return;
    };
    assert_eq!(seen, Ok(readable([0, 1]).to_vec()), "what arrives during a scan is for the next");
    assert_eq!(poll.now(8), readable([0, 2]));
    assert_eq!(poll.now(8), []);
}
