//! What brings an item onto the ready list, and what takes it off.

use crate::bits::{ERR, ET, HUP, IN, ONESHOT, OUT, PRI};
use crate::fds::{counter, pipe, raise, read, stream, take, write};
use crate::world::{World, both, event};
use libc::EEXIST;

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
);

fn rule_25_add_polls_the_source_once<W: World>() {
    let (mut w, ready, (idle, _far)) = (W::new(), counter(1), stream());
    w.add(&ready, IN | ET, 1).unwrap();
    w.add(&idle, IN | ET, 2).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    assert_eq!(w.now(8), [], "once");
    w.delete(&ready).unwrap();
    w.add(&ready, PRI | ET, 1).unwrap();
    assert_eq!(w.now(8), []);
}

fn rule_25_modify_polls_the_source_once<W: World>() {
    let (mut w, (near, _far)) = (W::new(), stream());
    w.add(&near, PRI | ET, 1).unwrap();
    assert_eq!(w.now(8), []);
    w.modify(&near, OUT | ET, 2).unwrap();
    assert_eq!(w.now(8), [event(OUT, 2)]);
    assert_eq!(w.now(8), [], "once");
}

fn rule_26_only_a_key_in_the_mask_queues<W: World>() {
    let (mut w, one) = (W::new(), counter(0));
    w.add(&one, OUT | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), [], "a write says IN, though OUT is true as well");
    take(&one).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)], "a read says OUT");
}

fn rule_26_a_key_of_nothing_queues_always<W: World>() {
    // The last close of a pipe's end has no key.
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&reader, PRI | ET, 1).unwrap();
    write(&writer, 1).unwrap();
    assert_eq!(w.now(8), []);
    drop(writer);
    assert_eq!(w.now(8), [event(HUP, 1)]);
    let (reader, writer) = pipe();
    w.add(&writer, ET, 2).unwrap();
    drop(reader);
    assert_eq!(w.now(8), [event(ERR, 2)]);
}

fn rule_26_a_disabled_item_is_not_queued<W: World>() {
    // If it were, it would have a place in front of the other when it is armed again.
    let (mut w, once, other) = (W::new(), counter(1), counter(0));
    w.add(&once, IN | ONESHOT, 1).unwrap();
    w.add(&other, IN, 2).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    raise(&once, 1).unwrap();
    raise(&other, 1).unwrap();
    w.modify(&once, IN | ONESHOT, 3).unwrap();
    assert_eq!(w.now(8), [event(IN, 2), event(IN, 3)]);
}

fn rule_27_an_edge_reports_the_whole_mask<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    w.add(&near, IN | OUT | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    write(&far, 1).unwrap();
    assert_eq!(w.now(8), [event(IN | OUT, 1)]);
    assert_eq!(w.now(8), []);
}

fn rule_27_what_is_no_longer_ready_is_dropped<W: World>() {
    for bits in [IN, IN | ET, IN | ONESHOT] {
        let (mut w, (near, far)) = (W::new(), stream());
        w.add(&near, bits, 1).unwrap();
        write(&far, 1).unwrap();
        read(&near, 1).unwrap();
        assert_eq!(w.now(8), []);
        write(&far, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)], "it is dropped from the ready list, not disabled");
    }
}

fn rule_27_what_is_reported_is_the_state_at_the_wait<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&reader, IN, 1).unwrap();
    write(&writer, 1).unwrap();
    read(&reader, 1).unwrap();
    drop(writer);
    assert_eq!(w.now(8), [event(HUP, 1)], "what was readable when it was queued is not now");
}

fn rule_32_delete_unlinks_a_pending_item<W: World>() {
    for bits in [IN, IN | ET] {
        let (mut w, a, b) = (W::new(), counter(0), counter(0));
        w.add(&a, bits, 1).unwrap();
        w.add(&b, bits, 2).unwrap();
        raise(&a, 1).unwrap();
        raise(&b, 1).unwrap();
        w.delete(&a).unwrap();
        assert_eq!(w.now(8), [event(IN, 2)]);
        w.add(&a, bits, 3).unwrap();
        assert_eq!(w.now(1), [if bits == IN { event(IN, 2) } else { event(IN, 3) }]);
    }
}

