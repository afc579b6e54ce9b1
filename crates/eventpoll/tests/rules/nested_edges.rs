//! What an outer event poll is told by an inner one.

use crate::common::bits::{ET, EXCLUSIVE, IN, ONESHOT, OUT, RDNORM};
use crate::common::both;
use crate::common::world::{Counter, Poll, Watched, World, event};

both!(
    rule_22_an_event_poll_is_readable_and_no_more,
    rule_22_polling_takes_no_event,
    rule_22_polling_drops_what_is_stale,
    rule_22_without_a_poll_the_stale_one_keeps_its_place,
    rule_22_a_list_of_stale_items_is_not_readable,
    rule_22_a_poll_goes_down_to_the_sources,
    rule_23_an_outer_edge_for_each_inner_event,
    rule_23_an_outer_edge_also_where_nobody_looked,
    rule_23_an_outer_level_repeats,
    rule_23_an_inner_modify_is_an_outer_edge,
    rule_23_outer_oneshot_is_rearmed_by_modify,
);

fn rule_22_an_event_poll_is_readable_and_no_more<W: World>() {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
    inner.add(counter.source(), OUT, 1).unwrap();
    assert_eq!(inner.level(), IN | RDNORM, "whatever the inner event is");
    outer.add(inner.source(), !EXCLUSIVE & !ONESHOT & !ET, 2).unwrap();
    assert_eq!(outer.now(8), [event(IN | RDNORM, 2)]);
    outer.modify(inner.source(), OUT, 3).unwrap();
    assert_eq!(outer.now(8), []);
    assert_eq!(W::poll().level(), 0);
}

fn rule_22_polling_takes_no_event<W: World>() {
    let (outer, inner) = (W::poll(), W::poll());
    let (edge, once) = (W::counter(0), W::counter(0));
    inner.add(edge.source(), IN | ET, 1).unwrap();
    inner.add(once.source(), IN | ONESHOT, 2).unwrap();
    outer.add(inner.source(), IN, 3).unwrap();
    edge.write(1).unwrap();
    once.write(1).unwrap();
    for _ in 0..3 {
        assert_eq!(inner.level(), IN | RDNORM);
        assert_eq!(outer.now(8), [event(IN, 3)]);
    }
    assert_eq!(inner.now(8), [event(IN, 1), event(IN, 2)]);
    assert_eq!(inner.level(), 0);
    assert_eq!(outer.now(8), []);
}

/// Two counters that are ready, the first of which is drained again.
fn one_stale<W: World>() -> (W::Poll, W::Counter, W::Counter) {
    let (poll, a, b) = (W::poll(), W::counter(0), W::counter(0));
    poll.add(a.source(), IN, 1).unwrap();
    poll.add(b.source(), IN, 2).unwrap();
    a.write(1).unwrap();
    b.write(1).unwrap();
    a.read().unwrap();
    (poll, a, b)
}

fn rule_22_polling_drops_what_is_stale<W: World>() {
    let (poll, a, _b) = one_stale::<W>();
    let c = W::counter(0);
    poll.add(c.source(), IN, 3).unwrap();
    assert_eq!(poll.level(), IN | RDNORM);
    c.write(1).unwrap();
    a.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 2), event(IN, 3), event(IN, 1)]);
}

fn rule_22_without_a_poll_the_stale_one_keeps_its_place<W: World>() {
    let (poll, a, _b) = one_stale::<W>();
    a.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1), event(IN, 2)]);
}

fn rule_22_a_list_of_stale_items_is_not_readable<W: World>() {
    let (outer, inner) = (W::poll(), W::poll());
    outer.add(inner.source(), IN, 9).unwrap();
    let counters: Vec<_> = (0..10).map(|_| W::counter(0)).collect();
    for counter in &counters {
        inner.add(counter.source(), IN, 1).unwrap();
        counter.write(1).unwrap();
    }
    for counter in &counters {
        counter.read().unwrap();
    }
    assert_eq!(inner.level(), 0);
    assert_eq!(outer.now(8), []);
}

