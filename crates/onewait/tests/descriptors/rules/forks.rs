//! An epoll, and what it watches, in two processes.

use crate::bits::{ET, IN, OUT};
use crate::fds::{counter, pipe, poll_for, raise, write};
use crate::process::{Fork, in_fork};
use crate::world::{World, both_alone, event};
use libc::{EEXIST, EINTR, ENOENT, EPIPE};
use rustix::event::PollFlags;
use std::os::fd::AsRawFd;

both_alone!(
    rule_44_closing_with_a_forks_copy_alive,
    rule_46_a_child_adds_and_deletes,
    rule_46_a_child_that_only_closes_changes_nothing,
    rule_55_stop_and_continue_interrupt_too,
);

fn rule_44_closing_with_a_forks_copy_alive<W: World>() {
    let (mut w, (reader, writer), (wait_for_end, end)) = (W::new(), pipe(), pipe());
    w.add(&reader, IN, 1).unwrap();
    let child = Fork::new(|| {
        // All it does is to have the descriptor, until the other pipe is closed.
        // SAFETY: the child's own copy; nothing in the child uses it any more.
        unsafe { libc::close(end.as_raw_fd()) };
        poll_for(&wait_for_end, PollFlags::HUP);
        0
    });
    drop(reader);
    write(&writer, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)], "the child has the file open");
    drop(end);
    assert_eq!(child.wait(), 0);
    assert_eq!(write(&writer, 1), Err(EPIPE));
    assert_eq!(w.now(8), [], "nobody has");
}

fn rule_46_a_child_adds_and_deletes<W: World>() {
    let (mut w, one, other) = (W::new(), counter(1), counter(1));
    w.add(&one, IN, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    in_fork(|| w.add(&other, IN, 2).unwrap());
    assert_eq!(w.now(8), [event(IN, 1), event(IN, 2)]);
    assert_eq!(w.add(&other, IN, 3), Err(EEXIST));
    in_fork(|| w.modify(&other, OUT, 4).unwrap());
    in_fork(|| w.delete(&one).unwrap());
    assert_eq!(w.now(8), [event(OUT, 4)]);
    assert_eq!(w.delete(&one), Err(ENOENT));
}

fn rule_46_a_child_that_only_closes_changes_nothing<W: World>() {
    let (mut w, one) = (W::new(), counter(0));
    w.add(&one, IN | ET, 1).unwrap();
    in_fork(|| {
        // SAFETY: the child's own copy; nothing in the child uses it any more.
        unsafe { libc::close(one.as_raw_fd()) };
    });
    raise(&one, 1).unwrap();
    assert_eq!(w.now(8), [event(IN, 1)]);
    assert_eq!(w.delete(&one), Ok(()));
}

fn rule_55_stop_and_continue_interrupt_too<W: World>() {
    let (begins, says) = pipe();
    let child = Fork::new(|| {
        let (mut w, one) = (W::new(), counter(0));
        w.add(&one, IN, 1).unwrap();
        write(&says, 1).unwrap();
        match w.wait(8, None) {
            Err(EINTR) => 7,
            outcome => {
                eprintln!("{outcome:?}");
                8
            }
        }
    });
    poll_for(&begins, PollFlags::IN);
    child.await_state(b'S');
    child.signal(libc::SIGSTOP);
    child.await_state(b'T');
    child.signal(libc::SIGCONT);
    assert_eq!(child.wait(), 7);
}
