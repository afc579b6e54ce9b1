//! The bits and the data of an interest, and those that come back.

use libc::ENOENT;

use crate::common::bits::{ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, RDNORM, WAKEUP, WRNORM};
use crate::common::both;
use crate::common::world::{Counter, Poll, Watched, World, Writer, event};

both!(
    rule_11_unknown_bits_are_accepted,
    rule_11_hang_up_is_always_watched,
    rule_12_private_bits_never_come_back,
    rule_12_other_names_of_readable_only_if_asked,
    rule_13_data_is_opaque,
    rule_13_modify_changes_data_in_place,
    rule_15_wakeup_changes_nothing,
);

fn rule_11_unknown_bits_are_accepted<W: World>() {
    let poll = W::poll();
    for place in (0..32).filter(|place| 1_u32 << place != EXCLUSIVE) {
        let (counter, bit) = (W::counter(1), 1_u32 << place);
        assert_eq!(poll.add(counter.source(), bit, 0), Ok(()), "bit {place}");
        assert_eq!(poll.modify(counter.source(), bit | IN, 0), Ok(()), "bit {place}");
        assert_eq!(poll.now(8), [event(IN | (bit & OUT), 0)], "bit {place}");
    }
    let counter = W::counter(1);
    poll.add(counter.source(), !EXCLUSIVE, 7).unwrap();
    assert_eq!(poll.now(8), [event(IN | OUT, 7)]);
}

fn rule_11_hang_up_is_always_watched<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), 0, 1).unwrap();
    writer.write(1).unwrap();
    assert_eq!(poll.now(8), []);
    drop(writer);
    assert_eq!(poll.now(8), [event(HUP, 1)]);
}

fn rule_12_private_bits_never_come_back<W: World>() {
    for private in [ET, ONESHOT, WAKEUP, EXCLUSIVE, ET | ONESHOT | WAKEUP, EXCLUSIVE | ET] {
        let (poll, counter) = (W::poll(), W::counter(1));
        poll.add(counter.source(), IN | private, 1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1)], "with {private:#x}");
    }
}

fn rule_12_other_names_of_readable_only_if_asked<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    writer.write(1).unwrap();
    let readers = [(IN, IN), (RDNORM, RDNORM), (IN | RDNORM, IN | RDNORM), (IN | PRI | RDHUP, IN)];
    for (asked, reported) in readers {
        poll.add(reader.source(), asked, 1).unwrap();
        assert_eq!(poll.now(8), [event(reported, 1)]);
        poll.delete(reader.source()).unwrap();
    }
    for (asked, reported) in [(OUT, OUT), (WRNORM, WRNORM), (OUT | WRNORM | IN | RDNORM, OUT | WRNORM)] {
        poll.add(writer.source(), asked, 2).unwrap();
        assert_eq!(poll.now(8), [event(reported, 2)]);
        poll.delete(writer.source()).unwrap();
    }
    // An eventfd has only the plain names.
    let counter = W::counter(1);
    poll.add(counter.source(), IN | OUT | RDNORM | WRNORM, 3).unwrap();
    assert_eq!(poll.now(8), [event(IN | OUT, 3)]);
}

fn rule_13_data_is_opaque<W: World>() {
    for data in [0, 1, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let (poll, counter) = (W::poll(), W::counter(1));
        poll.add(counter.source(), IN, data).unwrap();
        assert_eq!(poll.now(8), [event(IN, data)]);
    }
    // Two items may have the same.
    let (poll, a, b) = (W::poll(), W::counter(1), W::counter(1));
    poll.add(a.source(), IN, 5).unwrap();
    poll.add(b.source(), OUT, 5).unwrap();
    assert_eq!(poll.now(8), [event(IN, 5), event(OUT, 5)]);
}

fn rule_13_modify_changes_data_in_place<W: World>() {
    let (poll, a, b, c) = (W::poll(), W::counter(0), W::counter(0), W::counter(0));
    poll.add(a.source(), IN, 1).unwrap();
    poll.add(b.source(), IN | ET, 2).unwrap();
    assert_eq!(poll.modify(c.source(), IN, 3), Err(ENOENT));
    a.write(1).unwrap();
    b.write(1).unwrap();
    poll.modify(a.source(), IN, 11).unwrap();
    assert_eq!(poll.now(8), [event(IN, 11), event(IN, 2)]);
}

fn rule_15_wakeup_changes_nothing<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | WAKEUP, 1).unwrap();
    assert_eq!(poll.now(8), []);
    counter.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    poll.modify(counter.source(), OUT | WAKEUP | ONESHOT, 2).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 2)]);
    assert_eq!(poll.now(8), []);
    let shared = W::counter(1);
    poll.add(shared.source(), IN | WAKEUP | EXCLUSIVE, 3).unwrap();
    assert_eq!(poll.now(8), [event(IN, 3)]);
    assert_eq!(shared.read(), Ok(1));
}
