//! The bits and the data of an interest, and those that come back.

use crate::bits::{ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, RDNORM, WAKEUP, WRNORM};
use crate::fds::{counter, pipe, stream, take, write};
use crate::world::{World, both, event};
use libc::ENOENT;

both!(
    rule_11_unknown_bits_are_accepted,
    rule_11_hang_up_is_always_watched,
    rule_12_private_bits_never_come_back,
    rule_12_other_names_of_readable_only_if_asked,
    rule_12_the_end_of_the_peers_writing_only_if_asked,
    rule_13_data_is_opaque,
    rule_13_modify_changes_data_in_place,
    rule_15_wakeup_changes_nothing,
);

fn rule_11_unknown_bits_are_accepted<W: World>() {
    let mut w = W::new();
    for place in (0..32).filter(|place| 1_u32 << place != EXCLUSIVE) {
        let (one, bit) = (counter(1), 1_u32 << place);
        assert_eq!(w.add(&one, bit, 0), Ok(()), "bit {place}");
        assert_eq!(w.modify(&one, bit | IN, 0), Ok(()), "bit {place}");
        assert_eq!(w.now(8), [event(IN | (bit & OUT), 0)], "bit {place}");
    }
    let one = counter(1);
    w.add(&one, !EXCLUSIVE, 7).unwrap();
    assert_eq!(w.now(8), [event(IN | OUT, 7)]);
}

fn rule_11_hang_up_is_always_watched<W: World>() {
    let (mut w, (reader, writer), (near, far)) = (W::new(), pipe(), stream());
    w.add(&reader, 0, 1).unwrap();
    w.add(&near, 0, 2).unwrap();
    write(&writer, 1).unwrap();
    write(&far, 1).unwrap();
    assert_eq!(w.now(8), []);
    drop(writer);
    drop(far);
    assert_eq!(w.now(8), [event(HUP, 1), event(HUP, 2)]);
}

fn rule_12_private_bits_never_come_back<W: World>() {
    for private in [ET, ONESHOT, WAKEUP, EXCLUSIVE, ET | ONESHOT | WAKEUP, EXCLUSIVE | ET] {
        let (mut w, one) = (W::new(), counter(1));
        w.add(&one, IN | private, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)], "with {private:#x}");
    }
}

fn rule_12_other_names_of_readable_only_if_asked<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    write(&writer, 1).unwrap();
    for (asked, reported) in [(IN, IN), (RDNORM, RDNORM), (IN | RDNORM, IN | RDNORM), (IN | PRI | RDHUP, IN)] {
        w.add(&reader, asked, 1).unwrap();
        assert_eq!(w.now(8), [event(reported, 1)]);
        w.delete(&reader).unwrap();
    }
    for (asked, reported) in [(OUT, OUT), (WRNORM, WRNORM), (OUT | WRNORM | IN | RDNORM, OUT | WRNORM)] {
        w.add(&writer, asked, 2).unwrap();
        assert_eq!(w.now(8), [event(reported, 2)]);
        w.delete(&writer).unwrap();
    }
}

fn rule_12_the_end_of_the_peers_writing_only_if_asked<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    far.shutdown(std::net::Shutdown::Write).unwrap();
    for (asked, reported) in [(IN, IN), (RDHUP, RDHUP), (IN | RDHUP | OUT, IN | RDHUP | OUT)] {
        w.add(&near, asked, 1).unwrap();
        assert_eq!(w.now(8), [event(reported, 1)]);
        w.delete(&near).unwrap();
    }
}

fn rule_13_data_is_opaque<W: World>() {
    for data in [0, 1, u64::from(u32::MAX), 1 << 63, u64::MAX] {
        let (mut w, one) = (W::new(), counter(1));
        w.add(&one, IN, data).unwrap();
        assert_eq!(w.now(8), [event(IN, data)]);
    }
    // Two items may have the same.
    let (mut w, a, b) = (W::new(), counter(1), counter(1));
    w.add(&a, IN, 5).unwrap();
    w.add(&b, OUT, 5).unwrap();
    assert_eq!(w.now(8), [event(IN, 5), event(OUT, 5)]);
}

fn rule_13_modify_changes_data_in_place<W: World>() {
    let (mut w, (a, to_a), (b, to_b), c) = (W::new(), pipe(), stream(), counter(0));
    w.add(&a, IN, 1).unwrap();
    w.add(&b, IN | ET, 2).unwrap();
    assert_eq!(w.modify(&c, IN, 3), Err(ENOENT));
    write(&to_a, 1).unwrap();
    write(&to_b, 1).unwrap();
    w.modify(&a, IN, 11).unwrap();
    assert_eq!(w.now(8), [event(IN, 11), event(IN, 2)]);
}

fn rule_15_wakeup_changes_nothing<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    w.add(&near, IN | WAKEUP, 1).unwrap();
    assert_eq!(w.now(8), []);
    write(&far, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    w.modify(&near, OUT | WAKEUP | ONESHOT, 2).unwrap();
    assert_eq!(w.now(8), [event(OUT, 2)]);
    assert_eq!(w.now(8), []);
    let shared = counter(1);
    w.add(&shared, IN | WAKEUP | EXCLUSIVE, 3).unwrap();
    assert_eq!(w.now(8), [event(IN, 3)]);
    assert_eq!(take(&shared), Ok(1));
}
