//! Each rule has a test, or a reason why it has none here.

use super::{control, edges, events, forks, lifetime, nesting, order, ready_list, sockets, sources, wait, wakes};
use crate::exhaustion;
use std::collections::BTreeSet;

/// Rules of epoll are numbered, from 1.
const RULES: u32 = 77;

/// Rules that cannot be asked through the reactor's face.
const NOT_ASKED: [(u32, &str); 18] = [
    (1, "a reactor is made without a size"),
    (2, "a reactor is made without flags"),
    (4, "a reactor's epoll is nobody's to read, write or seek"),
    (6, "a delete has no event"),
    (8, "what watches is always a reactor"),
    (9, "a reactor's epoll is not given away, so nobody can add it to itself"),
    (49, "the memory that the kernel writes to is the reactor's own"),
    (50, "the memory that the kernel writes to is the reactor's own"),
    (51, "events are no struct epoll_event"),
    (53, "a timeout is a Duration, which has no bad values and no pointer"),
    (54, "a wait has no signal mask"),
    (60, "a wait of no time that races a scan: one thread at a time waits in a reactor"),
    (62, "several waiters on one epoll: one thread at a time waits in a reactor"),
    (63, "several waiters on one epoll: one thread at a time waits in a reactor"),
    (64, "several waiters on one epoll: one thread at a time waits in a reactor"),
    (66, "needs a source that notifies with IN and OUT at once; of those watched here none is known to"),
    (67, "several waiters on one epoll: one thread at a time waits in a reactor"),
    (70, "says what is not promised"),
];

/// Of rules that have a test, what these do not ask.
const PARTS_NOT_ASKED: [(u32, &str); 7] = [
    (5, "the event pointer, what is no epoll, self and unknown operations: see rules 6, 8, 9"),
    (14, "the 208 bytes that the kernel spends on a watch"),
    (20, "a cycle would need the reactor's epoll as a source"),
    (31, "arrivals during a scan: the kernel stores into memory that no test can hold up"),
    (48, "INT_MAX / sizeof(event) and a bad epfd: a reactor asks for at most 1024 events at a time, of its own epoll"),
    (56, "a signal that is pending as the wait begins: only a wait with a mask lets it in"),
    (57, "a signal that is pending as the wait begins: only a wait with a mask lets it in"),
];

#[test]
fn every_rule_has_a_test() {
    let names = [
        control::NAMES,
        edges::NAMES,
        events::NAMES,
        exhaustion::AT_ONCE,
        exhaustion::NAMES,
        forks::NAMES,
        lifetime::NAMES,
        nesting::NAMES,
        order::NAMES,
        ready_list::NAMES,
        sockets::NAMES,
        sources::NAMES,
        wait::NAMES,
        wakes::NAMES,
    ];
    let tested: BTreeSet<u32> = names.iter().copied().flatten().filter_map(|name| rule(name)).collect();
    let not_asked: BTreeSet<u32> = NOT_ASKED.iter().map(|(rule, _)| *rule).collect();
    let both: Vec<_> = tested.intersection(&not_asked).collect();
    assert!(both.is_empty(), "rules {both:?} have a test, and a reason why they have none");
    let missing: Vec<_> = (1..=RULES).filter(|rule| !tested.contains(rule) && !not_asked.contains(rule)).collect();
    assert!(missing.is_empty(), "rules {missing:?} have neither a test nor a reason why not");
    let unknown: Vec<_> = tested.union(&not_asked).filter(|rule| !(1..=RULES).contains(rule)).collect();
    assert!(unknown.is_empty(), "there are no rules {unknown:?}");
    let partless: Vec<_> = PARTS_NOT_ASKED.iter().filter(|(rule, _)| !tested.contains(rule)).collect();
    assert!(partless.is_empty(), "these have no test at all: {partless:?}");
}

/// The number in `rule_28_…`.
fn rule(name: &str) -> Option<u32> {
    name.strip_prefix("rule_")?.split('_').next()?.parse().ok()
}
