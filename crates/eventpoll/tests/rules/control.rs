//! Add, modify, delete: what is refused, and with what.

use libc::{EEXIST, EINVAL, ELOOP, ENOENT};

use crate::common::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, WAKEUP};
use crate::common::both;
use crate::common::world::{Op, Poll, Watched, World, event};

both!(
    rule_05_exclusive_is_checked_before_what_is_there,
    rule_05_exclusive_is_checked_before_loops,
    rule_05_loops_are_looked_for_only_by_add,
    rule_09_not_into_itself,
    rule_10_a_second_add_exists_already,
    rule_10_modify_and_delete_want_an_item,
    rule_10_another_poll_is_another_list,
    rule_16_exclusive_goes_with_few_bits,
    rule_17_exclusive_is_for_ever,
    rule_18_an_event_poll_is_never_exclusive,
);

fn rule_05_exclusive_is_checked_before_what_is_there<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    assert_eq!(poll.modify(counter.source(), IN | EXCLUSIVE, 0), Err(EINVAL), "not ENOENT");
    poll.add(counter.source(), IN, 0).unwrap();
    assert_eq!(poll.add(counter.source(), IN | EXCLUSIVE | ONESHOT, 0), Err(EINVAL), "not EEXIST");
    assert_eq!(poll.add(counter.source(), IN | EXCLUSIVE, 0), Err(EEXIST));
}

fn rule_05_exclusive_is_checked_before_loops<W: World>() {
    let (a, b) = (W::poll(), W::poll());
    a.add(b.source(), IN, 0).unwrap();
    assert_eq!(b.add(a.source(), IN | EXCLUSIVE, 0), Err(EINVAL), "not ELOOP");
    assert_eq!(b.add(a.source(), IN, 0), Err(ELOOP));
}

fn rule_05_loops_are_looked_for_only_by_add<W: World>() {
    let (a, b) = (W::poll(), W::poll());
    a.add(b.source(), IN, 0).unwrap();
    assert_eq!(b.modify(a.source(), IN, 0), Err(ENOENT), "not ELOOP");
    assert_eq!(b.delete(a.source()), Err(ENOENT), "not ELOOP");
}

fn rule_09_not_into_itself<W: World>() {
    let poll = W::poll();
    for op in [Op::Add, Op::Modify, Op::Delete] {
        assert_eq!(poll.control(op, poll.source(), IN, 0), Err(EINVAL), "{op:?}");
    }
}

fn rule_10_a_second_add_exists_already<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    poll.add(counter.source(), IN, 1).unwrap();
    assert_eq!(poll.add(counter.source(), OUT, 2), Err(EEXIST));
    assert_eq!(poll.now(8), [event(IN, 1)], "the refused call changed nothing");
    poll.delete(counter.source()).unwrap();
    poll.add(counter.source(), OUT, 2).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 2)]);
}

fn rule_10_modify_and_delete_want_an_item<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    assert_eq!(poll.modify(counter.source(), IN, 0), Err(ENOENT));
    assert_eq!(poll.delete(counter.source()), Err(ENOENT));
    poll.add(counter.source(), IN, 0).unwrap();
    poll.delete(counter.source()).unwrap();
    assert_eq!(poll.modify(counter.source(), IN, 0), Err(ENOENT));
    assert_eq!(poll.delete(counter.source()), Err(ENOENT));
    assert_eq!(poll.now(8), []);
}

fn rule_10_another_poll_is_another_list<W: World>() {
    let (first, second, counter) = (W::poll(), W::poll(), W::counter(1));
    first.add(counter.source(), IN, 1).unwrap();
    second.add(counter.source(), OUT, 2).unwrap();
    first.delete(counter.source()).unwrap();
    assert_eq!(first.now(8), []);
    assert_eq!(second.now(8), [event(OUT, 2)]);
}

fn rule_16_exclusive_goes_with_few_bits<W: World>() {
    let poll = W::poll();
    for place in 0..32 {
        let bit = 1_u32 << place;
        let counter = W::counter(0);
        let legal = bit & (IN | OUT | ERR | HUP | WAKEUP | ET | EXCLUSIVE) != 0;
        let expected = if legal { Ok(()) } else { Err(EINVAL) };
        assert_eq!(poll.add(counter.source(), EXCLUSIVE | bit, 0), expected, "EXCLUSIVE with bit {place}");
        assert_eq!(poll.modify(counter.source(), EXCLUSIVE | bit, 0), Err(EINVAL), "modify with bit {place}");
    }
}

fn rule_17_exclusive_is_for_ever<W: World>() {
    let (poll, shared, own) = (W::poll(), W::counter(1), W::counter(1));
    poll.add(shared.source(), IN | EXCLUSIVE, 1).unwrap();
    poll.add(own.source(), IN, 2).unwrap();
    assert_eq!(poll.modify(own.source(), IN | EXCLUSIVE, 3), Err(EINVAL), "it cannot become so");
    for bits in [IN, OUT, 0, PRI | RDHUP, IN | EXCLUSIVE] {
        assert_eq!(poll.modify(shared.source(), bits, 4), Err(EINVAL), "nor be anything else: {bits:#x}");
    }
    assert_eq!(poll.now(8), [event(IN, 1), event(IN, 2)], "refused calls change nothing");
    poll.delete(shared.source()).unwrap();
    assert_eq!(poll.now(8), [event(IN, 2)]);
}

fn rule_18_an_event_poll_is_never_exclusive<W: World>() {
    let (outer, inner) = (W::poll(), W::poll());
    assert_eq!(outer.add(inner.source(), IN | EXCLUSIVE, 0), Err(EINVAL));
    outer.add(inner.source(), IN, 0).unwrap();
}
