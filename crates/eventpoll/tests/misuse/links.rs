//! Event polls that two threads put into each other at the same time.

use std::sync::Barrier;
use std::thread;

use libc::{ELOOP, ENOENT};

use crate::common::bits::IN;
use crate::common::both;
use crate::common::world::{Counter, Poll, Watched, World};

both!(two_threads_make_no_circle_together, linking_beside_waiting);

fn two_threads_make_no_circle_together<W: World>() {
    let polls = [W::poll(), W::poll()];
    for round in 0..500 {
        let start = Barrier::new(2);
        let results = thread::scope(|scope| {
            let link = |outer: usize| {
                let (start, polls) = (&start, &polls);
                scope.spawn(move || {
                    start.wait();
                    polls[outer].add(polls[1 - outer].source(), IN, 0)
                })
            };
            [link(0), link(1)].map(|thread| thread.join().expect("no thread panics"))
        });
        assert!(matches!(results, [Ok(()), Err(ELOOP)] | [Err(ELOOP), Ok(())]), "round {round}: {results:?}");
        for outer in [0, 1] {
            let deleted = polls[outer].delete(polls[1 - outer].source());
            assert_eq!(deleted, results[outer].map_err(|_| ENOENT));
        }
    }
}

fn linking_beside_waiting<W: World>() {
    // Waits go from the outer to the inner; links are made and undone in both directions.
    let (a, b, counter) = (W::poll(), W::poll(), W::counter(1));
    a.add(counter.source(), IN, 1).unwrap();
    b.add(counter.source(), IN, 2).unwrap();
    thread::scope(|scope| {
        for [outer, inner] in [[&a, &b], [&b, &a]] {
            scope.spawn(move || {
                for _ in 0..2000 {
                    let linked = outer.add(inner.source(), IN, 0);
                    assert!(matches!(linked, Ok(()) | Err(ELOOP)), "{linked:?}");
                    assert!(!outer.now(4).is_empty());
                    if linked.is_ok() {
                        outer.delete(inner.source()).unwrap();
                    }
                }
            });
            scope.spawn(move || (0..2000).for_each(|_| assert!(!inner.now(4).is_empty())));
        }
        scope.spawn(|| (0..2000).for_each(|_| counter.write(1).unwrap()));
    });
}
