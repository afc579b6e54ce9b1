//! What counts as an edge.

use crate::common::bits::{ERR, ET, HUP, IN, OUT};
use crate::common::both;
use crate::common::world::{Counter, Poll, Reader, Timer, Watched, World, Writer, event};

both!(
    rule_34_each_notification_while_still_readable,
    rule_34_even_a_write_of_zero,
    rule_35_no_edge_by_a_partial_read,
    rule_36_modify_with_the_same_mask,
    rule_37_drained_before_the_wait,
    rule_38_a_pipe_only_from_full_to_a_free_slot,
    rule_38_a_counter_by_each_read_that_took,
    rule_39_a_hang_up,
    rule_39_an_error,
    rule_41_a_periodic_timer_fires_once,
    rule_42_the_first_to_drain_takes_it_from_the_other,
);

fn rule_34_each_notification_while_still_readable<W: World>() {
    let (poll, counter, (reader, writer)) = (W::poll(), W::counter(0), W::pipe());
    poll.add(counter.source(), IN | ET, 1).unwrap();
    poll.add(reader.source(), IN | ET, 2).unwrap();
    for _ in 0..3 {
        counter.write(1).unwrap();
        writer.write(1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1), event(IN, 2)]);
        assert_eq!(poll.now(8), []);
    }
}

fn rule_34_even_a_write_of_zero<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    counter.write(0).unwrap();
    assert_eq!(poll.now(8), [], "nothing is there to read");
    counter.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    counter.write(0).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    // Of a pipe it is none at all.
    let (reader, writer) = W::pipe();
    poll.add(reader.source(), IN | ET, 2).unwrap();
    writer.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 2)]);
    assert_eq!(writer.write(0), Ok(0));
    assert_eq!(poll.now(8), []);
}

fn rule_35_no_edge_by_a_partial_read<W: World>() {
    let (poll, semaphore, (reader, writer)) = (W::poll(), W::semaphore(0), W::pipe());
    poll.add(semaphore.source(), IN | ET, 1).unwrap();
    poll.add(reader.source(), IN | ET, 2).unwrap();
    semaphore.write(2).unwrap();
    writer.write(2).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1), event(IN, 2)]);
    assert_eq!(semaphore.read(), Ok(1));
    assert_eq!(reader.read(1), Ok(1));
    assert_eq!(poll.now(8), []);
}

fn rule_36_modify_with_the_same_mask<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    for _ in 0..3 {
        assert_eq!(poll.now(8), [event(IN, 1)]);
        assert_eq!(poll.now(8), []);
        poll.modify(counter.source(), IN | ET, 1).unwrap();
    }
}

fn rule_37_drained_before_the_wait<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    counter.write(1).unwrap();
    counter.read().unwrap();
    assert_eq!(poll.now(8), []);
}

const SLOT: usize = 4096;

fn rule_38_a_pipe_only_from_full_to_a_free_slot<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(writer.source(), OUT | ET, 1).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    assert_eq!(writer.write(15 * SLOT), Ok(15 * SLOT));
    assert_eq!(reader.read(SLOT), Ok(SLOT));
    assert_eq!(poll.now(8), [], "it was not full");
    assert_eq!(writer.write(4 * SLOT), Ok(2 * SLOT), "now it is");
    assert_eq!(reader.read(1), Ok(1));
    assert_eq!(poll.now(8), [], "no slot is free");
    assert_eq!(reader.read(SLOT - 1), Ok(SLOT - 1));
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    assert_eq!(reader.read(SLOT), Ok(SLOT));
    assert_eq!(poll.now(8), [], "it was not full");
}

fn rule_38_a_counter_by_each_read_that_took<W: World>() {
    let (poll, counter, semaphore) = (W::poll(), W::counter(0), W::semaphore(2));
    poll.add(counter.source(), OUT | ET, 1).unwrap();
    poll.add(semaphore.source(), OUT | ET, 2).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1), event(OUT, 2)]);
    assert_eq!(counter.read(), Err(libc::EAGAIN));
    assert_eq!(poll.now(8), []);
    counter.write(5).unwrap();
    assert_eq!(counter.read(), Ok(5));
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    for _ in 0..2 {
        assert_eq!(semaphore.read(), Ok(1));
        assert_eq!(poll.now(8), [event(OUT, 2)]);
    }
}

fn rule_39_a_hang_up<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(reader.source(), IN | ET, 1).unwrap();
    writer.write(1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    assert_eq!(poll.now(8), []);
    drop(writer);
    assert_eq!(poll.now(8), [event(IN | HUP, 1)]);
    assert_eq!(poll.now(8), []);
}

fn rule_39_an_error<W: World>() {
    let (poll, (reader, writer)) = (W::poll(), W::pipe());
    poll.add(writer.source(), OUT | ET, 1).unwrap();
    assert_eq!(poll.now(8), [event(OUT, 1)]);
    assert_eq!(poll.now(8), []);
    drop(reader);
    assert_eq!(poll.now(8), [event(OUT | ERR, 1)]);
    assert_eq!(poll.now(8), []);
}

fn rule_41_a_periodic_timer_fires_once<W: World>() {
    let (poll, timer) = (W::poll(), W::timer());
    poll.add(timer.source(), IN | ET, 1).unwrap();
    timer.start();
    timer.pass(2);
    assert_eq!(poll.now(8), [event(IN, 1)]);
    timer.pass(3);
    assert_eq!(poll.now(8), [], "nobody has read it, so it is not armed again");
    assert!(timer.read().unwrap() >= 5);
    timer.pass(1);
    assert_eq!(poll.now(8), [event(IN, 1)]);
}

fn rule_42_the_first_to_drain_takes_it_from_the_other<W: World>() {
    let (first, second, counter) = (W::poll(), W::poll(), W::counter(0));
    first.add(counter.source(), IN | ET, 1).unwrap();
    second.add(counter.source(), IN | ET, 2).unwrap();
    counter.write(1).unwrap();
    assert_eq!(first.now(8), [event(IN, 1)]);
    counter.read().unwrap();
    assert_eq!(second.now(8), []);
    counter.write(1).unwrap();
    assert_eq!(first.now(8), [event(IN, 1)]);
    assert_eq!(second.now(8), [event(IN, 2)], "undrained, both have it");
}
