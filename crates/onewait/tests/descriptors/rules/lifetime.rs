//! Several descriptors of one open file, and closing.

use crate::bits::{ET, EXCLUSIVE, IN, ONESHOT, OUT};
use crate::fds::{close, counter, dup, dup2, far_dup, pipe, raise, reopen, stream, take, write};
use crate::process::Waiter;
use crate::world::{Kernel, List, World, both, event};
use libc::{EBADF, EEXIST, ENOENT};
use std::os::fd::OwnedFd;

both!(
    rule_43_a_dup_registers_separately,
    rule_44_closing_with_a_dup_alive,
    rule_44_a_reused_number_makes_a_second_item,
    rule_44_dup2_back_makes_the_old_item_deletable,
    rule_45_a_closed_source_is_gone,
    rule_45_dup2_onto_it_closes_too,
    rule_45_a_closed_source_is_gone_from_all_lists,
    rule_47_closing_a_source_wakes_nobody,
    rule_47_closing_an_inner_epoll_wakes_nobody,
);

fn rule_43_a_dup_registers_separately<W: World>() {
    let (mut w, one) = (W::new(), counter(0));
    let copy = dup(&one);
    w.add(&one, IN, 1).unwrap();
    w.add(&copy, IN | ONESHOT, 2).unwrap();
    assert_eq!(w.add(&copy, IN, 3), Err(EEXIST));
    raise(&one, 1).unwrap();
    // The newest is queued first (rule 30).
    assert_eq!(w.now(8), [event(IN, 2), event(IN, 1)]);
    assert_eq!(w.now(8), [event(IN, 1)]);
    w.delete(&one).unwrap();
    w.modify(&copy, OUT, 4).unwrap();
    assert_eq!(w.now(8), [event(OUT, 4)]);
}

fn rule_44_closing_with_a_dup_alive<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    let copy = far_dup(&near);
    w.add(&copy, IN | ET, 1).unwrap();
    let closed = close(copy);
    for _ in 0..2 {
        write(&far, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)], "the open file is still watched");
    }
    assert_eq!(w.delete(&closed), Err(EBADF));
    assert_eq!(w.modify(&closed, IN, 2), Err(EBADF));
    drop(near);
    write(&far, 1).unwrap_err();
    assert_eq!(w.now(8), [], "with its last descriptor it is gone");
}

/// The side, a counter that is watched by a number that was closed since with data 1, and that number.
fn watched_by_a_closed_number<W: World>() -> (W, OwnedFd, std::os::fd::BorrowedFd<'static>) {
    let (w, one) = (W::new(), counter(0));
    let copy = far_dup(&one);
    w.add(&copy, IN, 1).unwrap();
    (w, one, close(copy))
}

fn rule_44_a_reused_number_makes_a_second_item<W: World>() {
    let (mut w, one, number) = watched_by_a_closed_number::<W>();
    let other = reopen(&counter(1), number);
    assert_eq!(w.modify(&other, IN, 2), Err(ENOENT), "the old item is another file's");
    assert_eq!(w.delete(&other), Err(ENOENT));
    assert_eq!(w.add(&other, IN, 2), Ok(()));
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 2), event(IN, 1)]);
    w.delete(&other).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)], "the old one has stayed");
}

fn rule_44_dup2_back_makes_the_old_item_deletable<W: World>() {
    let (mut w, one, number) = watched_by_a_closed_number::<W>();
    let back = reopen(&one, number);
    raise(&one, 1).unwrap();
    assert_eq!(w.add(&back, IN, 2), Err(EEXIST));
    assert_eq!(w.modify(&back, OUT, 3), Ok(()));
    assert_eq!(w.now(8), [event(OUT, 3)]);
    assert_eq!(w.delete(&back), Ok(()));
    assert_eq!(w.now(8), []);
}

fn rule_45_a_closed_source_is_gone<W: World>() {
    for bits in [IN, IN | ET, IN | ONESHOT, IN | EXCLUSIVE] {
        let (mut w, closed, kept) = (W::new(), far_dup(&counter(1)), counter(1));
        w.add(&closed, bits, 1).unwrap();
        w.add(&kept, bits, 2).unwrap();
        let number = close(closed);
        assert_eq!(w.now(8), [event(IN, 2)]);
        let new = reopen(&counter(0), number);
        assert_eq!(w.delete(&new), Err(ENOENT), "a new file is not the old one");
        assert_eq!(w.add(&new, IN, 3), Ok(()));
    }
}

fn rule_45_dup2_onto_it_closes_too<W: World>() {
    let (mut w, mut number, other) = (W::new(), counter(1), counter(1));
    w.add(&number, IN, 1).unwrap();
    dup2(&other, &mut number);
    assert_eq!(w.now(8), []);
    assert_eq!(w.modify(&number, IN, 2), Err(ENOENT));
}

fn rule_45_a_closed_source_is_gone_from_all_lists<W: World>() {
    let mut all = [W::new(), W::new(), W::new()];
    let one = counter(0);
    for w in &all {
        w.add(&one, IN | OUT, 1).unwrap();
    }
    raise(&one, 1).unwrap();
    drop(one);
    assert!(all.iter_mut().all(|w| w.now(8).is_empty()));
}

/// Someone waits; nothing that `close` does ends that.
fn wakes_nobody<W: World>(w: W, close: impl FnOnce()) {
    let end = counter(0);
    w.add(&end, IN, 99).unwrap();
    let waiter = Waiter::new(w, 8, None);
    close();
    waiter.settle();
    assert!(!waiter.has_returned());
    raise(&end, 1).unwrap();
    assert_eq!(waiter.join().1, Ok(vec![event(IN, 99)]));
}

fn rule_47_closing_a_source_wakes_nobody<W: World>() {
    let (w, one, (reader, writer)) = (W::new(), counter(0), pipe());
    w.add(&one, IN, 1).unwrap();
    w.add(&reader, IN, 2).unwrap();
    wakes_nobody(w, || {
        drop(one);
        drop(reader);
    });
    drop(writer);
}

fn rule_47_closing_an_inner_epoll_wakes_nobody<W: World>() {
    let (w, inner, one) = (W::new(), Kernel::new(), counter(0));
    inner.list().add(&one, IN, 1).unwrap();
    w.add(inner.list(), IN, 2).unwrap();
    wakes_nobody(w, || drop(inner));
    assert_eq!(take(&one), Err(libc::EAGAIN));
}
