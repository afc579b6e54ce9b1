//! Epolls as sources: the side under test is the outermost.

use crate::bits::{ET, EXCLUSIVE, IN, OUT, PRI, RDNORM, WRNORM};
use crate::fds::{counter, pipe, polled, raise, read, take, write};
use crate::world::Kernel as Outer;
use crate::world::{List, World, both, event};
use libc::{EEXIST, EINVAL, ELOOP, ENOENT};

both!(
    rule_18_an_epoll_is_never_exclusive,
    rule_19_four_links_upward,
    rule_19_four_links_downward,
    rule_19_a_refused_link_leaves_nothing,
    rule_20_a_diamond_is_allowed,
    rule_21_direct_paths_are_not_limited,
    rule_21_paths_per_source_are_limited,
    rule_22_an_epoll_reports_readable_only,
    rule_22_polling_it_drops_stale_items,
    rule_22_polling_it_consumes_no_edge,
    rule_23_an_outer_edge_for_each_inner_event,
    rule_23_an_outer_level_repeats,
    rule_24_delete_on_the_inner_silences_the_outer,
    rule_24_closing_the_inner_silences_the_outer,
    rule_24_closing_the_source_silences_the_outer,
);

fn epoll() -> <Outer as World>::List {
    Outer::new().list().clone()
}

fn rule_18_an_epoll_is_never_exclusive<W: World>() {
    let (w, inner) = (W::new(), epoll());
    assert_eq!(w.add(&inner, IN | EXCLUSIVE, 0), Err(EINVAL));
    w.add(&inner, IN, 0).unwrap();
}

fn rule_19_four_links_upward<W: World>() {
    let (a, b, c, d, e) = (epoll(), epoll(), epoll(), epoll(), epoll());
    let mut w = W::new();
    let one = counter(0);
    a.add(&one, IN, 0).unwrap();
    b.add(&a, IN, 0).unwrap();
    c.add(&b, IN, 0).unwrap();
    d.add(&c, IN, 0).unwrap();
    w.add(&d, IN, 5).unwrap();
    assert_eq!(e.add(&d, IN, 0), Ok(()), "as deep as the other");
    assert_eq!(w.add(&e, IN, 6), Err(ELOOP), "five links");
    assert_eq!(w.now(8), []);
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 5)]);
}

fn rule_19_four_links_downward<W: World>() {
    let (b, c, d, e, f) = (epoll(), epoll(), epoll(), epoll(), epoll());
    let mut w = W::new();
    w.add(&b, IN, 5).unwrap();
    b.add(&c, IN, 0).unwrap();
    c.add(&d, IN, 0).unwrap();
    d.add(&e, IN, 0).unwrap();
    assert_eq!(e.add(&f, IN, 0), Err(ELOOP));
    let one = counter(1);
    e.add(&one, IN, 0).unwrap();
    assert_eq!(w.now(8), [event(IN, 5)]);
}

fn rule_19_a_refused_link_leaves_nothing<W: World>() {
    let (w, b, c, d, e, f) = (W::new(), epoll(), epoll(), epoll(), epoll(), epoll());
    for (outer, inner) in [(&b, &c), (&c, &d), (&d, &e), (&e, &f)] {
        outer.add(inner, IN, 0).unwrap();
    }
    assert_eq!(w.add(&b, IN, 0), Err(ELOOP));
    assert_eq!(w.delete(&b), Err(ENOENT));
    e.delete(&f).unwrap();
    assert_eq!(w.add(&b, IN, 0), Ok(()));
    assert_eq!(w.add(&b, IN, 0), Err(EEXIST));
    assert_eq!(e.add(&f, IN, 0), Err(ELOOP));
    drop(w);
    assert_eq!(e.add(&f, IN, 0), Ok(()), "what is closed is no link");
}

fn rule_20_a_diamond_is_allowed<W: World>() {
    let (mut top, left, right, bottom) = (W::new(), epoll(), epoll(), epoll());
    let one = counter(0);
    bottom.add(&one, IN, 0).unwrap();
    left.add(&bottom, IN, 1).unwrap();
    right.add(&bottom, IN, 2).unwrap();
    top.add(&left, IN | ET, 10).unwrap();
    top.add(&right, IN | ET, 20).unwrap();
    top.add(&bottom, IN | ET, 30).unwrap();
    raise(&one, 1).unwrap();
    // The newest watcher of the bottom is told first (rule 30).
    assert_eq!(top.now(8), [event(IN, 30), event(IN, 20), event(IN, 10)]);
    assert_eq!(top.now(8), []);
}

fn rule_21_direct_paths_are_not_limited<W: World>() {
    let one = counter(0);
    let mut direct: Vec<_> = (0..600).map(|_| W::new()).collect();
    for w in &direct {
        w.add(&one, IN, 1).unwrap();
    }
    raise(&one, 1).unwrap();
    assert!(direct.iter_mut().all(|w| w.now(8) == [event(IN, 1)]));
}

