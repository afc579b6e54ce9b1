//! Event polls in event polls: which shapes are allowed, and what the outer sees.

use libc::{EEXIST, EINVAL, ELOOP};

use crate::common::bits::{ET, IN, OUT, RDNORM};
use crate::common::both;
use crate::common::world::{Counter, Poll, Watched, World, event};

both!(
    rule_19_four_links_upward,
    rule_19_four_links_downward,
    rule_19_four_links_joined_in_the_middle,
    rule_19_a_refused_link_leaves_nothing,
    rule_20_a_cycle_is_refused,
    rule_20_a_diamond_is_allowed,
    rule_21_paths_per_source_are_limited,
    rule_21_direct_paths_are_not_limited,
    rule_21_a_refused_path_leaves_nothing,
    rule_24_delete_on_the_inner_silences_the_outer,
    rule_24_closing_the_inner_silences_the_outer,
    rule_24_closing_the_source_silences_the_outer,
);

fn polls<W: World, const N: usize>() -> [W::Poll; N] {
    std::array::from_fn(|_| W::poll())
}

fn rule_19_four_links_upward<W: World>() {
    let [a, b, c, d, e, f] = polls::<W, 6>();
    let counter = W::counter(0);
    a.add(counter.source(), IN, 0).unwrap();
    b.add(a.source(), IN, 0).unwrap();
    c.add(b.source(), IN, 0).unwrap();
    d.add(c.source(), IN, 0).unwrap();
    e.add(d.source(), IN, 5).unwrap();
    assert_eq!(f.add(e.source(), IN, 0), Err(ELOOP));
    assert_eq!(e.now(8), []);
    counter.write(1).unwrap();
    assert_eq!(e.now(8), [event(IN, 5)]);
}

fn rule_19_four_links_downward<W: World>() {
    let [a, b, c, d, e, f] = polls::<W, 6>();
    a.add(b.source(), IN, 5).unwrap();
    b.add(c.source(), IN, 0).unwrap();
    c.add(d.source(), IN, 0).unwrap();
    d.add(e.source(), IN, 0).unwrap();
    assert_eq!(e.add(f.source(), IN, 0), Err(ELOOP));
    let counter = W::counter(1);
    e.add(counter.source(), IN, 0).unwrap();
    assert_eq!(a.now(8), [event(IN, 5)]);
}

fn rule_19_four_links_joined_in_the_middle<W: World>() {
    let [a, b, c, d, e, f] = polls::<W, 6>();
    a.add(b.source(), IN, 0).unwrap();
    b.add(c.source(), IN, 0).unwrap();
    d.add(e.source(), IN, 0).unwrap();
    e.add(f.source(), IN, 0).unwrap();
    assert_eq!(c.add(d.source(), IN, 0), Err(ELOOP), "five links");
    assert_eq!(c.add(e.source(), IN, 0), Ok(()), "four links");
}

fn rule_19_a_refused_link_leaves_nothing<W: World>() {
    let [a, b, c, d, e, f] = polls::<W, 6>();
    for (outer, inner) in [(&a, &b), (&b, &c), (&c, &d), (&d, &e)] {
        outer.add(inner.source(), IN, 0).unwrap();
    }
    assert_eq!(e.add(f.source(), IN, 0), Err(ELOOP));
    a.delete(b.source()).unwrap();
    assert_eq!(e.add(f.source(), IN, 0), Ok(()));
    assert_eq!(e.add(f.source(), IN, 0), Err(EEXIST));
    assert_eq!(a.add(b.source(), IN, 0), Err(ELOOP));
    drop(f);
    assert_eq!(a.add(b.source(), IN, 0), Ok(()), "what is closed is no link");
}

fn rule_20_a_cycle_is_refused<W: World>() {
    let [a, b, c] = polls::<W, 3>();
    a.add(b.source(), IN, 0).unwrap();
    assert_eq!(b.add(a.source(), IN, 0), Err(ELOOP));
    b.add(c.source(), IN, 0).unwrap();
    assert_eq!(c.add(a.source(), IN, 0), Err(ELOOP));
    a.delete(b.source()).unwrap();
    assert_eq!(c.add(a.source(), IN, 0), Ok(()));
}

fn rule_20_a_diamond_is_allowed<W: World>() {
    let [top, left, right, bottom] = polls::<W, 4>();
    let counter = W::counter(0);
    bottom.add(counter.source(), IN, 0).unwrap();
    left.add(bottom.source(), IN, 1).unwrap();
    right.add(bottom.source(), IN, 2).unwrap();
    top.add(left.source(), IN | ET, 10).unwrap();
    top.add(right.source(), IN | ET, 20).unwrap();
    counter.write(1).unwrap();
    // The newest watcher of the bottom is told first (rule 30).
    assert_eq!(top.now(8), [event(IN, 20), event(IN, 10)]);
    assert_eq!(top.now(8), []);
}