fn rule_22_a_poll_goes_down_to_the_sources<W: World>() {
    let polls: Vec<_> = (0..5).map(|_| W::poll()).collect();
    let counter = W::counter(0);
    polls[0].add(counter.source(), IN | ET, 0).unwrap();
    for (place, pair) in polls.windows(2).enumerate() {
        pair[1].add(pair[0].source(), IN, place as u64).unwrap();
    }
    counter.write(1).unwrap();
    assert_eq!(polls[4].level(), IN | RDNORM);
    counter.read().unwrap();
    assert_eq!(polls[4].level(), 0, "every list on the way is stale");
    counter.write(1).unwrap();
    assert_eq!(polls[4].now(8), [event(IN, 3)]);
}

fn rule_23_an_outer_edge_for_each_inner_event<W: World>() {
    for inner_bits in [IN, IN | ET] {
        let (outer, inner, a, b) = (W::poll(), W::poll(), W::counter(0), W::counter(0));
        inner.add(a.source(), inner_bits, 1).unwrap();
        inner.add(b.source(), inner_bits, 2).unwrap();
        outer.add(inner.source(), IN | ET, 3).unwrap();
        for counter in [&a, &a, &b, &a] {
            counter.write(1).unwrap();
            assert_eq!(outer.now(8), [event(IN, 3)]);
            assert_eq!(outer.now(8), []);
        }
        assert_eq!(inner.now(8), [event(IN, 1), event(IN, 2)]);
        assert_eq!(outer.now(8), []);
    }
}

fn rule_23_an_outer_edge_also_where_nobody_looked<W: World>() {
    let (outer, middle, inner) = (W::poll(), W::poll(), W::poll());
    let (ready, edge) = (W::counter(1), W::counter(0));
    inner.add(edge.source(), IN | ET, 1).unwrap();
    middle.add(ready.source(), IN, 2).unwrap();
    middle.add(inner.source(), IN, 3).unwrap();
    outer.add(middle.source(), IN | ET, 4).unwrap();
    assert_eq!(outer.now(8), [event(IN, 4)]);
    for _ in 0..3 {
        edge.write(1).unwrap();
        // This look at the middle ends at the item that is always ready; the inner's stays as it was notified.
        assert_eq!(outer.now(8), [event(IN, 4)]);
        assert_eq!(outer.now(8), []);
    }
}

fn rule_23_an_outer_level_repeats<W: World>() {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
    inner.add(counter.source(), IN | ET, 1).unwrap();
    outer.add(inner.source(), IN, 3).unwrap();
    counter.write(1).unwrap();
    for _ in 0..3 {
        assert_eq!(outer.now(8), [event(IN, 3)]);
    }
    assert_eq!(inner.now(8), [event(IN, 1)]);
    assert_eq!(outer.now(8), []);
}

fn rule_23_an_inner_modify_is_an_outer_edge<W: World>() {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(1));
    outer.add(inner.source(), IN | ET, 3).unwrap();
    inner.add(counter.source(), IN, 1).unwrap();
    assert_eq!(outer.now(8), [event(IN, 3)]);
    assert_eq!(outer.now(8), []);
    assert_eq!(inner.now(8), [event(IN, 1)]);
    inner.modify(counter.source(), IN | ET, 1).unwrap();
    // The kernel tells the outer only if the item was not in the inner's ready list already; a level item is.
    assert_eq!(outer.now(8), []);
    assert_eq!(inner.now(8), [event(IN, 1)]);
    inner.modify(counter.source(), IN | ET, 1).unwrap();
    assert_eq!(outer.now(8), [event(IN, 3)]);
}

fn rule_23_outer_oneshot_is_rearmed_by_modify<W: World>() {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
    inner.add(counter.source(), IN, 1).unwrap();
    outer.add(inner.source(), IN | ONESHOT, 3).unwrap();
    counter.write(1).unwrap();
    assert_eq!(outer.now(8), [event(IN, 3)]);
    counter.write(1).unwrap();
    assert_eq!(outer.now(8), []);
    outer.modify(inner.source(), IN | ONESHOT, 4).unwrap();
    assert_eq!(outer.now(8), [event(IN, 4)]);
}
