//! Each rule has a test, or a reason why it has none here.

use std::collections::BTreeSet;

use super::{
    control, edges, events, last_moment, lifetime, nested_edges, nested_wakes, nesting, order, ours_alone, races,
    ready_list, sources, wait, wakes,
};

/// Rules of epoll are numbered, from 1.
const RULES: u32 = 77;

/// What an event poll over sources that are no descriptors cannot have, and so what no test here can show.
const ABOUT_DESCRIPTORS: [(u32, &str); 18] = [
    (1, "the size that epoll_create takes and ignores"),
    (2, "flags of epoll_create1"),
    (3, "running out of descriptors"),
    (4, "reading, writing, seeking an epoll descriptor"),
    (6, "the event pointer of a DEL"),
    (7, "descriptors of files that have no poll"),
    (8, "a descriptor that is no epoll"),
    (40, "a listening socket"),
    (43, "two descriptors of one open file"),
    (44, "closing one of several descriptors of an open file"),
    (46, "an epoll that two processes share"),
    (49, "the buffer's pointer"),
    (51, "the layout of struct epoll_event"),
    (53, "the timeout's pointer"),
    (54, "the size of a signal mask"),
    (73, "unix sockets"),
    (74, "TCP sockets"),
    (77, "signalfd"),
];

#[test]
fn every_rule_has_a_test() {
    let names = [
        control::NAMES,
        edges::NAMES,
        events::NAMES,
        last_moment::NAMES,
        lifetime::NAMES,
        nested_edges::NAMES,
        nested_wakes::NAMES,
        nesting::NAMES,
        order::NAMES,
        ours_alone::NAMES,
        races::NAMES,
        ready_list::NAMES,
        sources::NAMES,
        wait::NAMES,
        wakes::NAMES,
    ];
    let tested: BTreeSet<u32> = names.iter().copied().flatten().filter_map(|name| rule(name)).collect();
    let elsewhere: BTreeSet<u32> = ABOUT_DESCRIPTORS.iter().map(|(rule, _)| *rule).collect();
    let both: Vec<_> = tested.intersection(&elsewhere).collect();
    assert!(both.is_empty(), "rules {both:?} have a test, and a reason why they have none");
    let missing: Vec<_> = (1..=RULES).filter(|rule| !tested.contains(rule) && !elsewhere.contains(rule)).collect();
    assert!(missing.is_empty(), "rules {missing:?} have neither a test nor a reason why not");
    let unknown: Vec<_> = tested.union(&elsewhere).filter(|rule| !(1..=RULES).contains(rule)).collect();
    assert!(unknown.is_empty(), "there are no rules {unknown:?}");
}

/// The number in `rule_28_…`.
fn rule(name: &str) -> Option<u32> {
    name.strip_prefix("rule_")?.split('_').next()?.parse().ok()
}
