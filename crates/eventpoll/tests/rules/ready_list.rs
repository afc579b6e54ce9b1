//! What brings an item onto the ready list, and what takes it off.

use libc::EEXIST;

use crate::common::bits::{ERR, ET, HUP, IN, ONESHOT, OUT, PRI};
use crate::common::both;
use crate::common::world::{Counter, Poll, Reader, Watched, World, Writer, event};

both!(
    rule_25_add_polls_the_source_once,
    rule_25_modify_polls_the_source_once,
    rule_26_only_a_key_in_the_mask_queues,
    rule_26_a_key_of_nothing_queues_always,
    rule_26_a_disabled_item_is_not_queued,
    rule_27_an_edge_reports_the_whole_mask,
    rule_27_what_is_no_longer_ready_is_dropped,
    rule_27_what_is_reported_is_the_state_at_the_wait,
    rule_32_delete_unlinks_a_pending_item,
    rule_32_modify_to_what_is_not_ready_drops_it,
    rule_32_modify_back_polls_again,
    rule_33_oneshot_reports_once,
    rule_33_a_disabled_item_exists,
    rule_33_nothing_but_modify_arms_again,
    rule_33_not_even_a_hang_up,
    rule_33_modify_arms_and_reports_at_once,
    rule_33_oneshot_counts_what_was_delivered,
    rule_33_what_was_delivered_has_left_the_list,
);

fn rule_25_add_polls_the_source_once<W: World>() {
    let (poll, ready, idle) = (W::poll(), W::counter(1), W::counter(0));
    poll.add(ready.source(), IN | ET, 1).unwrap();
    poll.add(idle.source(), IN | ET, 2).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    assert_eq!(poll.now(8), [], "once");
    poll.delete(ready.source()).unwrap();
    poll.add(ready.source(), PRI | ET, 1).unwrap();
    assert_eq!(poll.now(8), []);
}

fn rule_25_modify_polls_the_source_once<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    poll.add(counter.source(), PRI | ET, 1).unwrap();
    assert_eq!(poll.now(8), []);
    poll.modify(counter.source(), OUT | ET, 2).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 2)]);
    assert_eq!(poll.now(8), [], "once");
}

fn rule_26_only_a_key_in_the_mask_queues<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), OUT | ET, 1).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    counter.write(1).unwrap();
    assert_eq!(poll.now(8), [], "a write says IN, though OUT is true as well");
    counter.read().unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)], "a read says OUT");
}

fn rule_26_a_key_of_nothing_queues_always<W: World>() {
    // The last close of a pipe's end has no key.
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), PRI | ET, 1).unwrap();
    writer.write(1).unwrap();
    assert_eq!(poll.now(8), []);
    drop(writer);
    assert_eq!(poll.now(8), [event(HUP, 1)]);
    let (reader, writer) = W::pipe();
    poll.add(writer.source(), ET, 2).unwrap();
    drop(reader);
    assert_eq!(poll.now(8), [event(ERR, 2)]);
}

fn rule_26_a_disabled_item_is_not_queued<W: World>() {
    // If it were, it would have a place in front of the other when it is armed again.
    let (poll, once, other) = (W::poll(), W::counter(1), W::counter(0));
    poll.add(once.source(), IN | ONESHOT, 1).unwrap();
    poll.add(other.source(), IN, 2).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    once.write(1).unwrap();
    other.write(1).unwrap();
    poll.modify(once.source(), IN | ONESHOT, 3).unwrap();
    assert_eq!(poll.now(8), [event(IN, 2), event(IN, 3)]);
}

fn rule_27_an_edge_reports_the_whole_mask<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | OUT | ET, 1).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    counter.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN | OUT, 1)]);
    counter.read().unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)]);
}

fn rule_27_what_is_no_longer_ready_is_dropped<W: World>() {
    for bits in [IN, IN | ET, IN | ONESHOT] {
        let (poll, counter) = (W::poll(), W::counter(0));
        poll.add(counter.source(), bits, 1).unwrap();
        counter.write(1).unwrap();
        counter.read().unwrap();
        assert_eq!(poll.now(8), []);
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1)], "it is dropped from the ready list, not disabled");
    }
}

fn rule_27_what_is_reported_is_the_state_at_the_wait<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), IN, 1).unwrap();
    writer.write(1).unwrap();
    reader.read(1).unwrap();
    drop(writer);
    assert_eq!(poll.now(8), [event(HUP, 1)], "what was readable when it was queued is not now");
}

