//! What counts as an edge.

use crate::bits::{ERR, ET, HUP, IN, OUT, RDHUP};
use crate::fds::{
    connect, counter, datagram, drain, fill, listener, pipe, polled, raise, read, semaphore, set_timer, stream, take,
    tcp, timer, write,
};
use crate::world::{World, both, event};
use rustix::event::PollFlags;
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

both!(
    rule_34_each_notification_while_still_readable,
    rule_34_even_a_write_of_zero,
    rule_35_no_edge_by_a_partial_read,
    rule_36_modify_with_the_same_mask,
    rule_37_drained_before_the_wait,
    rule_38_unix_by_each_read_of_the_peer,
    rule_38_a_pipe_only_from_full_to_a_free_slot,
    rule_38_tcp_only_after_it_was_full,
    rule_38_a_counter_by_each_read_that_took,
    rule_39_a_hang_up,
    rule_39_the_end_of_the_peers_writing,
    rule_39_an_error,
    rule_40_three_connections_are_one_event,
    rule_41_a_periodic_timer_fires_once,
    rule_42_the_first_to_drain_takes_it_from_the_other,
);

fn rule_34_each_notification_while_still_readable<W: World>() {
    let mut w = W::new();
    let ((reader, writer), (near, far), (to, from), one) = (pipe(), stream(), datagram(), counter(0));
    w.add(&reader, IN | ET, 1).unwrap();
    w.add(&near, IN | ET, 2).unwrap();
    w.add(&to, IN | ET, 3).unwrap();
    w.add(&one, IN | ET, 4).unwrap();
    for _ in 0..3 {
        write(&writer, 1).unwrap();
        write(&far, 1).unwrap();
        write(&from, 1).unwrap();
        raise(&one, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1), event(IN, 2), event(IN, 3), event(IN, 4)]);
        assert_eq!(w.now(8), []);
    }
    let (near, far) = tcp();
    w.add(&near, IN | ET, 5).unwrap();
    for _ in 0..3 {
        write(&far, 1).unwrap();
        assert_eq!(w.next(8), [event(IN, 5)]);
        assert_eq!(w.now(8), []);
    }
}

fn rule_34_even_a_write_of_zero<W: World>() {
    let (mut w, one, (reader, writer)) = (W::new(), counter(0), pipe());
    w.add(&one, IN | ET, 1).unwrap();
    raise(&one, 0).unwrap();
    assert_eq!(w.now(8), [], "nothing is there to read");
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    raise(&one, 0).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    // Of a pipe it is none at all.
    w.add(&reader, IN | ET, 2).unwrap();
    write(&writer, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 2)]);
    assert_eq!(write(&writer, 0), Ok(0));
    assert_eq!(w.now(8), []);
}

fn rule_35_no_edge_by_a_partial_read<W: World>() {
    let (mut w, one, (reader, writer), (near, far)) = (W::new(), semaphore(0), pipe(), stream());
    w.add(&one, IN | ET, 1).unwrap();
    w.add(&reader, IN | ET, 2).unwrap();
    w.add(&near, IN | ET, 3).unwrap();
    raise(&one, 2).unwrap();
    write(&writer, 2).unwrap();
    write(&far, 2).unwrap();
    assert_eq!(w.now(8), [event(IN, 1), event(IN, 2), event(IN, 3)]);
    assert_eq!(take(&one), Ok(1));
    assert_eq!(read(&reader, 1), Ok(1));
    assert_eq!(read(&near, 1), Ok(1));
    assert_eq!(w.now(8), []);
}

fn rule_36_modify_with_the_same_mask<W: World>() {
    let (mut w, (near, far)) = (W::new(), tcp());
    write(&far, 1).unwrap();
    w.add(&near, IN | ET, 1).unwrap();
    assert_eq!(w.next(8), [event(IN, 1)]);
    for _ in 0..3 {
        assert_eq!(w.now(8), []);
        w.modify(&near, IN | ET, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)]);
    }
}

fn rule_37_drained_before_the_wait<W: World>() {
    let (mut w, one, (near, far)) = (W::new(), counter(0), stream());
    w.add(&one, IN | ET, 1).unwrap();
    w.add(&near, IN | ET, 2).unwrap();
    raise(&one, 1).unwrap();
    write(&far, 3).unwrap();
    take(&one).unwrap();
    assert_eq!(drain(&near), 3);
    assert_eq!(w.now(8), []);
}

fn rule_38_unix_by_each_read_of_the_peer<W: World>() {
    let (mut w, (near, far)) = (W::new(), stream());
    w.add(&near, OUT | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    for _ in 0..3 {
        write(&near, 1).unwrap();
        assert_eq!(w.now(8), []);
        assert_eq!(read(&far, 1), Ok(1));
        assert_eq!(w.now(8), [event(OUT, 1)]);
        assert_eq!(w.now(8), []);
    }
}

const SLOT: usize = 4096;

fn rule_38_a_pipe_only_from_full_to_a_free_slot<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&writer, OUT | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    assert_eq!(write(&writer, 15 * SLOT), Ok(15 * SLOT));
    assert_eq!(read(&reader, SLOT), Ok(SLOT));
    assert_eq!(w.now(8), [], "it was not full");
    assert_eq!(write(&writer, 4 * SLOT), Ok(2 * SLOT), "now it is");
    assert_eq!(read(&reader, 1), Ok(1));
    assert_eq!(w.now(8), [], "no slot is free");
    assert_eq!(read(&reader, SLOT - 1), Ok(SLOT - 1));
    assert_eq!(w.now(8), [event(OUT, 1)]);
    assert_eq!(read(&reader, SLOT), Ok(SLOT));
    assert_eq!(w.now(8), [], "it was not full");
}