fn rule_32_modify_to_what_is_not_ready_drops_it<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    w.add(&near, IN | ET, 1).unwrap();
    write(&far, 1).unwrap();
    w.modify(&near, PRI | ET, 1).unwrap();
    assert_eq!(w.now(8), []);
}

fn rule_32_modify_back_polls_again<W: World>() {
    for looked_between in [false, true] {
        let (mut w, a, b) = (W::new(), counter(0), counter(0));
        w.add(&a, IN | ET, 1).unwrap();
        w.add(&b, IN, 2).unwrap();
        raise(&a, 1).unwrap();
        raise(&b, 1).unwrap();
        w.modify(&a, PRI | ET, 1).unwrap();
        if looked_between {
            assert_eq!(w.now(8), [event(IN, 2)]);
        }
        w.modify(&a, IN | ET, 1).unwrap();
        // It is a wait that drops the item; if none did, it has kept its place.
        let (first, second) = (event(IN, 1), event(IN, 2));
        assert_eq!(w.now(8), if looked_between { [second, first] } else { [first, second] });
    }
}

fn rule_33_oneshot_reports_once<W: World>() {
    for edge in [0, ET] {
        let (mut w, (near, far)) = (W::new(), stream());
        write(&far, 1).unwrap();
        w.add(&near, IN | ONESHOT | edge, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)]);
        assert_eq!(w.now(8), []);
        write(&far, 1).unwrap();
        assert_eq!(w.now(8), []);
    }
}

fn rule_33_a_disabled_item_exists<W: World>() {
    let (mut w, one) = (W::new(), counter(1));
    w.add(&one, IN | ONESHOT, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    assert_eq!(w.add(&one, IN, 2), Err(EEXIST));
    assert_eq!(w.delete(&one), Ok(()));
    assert_eq!(w.add(&one, IN, 2), Ok(()));
    assert_eq!(w.now(8), [event(IN, 2)]);
}

fn rule_33_nothing_but_modify_arms_again<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&reader, IN | ONESHOT, 1).unwrap();
    for round in 2..5 {
        write(&writer, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, round - 1)]);
        read(&reader, 1).unwrap();
        write(&writer, 1).unwrap();
        assert_eq!(w.now(8), []);
        read(&reader, 1).unwrap();
        w.modify(&reader, IN | ONESHOT, round).unwrap();
        assert_eq!(w.now(8), []);
    }
}

fn rule_33_not_even_a_hang_up<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&reader, IN | ONESHOT, 1).unwrap();
    write(&writer, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    drop(writer);
    assert_eq!(w.now(8), []);
    w.modify(&reader, 0, 2).unwrap();
    assert_eq!(w.now(8), [event(HUP, 2)]);
}

fn rule_33_modify_arms_and_reports_at_once<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    write(&far, 1).unwrap();
    w.add(&near, IN | ONESHOT, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    w.modify(&near, OUT | ONESHOT, 2).unwrap();
    assert_eq!(w.now(8), [event(OUT, 2)]);
    w.modify(&near, IN, 3).unwrap();
    assert_eq!(w.now(8), [event(IN, 3)]);
    assert_eq!(w.now(8), [event(IN, 3)], "modified without ONESHOT it is an item like others");
}

fn rule_33_oneshot_counts_what_was_delivered<W: World>() {
    // Three are ready, one is fetched; the others have fired not yet.
    let (mut w, ready) = (W::new(), [counter(1), counter(1), counter(1)]);
    for (one, data) in ready.iter().zip(1..) {
        w.add(one, IN | ONESHOT, data).unwrap();
    }
    for data in 1..=3 {
        assert_eq!(w.now(1), [event(IN, data)]);
    }
    assert_eq!(w.now(8), []);
}
