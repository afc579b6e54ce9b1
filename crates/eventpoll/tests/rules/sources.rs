//! Which levels the sources themselves have.

use libc::{EAGAIN, EINVAL, EPIPE};

use crate::common::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, RDNORM, WRNORM};
use crate::common::both;
use crate::common::world::{Counter, Poll, Reader, Timer, Watched, World, Writer, event};

both!(
    rule_71_levels_of_a_pipes_reader,
    rule_71_levels_of_a_pipes_writer,
    rule_72_a_pipe_has_slots_not_bytes,
    rule_72_small_writes_share_a_slot,
    rule_72_what_was_read_makes_no_room_in_a_slot,
    rule_72_a_small_write_is_all_or_nothing,
    rule_75_a_counter_at_its_maximum,
    rule_75_a_write_that_does_not_fit,
    rule_76_setting_a_timer_clears_it,
);

/// The level of a source, as a fresh event poll reports it.
fn level<W: World>(source: W::Source<'_>) -> u32 {
    let poll = W::poll();
    poll.add(source, !(EXCLUSIVE | ET | ONESHOT), 0).unwrap();
    poll.now(8).first().map_or(0, |event| event.bits)
}

const SLOT: usize = 4096;

fn rule_71_levels_of_a_pipes_reader<W: World>() {
    let (reader, writer) = W::pipe();
    assert_eq!(level::<W>(reader.source()), 0);
    assert_eq!(reader.read(1), Err(EAGAIN));
    writer.write(2).unwrap();
    assert_eq!(level::<W>(reader.source()), IN | RDNORM);
    drop(writer);
    assert_eq!(level::<W>(reader.source()), IN | RDNORM | HUP);
    assert_eq!(reader.read(SLOT), Ok(2));
    assert_eq!(level::<W>(reader.source()), HUP);
    assert_eq!(reader.read(1), Ok(0), "the end of it");
}

fn rule_71_levels_of_a_pipes_writer<W: World>() {
    let (reader, writer) = W::pipe();
    assert_eq!(level::<W>(writer.source()), OUT | WRNORM);
    assert_eq!(writer.write(20 * SLOT), Ok(16 * SLOT));
    assert_eq!(level::<W>(writer.source()), 0);
    drop(reader);
    assert_eq!(level::<W>(writer.source()), ERR, "still full");
    assert_eq!(writer.write(1), Err(EPIPE));
    let (reader, writer) = W::pipe();
    drop(reader);
    assert_eq!(level::<W>(writer.source()), OUT | WRNORM | ERR);
}

fn rule_72_a_pipe_has_slots_not_bytes<W: World>() {
    let (reader, writer) = W::pipe();
    assert_eq!(writer.write(16 * SLOT), Ok(16 * SLOT));
    assert_eq!(reader.read(SLOT - 1), Ok(SLOT - 1));
    assert_eq!(level::<W>(writer.source()), 0, "one byte is left in the first slot");
    assert_eq!(writer.write(1), Err(EAGAIN));
    assert_eq!(reader.read(1), Ok(1));
    assert_eq!(level::<W>(writer.source()), OUT | WRNORM);
    assert_eq!(writer.write(1), Ok(1));
    assert_eq!(level::<W>(writer.source()), 0, "and that byte has taken it");
    assert_eq!(writer.write(SLOT - 1), Ok(SLOT - 1), "of which there was more");
    assert_eq!(writer.write(1), Err(EAGAIN));
}

fn rule_72_small_writes_share_a_slot<W: World>() {
    let (_reader, writer) = W::pipe();
    let mut written = 0;
    while writer.write(1000) == Ok(1000) {
        written += 1;
    }
    assert_eq!(written, 16 * 4, "four in a slot");
    assert_eq!(writer.write(97), Err(EAGAIN), "96 bytes of the last slot are left");
    assert_eq!(writer.write(96), Ok(96));
}

fn rule_72_what_was_read_makes_no_room_in_a_slot<W: World>() {
    let (reader, writer) = W::pipe();
    assert_eq!(writer.write(4000), Ok(4000));
    assert_eq!(reader.read(3000), Ok(3000));
    assert_eq!(writer.write(1000), Ok(1000), "into a slot of its own");
    assert_eq!(writer.write(16 * SLOT), Ok(14 * SLOT));
}

fn rule_72_a_small_write_is_all_or_nothing<W: World>() {
    let (reader, writer) = W::pipe();
    assert_eq!(writer.write(15 * SLOT + 1), Ok(15 * SLOT + 1));
    assert_eq!(writer.write(SLOT), Err(EAGAIN), "up to a slot's size it is all or nothing");
    // The odd byte of a long write may share a slot; its whole pages want slots of their own.
    assert_eq!(writer.write(SLOT + 1), Ok(1), "what is longer may be cut");
    assert_eq!(reader.read(32 * SLOT), Ok(15 * SLOT + 2));
}

fn rule_75_a_counter_at_its_maximum<W: World>() {
    let counter = W::counter(0);
    assert_eq!(level::<W>(counter.source()), OUT);
    counter.write(u64::MAX - 2).unwrap();
    assert_eq!(level::<W>(counter.source()), IN | OUT);
    counter.write(1).unwrap();
    assert_eq!(level::<W>(counter.source()), IN);
    assert_eq!(counter.read(), Ok(u64::MAX - 1));
    assert_eq!(level::<W>(counter.source()), OUT);
}

fn rule_75_a_write_that_does_not_fit<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    counter.write(u64::MAX - 1).unwrap();
    assert_eq!(poll.now(8), [event(IN, 1)]);
    assert_eq!(counter.write(1), Err(EAGAIN));
    assert_eq!(counter.write(u64::MAX), Err(EINVAL));
    assert_eq!(poll.now(8), [], "what was refused is no edge");
    assert_eq!(counter.write(0), Ok(()));
    assert_eq!(poll.now(8), [event(IN, 1)]);
}

fn rule_76_setting_a_timer_clears_it<W: World>() {
    let (poll, timer) = (W::poll(), W::timer());
    poll.add(timer.source(), IN, 1).unwrap();
    assert_eq!(timer.read(), Err(EAGAIN));
    timer.start();
    timer.pass(2);
    assert_eq!(poll.now(8), [event(IN, 1)]);
    timer.postpone();
    assert_eq!(poll.now(8), []);
    assert_eq!(timer.read(), Err(EAGAIN));
}
