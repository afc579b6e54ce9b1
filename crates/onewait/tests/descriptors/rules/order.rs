//! In which order events are reported.

use crate::bits::{ET, EXCLUSIVE, IN, OUT};
use crate::fds::{counter, raise, stream, take, write};
use crate::world::{Event, Kernel, List, World, both, event};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

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
    rule_31_unscanned_then_arrivals_then_level_again,
);

/// So many sockets that are watched, with data 0, 1, 2 … , and their peers.
fn several<W: World, const N: usize>(bits: u32) -> (W, [(UnixStream, UnixStream); N]) {
    let (w, sockets) = (W::new(), std::array::from_fn(|_| stream()));
    for ((near, _), data) in sockets.iter().zip(0..) {
        w.add(near, bits, data).unwrap();
    }
    (w, sockets)
}

/// IN of these, in this order.
fn readable<const N: usize>(data: [u64; N]) -> [Event; N] {
    data.map(|data| event(IN, data))
}

fn rule_25_a_ready_item_goes_to_the_tail<W: World>() {
    let (mut w, [a, b, c]) = several::<W, 3>(IN);
    for (_, far) in [&c, &a] {
        write(far, 1).unwrap();
    }
    let late = counter(1);
    w.add(&late, IN, 9).unwrap();
    write(&b.1, 1).unwrap();
    assert_eq!(w.now(8), readable([2, 0, 9, 1]));
    let (mut w, [a, b, _c]) = several::<W, 3>(OUT | ET);
    w.now(8);
    write(&b.1, 1).unwrap();
    w.modify(&b.0, IN, 1).unwrap();
    write(&a.1, 1).unwrap();
    w.modify(&a.0, IN, 0).unwrap();
    assert_eq!(w.now(8), readable([1, 0]));
}

fn rule_26_a_queued_item_does_not_move<W: World>() {
    for bits in [IN, IN | ET] {
        let (mut w, [a, b]) = several::<W, 2>(bits);
        for (_, far) in [&a, &b, &a, &a] {
            write(far, 1).unwrap();
        }
        w.modify(&a.0, bits, 0).unwrap();
        assert_eq!(w.now(8), readable([0, 1]));
    }
}

fn rule_28_level_items_take_turns<W: World>() {
    let (mut w, sockets) = several::<W, 5>(IN);
    for (_, far) in &sockets {
        write(far, 1).unwrap();
    }
    for data in [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0] {
        assert_eq!(w.now(1), readable([data]));
    }
}

fn rule_28_what_was_not_reached_stays_at_the_head<W: World>() {
    let (mut w, sockets) = several::<W, 5>(IN);
    for (_, far) in &sockets {
        write(far, 1).unwrap();
    }
    assert_eq!(w.now(2), readable([0, 1]));
    assert_eq!(w.now(2), readable([2, 3]));
    assert_eq!(w.now(3), readable([4, 0, 1]));
    assert_eq!(w.now(8), readable([2, 3, 4, 0, 1]), "each once, however much room there is");
}

fn rule_28_edges_leave_level_items_go_round<W: World>() {
    let (mut w, [a, b, c]) = several::<W, 3>(IN | ET);
    w.modify(&b.0, IN, 1).unwrap();
    for (_, far) in [&a, &b, &c] {
        write(far, 1).unwrap();
    }
    assert_eq!(w.now(2), readable([0, 1]));
    write(&a.1, 1).unwrap();
    assert_eq!(w.now(8), readable([2, 1, 0]));
    assert_eq!(w.now(8), readable([1]));
}

fn two_counters<W: World>() -> (W, OwnedFd, OwnedFd) {
    let (w, a, b) = (W::new(), counter(0), counter(0));
    w.add(&a, IN, 0).unwrap();
    w.add(&b, IN, 1).unwrap();
    raise(&a, 1).unwrap();
    raise(&b, 1).unwrap();
    (w, a, b)
}

fn rule_29_a_level_item_lingers<W: World>() {
    let (mut w, a, _b) = two_counters::<W>();
    assert_eq!(w.now(8), readable([0, 1]));
    take(&a).unwrap();
    raise(&a, 1).unwrap();
    assert_eq!(w.now(8), readable([0, 1]), "it was still queued, and keeps its place");
}

fn rule_29_until_a_wait_finds_it_unready<W: World>() {
    let (mut w, a, _b) = two_counters::<W>();
    assert_eq!(w.now(8), readable([0, 1]));
    take(&a).unwrap();
    assert_eq!(w.now(8), readable([1]));
    raise(&a, 1).unwrap();
    assert_eq!(w.now(8), readable([1, 0]));
}

/// Kernel's epolls in the side under test, whose order shows in which order they were told.
fn watchers<W: World, const N: usize>() -> (W, [<Kernel as World>::List; N]) {
    let (w, polls) = (W::new(), std::array::from_fn(|_| Kernel::new().list().clone()));
    for (poll, data) in polls.iter().zip(0..) {
        w.add(poll, IN | ET, data).unwrap();
    }
    (w, polls)
}

fn rule_30_the_newest_item_is_queued_first<W: World>() {
    let (mut w, [a, b, c]) = watchers::<W, 3>();
    let one = counter(0);
    for poll in [&b, &a, &c] {
        poll.add(&one, IN, 0).unwrap();
    }
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), readable([2, 0, 1]));
    // Two numbers of one file, in the side itself.
    let (one, number) = (counter(0), counter(0));
    let mut number = number;
    crate::fds::dup2(&one, &mut number);
    w.add(&one, IN | ET, 8).unwrap();
    w.add(&number, IN | ET, 9).unwrap();
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), readable([9, 8]));
}

fn rule_30_exclusive_ones_after_the_others_oldest_first<W: World>() {
    let (mut w, [a, b, c, d]) = watchers::<W, 4>();
    let one = counter(0);
    a.add(&one, IN | EXCLUSIVE, 0).unwrap();
    b.add(&one, IN, 0).unwrap();
    c.add(&one, IN | EXCLUSIVE, 0).unwrap();
    d.add(&one, IN, 0).unwrap();
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), readable([3, 1, 0, 2]));
}

fn rule_31_unscanned_then_arrivals_then_level_again<W: World>() {
    let (mut w, [a, b, c, d]) = several::<W, 4>(IN);
    for (_, far) in [&a, &b, &c] {
        write(far, 1).unwrap();
    }
    assert_eq!(w.now(2), readable([0, 1]));
    // What was reported by level was put back at the end of the scan, and so comes before what arrives after it.
    write(&d.1, 1).unwrap();
    assert_eq!(w.now(8), readable([2, 0, 1, 3]));
}