/// A chain of so many links above a counter's event poll, and so many event polls that watch its top.
fn fan<W: World>(links: usize, width: usize) -> (W::Counter, Vec<W::Poll>, Vec<W::Poll>) {
    let counter = W::counter(0);
    let chain: Vec<_> = (0..=links).map(|_| W::poll()).collect();
    for pair in chain.windows(2) {
        pair[1].add(pair[0].source(), IN, 0).unwrap();
    }
    let top = chain.last().expect("a chain has an end");
    let fan: Vec<_> = (0..width).map(|_| W::poll()).collect();
    for poll in &fan {
        poll.add(top.source(), IN, 0).unwrap();
    }
    (counter, chain, fan)
}

fn rule_21_paths_per_source_are_limited<W: World>() {
    for (links, limit) in [(0, 500), (1, 100), (2, 50), (3, 10)] {
        // The paths are counted when the source comes …
        let (counter, chain, _fan) = fan::<W>(links, limit);
        assert_eq!(chain[0].add(counter.source(), IN, 0), Ok(()), "{limit} paths of depth {}", links + 1);
        // … and when one more event poll does.
        let more = W::poll();
        let top = chain.last().expect("a chain has an end");
        assert_eq!(more.add(top.source(), IN, 0), Err(EINVAL), "{} paths of depth {}", limit + 1, links + 1);

        let (counter, chain, _fan) = fan::<W>(links, limit + 1);
        assert_eq!(chain[0].add(counter.source(), IN, 0), Err(EINVAL), "{} paths of depth {}", limit + 1, links + 1);
    }
}

fn rule_21_direct_paths_are_not_limited<W: World>() {
    let counter = W::counter(0);
    let direct: Vec<_> = (0..1200).map(|_| W::poll()).collect();
    for poll in &direct {
        poll.add(counter.source(), IN, 1).unwrap();
    }
    // Also not when they are counted because another path is nested.
    let [inner, outer] = polls::<W, 2>();
    outer.add(inner.source(), IN, 2).unwrap();
    assert_eq!(inner.add(counter.source(), IN, 2), Ok(()));
    counter.write(1).unwrap();
    assert!(direct.iter().all(|poll| poll.now(8) == [event(IN, 1)]));
    assert_eq!(outer.now(8), [event(IN, 2)]);
}

fn rule_21_a_refused_path_leaves_nothing<W: World>() {
    let (counter, chain, fan) = fan::<W>(3, 11);
    assert_eq!(chain[0].add(counter.source(), IN, 0), Err(EINVAL));
    counter.write(1).unwrap();
    assert_eq!(chain[0].now(8), []);
    assert_eq!(chain[0].delete(counter.source()), Err(libc::ENOENT));
    fan[0].delete(chain[3].source()).unwrap();
    assert_eq!(chain[0].add(counter.source(), IN, 0), Ok(()));
    assert_eq!(fan[1].now(8), [event(IN, 0)]);
}

/// An outer event poll around an inner one around a counter that is ready, seen by nobody yet.
fn nested<W: World>(bits: u32) -> (W::Poll, W::Poll, W::Counter) {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
    inner.add(counter.source(), IN, 1).unwrap();
    outer.add(inner.source(), bits, 2).unwrap();
    counter.write(1).unwrap();
    assert_eq!(inner.level(), IN | RDNORM);
    (outer, inner, counter)
}

fn rule_24_delete_on_the_inner_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET] {
        let (outer, inner, counter) = nested::<W>(bits);
        inner.delete(counter.source()).unwrap();
        assert_eq!(outer.now(8), []);
        inner.add(counter.source(), IN, 1).unwrap();
        assert_eq!(outer.now(8), [event(IN, 2)]);
    }
}

fn rule_24_closing_the_inner_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET] {
        let (outer, inner, counter) = nested::<W>(bits);
        drop(inner);
        assert_eq!(outer.now(8), []);
        counter.write(1).unwrap();
        assert_eq!(outer.now(8), []);
    }
}

fn rule_24_closing_the_source_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET, IN | OUT] {
        let (outer, inner, counter) = nested::<W>(bits);
        drop(counter);
        assert_eq!(outer.now(8), []);
        assert_eq!(inner.level(), 0);
    }
}