fn rule_38_tcp_only_after_it_was_full<W: World>() {
    let (mut w, (near, far)) = (W::new(), tcp());
    w.add(&near, OUT | ET, 1).unwrap();
    assert_eq!(w.next(8), [event(OUT, 1)]);
    write(&near, 1000).unwrap();
    crate::fds::poll_for(&far, PollFlags::IN);
    assert_eq!(drain(&far), 1000);
    assert_eq!(w.now(8), [], "it was not full");
    // The peer's kernel takes some of it; only then it stays full.
    while polled(&near) & OUT != 0 {
        fill(&near, 1 << 16);
    }
    w.now(8);
    while polled(&near) & OUT == 0 {
        drain(&far);
    }
    assert_eq!(w.next(8), [event(OUT, 1)]);
}

fn rule_38_a_counter_by_each_read_that_took<W: World>() {
    let (mut w, one, several) = (W::new(), counter(0), semaphore(2));
    w.add(&one, OUT | ET, 1).unwrap();
    w.add(&several, OUT | ET, 2).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1), event(OUT, 2)]);
    assert_eq!(take(&one), Err(libc::EAGAIN));
    assert_eq!(w.now(8), []);
    raise(&one, 5).unwrap();
    assert_eq!(take(&one), Ok(5));
    assert_eq!(w.now(8), [event(OUT, 1)]);
    for _ in 0..2 {
        assert_eq!(take(&several), Ok(1));
        assert_eq!(w.now(8), [event(OUT, 2)]);
    }
}

fn rule_39_a_hang_up<W: World>() {
    let (mut w, (reader, writer), (near, far)) = (W::new(), pipe(), stream());
    w.add(&reader, IN | ET, 1).unwrap();
    w.add(&near, IN | ET, 2).unwrap();
    write(&writer, 1).unwrap();
    write(&far, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1), event(IN, 2)]);
    assert_eq!(w.now(8), []);
    drop(writer);
    drop(far);
    assert_eq!(w.now(8), [event(IN | HUP, 1), event(IN | HUP, 2)]);
    assert_eq!(w.now(8), []);
}

fn rule_39_the_end_of_the_peers_writing<W: World>() {
    let (mut w, (near, far), (here, there)) = (W::new(), stream(), tcp());
    w.add(&near, RDHUP | ET, 1).unwrap();
    w.add(&here, RDHUP | ET, 2).unwrap();
    assert_eq!(w.now(8), []);
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(w.now(8), [event(RDHUP, 1)]);
    there.shutdown(Shutdown::Write).unwrap();
    assert_eq!(w.next(8), [event(RDHUP, 2)]);
    assert_eq!(w.now(8), []);
}

fn rule_39_an_error<W: World>() {
    let (mut w, (reader, writer)) = (W::new(), pipe());
    w.add(&writer, OUT | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    assert_eq!(w.now(8), []);
    drop(reader);
    assert_eq!(w.now(8), [event(OUT | ERR, 1)]);
    assert_eq!(w.now(8), []);
}

/// How many connections wait to be accepted.
fn pending(listener: &TcpListener) -> u32 {
    // SAFETY: all zero is a valid `tcp_info`.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the structure has that size and outlives the call.
    let result = unsafe {
        libc::getsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size)
    };
    assert_eq!(result, 0);
    info.tcpi_unacked
}

fn rule_40_three_connections_are_one_event<W: World>() {
    let (mut w, listener) = (W::new(), listener());
    w.add(&listener, IN | ET, 1).unwrap();
    let _clients: Vec<_> = (0..3).map(|_| connect(&listener)).collect();
    while pending(&listener) < 3 {
        thread::yield_now();
    }
    assert_eq!(w.next(8), [event(IN, 1)]);
    assert_eq!(w.now(8), []);
    listener.accept().unwrap();
    assert_eq!(w.now(8), [], "whoever accepts one of them has to accept all");
    let _fourth = connect(&listener);
    assert_eq!(w.next(8), [event(IN, 1)]);
}

fn rule_41_a_periodic_timer_fires_once<W: World>() {
    const PERIOD: Duration = Duration::from_millis(2);
    let (mut w, timer) = (W::new(), timer());
    w.add(&timer, IN | ET, 1).unwrap();
    set_timer(&timer, PERIOD, PERIOD);
    assert_eq!(w.next(8), [event(IN, 1)]);
    thread::sleep(PERIOD * 5);
    assert_eq!(w.now(8), [], "nobody has read it, so it is not armed again");
    assert!(take(&timer).unwrap() >= 5);
    assert_eq!(w.next(8), [event(IN, 1)]);
}

fn rule_42_the_first_to_drain_takes_it_from_the_other<W: World>() {
    let (mut first, mut second, (near, far)) = (W::new(), W::new(), stream());
    first.add(&near, IN | ET, 1).unwrap();
    second.add(&near, IN | ET, 2).unwrap();
    write(&far, 1).unwrap();
    assert_eq!(first.now(8), [event(IN, 1)]);
    drain(&near);
    assert_eq!(second.now(8), []);
    write(&far, 1).unwrap();
    assert_eq!(first.now(8), [event(IN, 1)]);
    assert_eq!(second.now(8), [event(IN, 2)], "undrained, both have it");
}