fn rule_21_paths_per_source_are_limited<W: World>() {
    for (links, limit) in [(0, 500), (1, 100), (2, 50), (3, 10)] {
        let one = counter(0);
        let chain: Vec<_> = (0..=links).map(|_| epoll()).collect();
        for pair in chain.windows(2) {
            pair[1].add(&pair[0], IN, 0).unwrap();
        }
        chain[0].add(&one, IN, 0).unwrap();
        let top = &chain[links];
        let mut fan: Vec<_> = (0..=limit).map(|_| W::new()).collect();
        let last = fan.pop().unwrap();
        for w in &fan {
            assert_eq!(w.add(top, IN, 7), Ok(()), "{limit} paths of depth {}", links + 1);
        }
        assert_eq!(last.add(top, IN, 7), Err(EINVAL), "{} paths of depth {}", limit + 1, links + 1);
        raise(&one, 1).unwrap();
        assert!(fan.iter_mut().all(|w| w.now(8) == [event(IN, 7)]));
        fan.pop();
        assert_eq!(last.add(top, IN, 7), Ok(()));
    }
}

fn rule_22_an_epoll_reports_readable_only<W: World>() {
    let (mut w, inner, one) = (W::new(), epoll(), counter(1));
    inner.add(&one, IN | OUT, 1).unwrap();
    w.add(&inner, IN | OUT | PRI | RDNORM | WRNORM, 2).unwrap();
    assert_eq!(w.now(8), [event(IN | RDNORM, 2)]);
    w.modify(&inner, OUT | WRNORM, 2).unwrap();
    assert_eq!(w.now(8), []);
}

fn rule_22_polling_it_drops_stale_items<W: World>() {
    let (mut w, inner, (reader, writer)) = (W::new(), epoll(), pipe());
    inner.add(&reader, IN, 1).unwrap();
    w.add(&inner, IN, 2).unwrap();
    write(&writer, 1).unwrap();
    read(&reader, 1).unwrap();
    assert_eq!(w.now(8), [], "its list is not empty, but what is in it is not ready");
    write(&writer, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 2)]);
}

fn rule_22_polling_it_consumes_no_edge<W: World>() {
    let (mut w, inner, (reader, writer)) = (W::new(), epoll(), pipe());
    inner.add(&reader, IN | ET, 1).unwrap();
    w.add(&inner, IN, 2).unwrap();
    write(&writer, 1).unwrap();
    for _ in 0..3 {
        assert_eq!(w.now(8), [event(IN, 2)]);
        assert_eq!(polled(&inner), IN | RDNORM);
    }
    assert_eq!(inner.now(8), [event(IN, 1)]);
    assert_eq!(w.now(8), []);
}

fn rule_23_an_outer_edge_for_each_inner_event<W: World>() {
    let (mut w, inner, a, b) = (W::new(), epoll(), counter(0), counter(0));
    inner.add(&a, IN, 1).unwrap();
    inner.add(&b, IN, 2).unwrap();
    w.add(&inner, IN | ET, 3).unwrap();
    for one in [&a, &b, &a] {
        raise(one, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 3)], "with the inner undrained");
        assert_eq!(w.now(8), []);
    }
}

fn rule_23_an_outer_level_repeats<W: World>() {
    let (mut w, inner, one) = (W::new(), epoll(), counter(1));
    inner.add(&one, IN, 1).unwrap();
    w.add(&inner, IN, 3).unwrap();
    for _ in 0..3 {
        assert_eq!(w.now(8), [event(IN, 3)]);
    }
    assert_eq!(take(&one), Ok(1));
    assert_eq!(w.now(8), []);
}

fn rule_24_delete_on_the_inner_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET] {
        let (mut w, inner, one) = (W::new(), epoll(), counter(0));
        inner.add(&one, IN, 1).unwrap();
        w.add(&inner, bits, 2).unwrap();
        raise(&one, 1).unwrap();
        inner.delete(&one).unwrap();
        assert_eq!(w.now(8), []);
        inner.add(&one, IN, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 2)]);
    }
}

fn rule_24_closing_the_inner_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET] {
        let (mut w, inner, one) = (W::new(), epoll(), counter(0));
        inner.add(&one, IN, 1).unwrap();
        w.add(&inner, bits, 2).unwrap();
        raise(&one, 1).unwrap();
        drop(inner);
        assert_eq!(w.now(8), []);
        raise(&one, 1).unwrap();
        assert_eq!(w.now(8), []);
    }
}

fn rule_24_closing_the_source_silences_the_outer<W: World>() {
    for bits in [IN, IN | ET, IN | OUT] {
        let (mut w, inner, one) = (W::new(), epoll(), counter(0));
        inner.add(&one, IN, 1).unwrap();
        w.add(&inner, bits, 2).unwrap();
        raise(&one, 1).unwrap();
        drop(one);
        assert_eq!(w.now(8), []);
    }
}
