//! What closing does.

use std::sync::Arc;

use libc::ENOENT;

use crate::common::bits::{ERR, ET, EXCLUSIVE, IN, ONESHOT, OUT};
use crate::common::both;
use crate::common::waiters::Waiters;
use crate::common::world::{Counter, Poll, Reader, Watched, World, Writer, event};

both!(
    rule_45_a_closed_source_is_gone,
    rule_45_a_closed_source_is_gone_from_all_polls,
    rule_45_an_end_of_a_pipe_goes_alone,
    rule_45_closing_a_poll_frees_its_sources,
    rule_47_closing_a_source_wakes_nobody,
    rule_47_closing_an_inner_poll_wakes_nobody,
);

fn rule_45_a_closed_source_is_gone<W: World>() {
    for bits in [IN, IN | ET, IN | ONESHOT, IN | EXCLUSIVE] {
        let (poll, closed, kept) = (W::poll(), W::counter(1), W::counter(1));
        poll.add(closed.source(), bits, 1).unwrap();
        poll.add(kept.source(), bits, 2).unwrap();
        drop(closed);
        assert_eq!(poll.now(8), [event(IN, 2)]);
        let new = W::counter(0);
        assert_eq!(poll.delete(new.source()), Err(ENOENT), "a new source is not the old one");
        assert_eq!(poll.add(new.source(), IN, 3), Ok(()));
    }
}

fn rule_45_a_closed_source_is_gone_from_all_polls<W: World>() {
    let polls = [W::poll(), W::poll(), W::poll()];
    let counter = W::counter(0);
    for poll in &polls {
        poll.add(counter.source(), IN | OUT, 1).unwrap();
    }
    counter.write(1).unwrap();
    drop(counter);
    assert!(polls.iter().all(|poll| poll.now(8).is_empty()));
}

fn rule_45_an_end_of_a_pipe_goes_alone<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), IN, 1).unwrap();
    poll.add(writer.source(), OUT, 2).unwrap();
    writer.write(1).unwrap();
    drop(reader);
    assert_eq!(poll.now(8), [event(OUT | ERR, 2)]);
    assert_eq!(writer.write(1), Err(libc::EPIPE));
    drop(writer);
    assert_eq!(poll.now(8), []);
}

fn rule_45_closing_a_poll_frees_its_sources<W: World>() {
    let (poll, other, counter) = (W::poll(), W::poll(), W::counter(0));
    poll.add(counter.source(), IN, 1).unwrap();
    other.add(counter.source(), IN, 2).unwrap();
    drop(poll);
    counter.write(1).unwrap();
    assert_eq!(other.now(8), [event(IN, 2)]);
    assert_eq!(counter.read(), Ok(1));
    let (reader, writer) = W::pipe();
    other.add(reader.source(), IN, 3).unwrap();
    drop(other);
    writer.write(1).unwrap();
    assert_eq!(reader.read(8), Ok(1));
}

/// Someone waits; nothing that `close` does ends that.
fn wakes_nobody<W: World>(poll: W::Poll, close: impl FnOnce()) {
    let (poll, mut waiters, end) = (Arc::new(poll), Waiters::default(), W::counter(0));
    poll.add(end.source(), IN, 99).unwrap();
    waiters.start::<W>(&poll);
    waiters.start::<W>(&poll);
    close();
    waiters.settle();
    assert_eq!(waiters.outcomes(), [None, None]);
    waiters.release(|| end.write(1).unwrap());
}

fn rule_47_closing_a_source_wakes_nobody<W: World>() {
    let (poll, counter, (reader, writer)) = (W::poll(), W::counter(0), W::pipe());
    poll.add(counter.source(), IN, 1).unwrap();
    poll.add(reader.source(), IN, 2).unwrap();
    wakes_nobody::<W>(poll, || {
        drop(counter);
        drop(reader);
    });
    drop(writer);
}

fn rule_47_closing_an_inner_poll_wakes_nobody<W: World>() {
    let (outer, inner, counter) = (W::poll(), W::poll(), W::counter(0));
    inner.add(counter.source(), IN, 1).unwrap();
    outer.add(inner.source(), IN, 2).unwrap();
    wakes_nobody::<W>(outer, || drop(inner));
    counter.write(1).unwrap();
}