fn rule_32_delete_unlinks_a_pending_item<W: World>() {
    for bits in [IN, IN | ET] {
        let (poll, a, b) = (W::poll(), W::counter(0), W::counter(0));
        poll.add(a.source(), bits, 1).unwrap();
        poll.add(b.source(), bits, 2).unwrap();
        a.write(1).unwrap();
        b.write(1).unwrap();
        poll.delete(a.source()).unwrap();
        assert_eq!(poll.now(8), [event(IN, 2)]);
        poll.add(a.source(), bits, 3).unwrap();
        assert_eq!(poll.now(1), [if bits == IN { event(IN, 2) } else { event(IN, 3) }]);
    }
}

fn rule_32_modify_to_what_is_not_ready_drops_it<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    counter.write(1).unwrap();
    poll.modify(counter.source(), PRI | ET, 1).unwrap();
    assert_eq!(poll.now(8), []);
}

fn rule_32_modify_back_polls_again<W: World>() {
    for looked_between in [false, true] {
        let (poll, a, b) = (W::poll(), W::counter(0), W::counter(0));
        poll.add(a.source(), IN | ET, 1).unwrap();
        poll.add(b.source(), IN, 2).unwrap();
        a.write(1).unwrap();
        b.write(1).unwrap();
        poll.modify(a.source(), PRI | ET, 1).unwrap();
        if looked_between {
            assert_eq!(poll.now(8), [event(IN, 2)]);
        }
        poll.modify(a.source(), IN | ET, 1).unwrap();
        // It is a wait that drops the item; if none did, it has kept its place.
        let (first, second) = (event(IN, 1), event(IN, 2));
        assert_eq!(poll.now(8), if looked_between { [second, first] } else { [first, second] });
    }
}

fn rule_33_oneshot_reports_once<W: World>() {
    for edge in [0, ET] {
        let (poll, counter) = (W::poll(), W::counter(1));
        poll.add(counter.source(), IN | ONESHOT | edge, 1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1)]);
        assert_eq!(poll.now(8), []);
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), []);
    }
}

fn rule_33_a_disabled_item_exists<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    poll.add(counter.source(), IN | ONESHOT, 1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    assert_eq!(poll.add(counter.source(), IN, 2), Err(EEXIST));
    assert_eq!(poll.delete(counter.source()), Ok(()));
    assert_eq!(poll.add(counter.source(), IN, 2), Ok(()));
    assert_eq!(poll.now(8), [event(IN, 2)]);
}

fn rule_33_nothing_but_modify_arms_again<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ONESHOT, 1).unwrap();
    for round in 2..5 {
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), [event(IN, round - 1)]);
        counter.read().unwrap();
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), []);
        counter.read().unwrap();
        poll.modify(counter.source(), IN | ONESHOT, round).unwrap();
        assert_eq!(poll.now(8), []);
    }
}

fn rule_33_not_even_a_hang_up<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), IN | ONESHOT, 1).unwrap();
    writer.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    drop(writer);
    assert_eq!(poll.now(8), []);
    poll.modify(reader.source(), 0, 2).unwrap();
    assert_eq!(poll.now(8), [event(HUP, 2)]);
}

fn rule_33_modify_arms_and_reports_at_once<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    poll.add(counter.source(), IN | ONESHOT, 1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    poll.modify(counter.source(), OUT | ONESHOT, 2).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 2)]);
    poll.modify(counter.source(), IN, 3).unwrap();
    assert_eq!(poll.now(8), [event(IN, 3)]);
    assert_eq!(poll.now(8), [event(IN, 3)], "MOD without ONESHOT makes it an item like others");
}

fn rule_33_oneshot_counts_what_was_delivered<W: World>() {
    // Three are ready, one is fetched; the others have fired not yet.
    let (poll, counters) = (W::poll(), [W::counter(1), W::counter(1), W::counter(1)]);
    for (counter, data) in counters.iter().zip(1..) {
        poll.add(counter.source(), IN | ONESHOT, data).unwrap();
    }
    for data in 1..=3 {
        assert_eq!(poll.now(1), [event(IN, data)]);
    }
    assert_eq!(poll.now(8), []);
}

fn rule_33_what_was_delivered_has_left_the_list<W: World>() {
    let (poll, once, other) = (W::poll(), W::counter(1), W::counter(0));
    poll.add(once.source(), IN | ONESHOT, 1).unwrap();
    poll.add(other.source(), IN, 2).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    other.write(1).unwrap();
    poll.modify(once.source(), IN, 3).unwrap();
    assert_eq!(poll.now(8), [event(IN, 2), event(IN, 3)]);
}
