//! Limits that are reached: of descriptors, and of what a user may watch. Each in a child, whose limits they are.

use crate::bits::{ET, IN};
use crate::fds::{connect, counter, dup, far_dup, limit, listener, pipe, read, write};
use crate::process::in_fork;
use crate::watchdog::bounded;
use crate::world::{Kernel, List, Ours, World, alone, both_alone, event};
use libc::{EMFILE, ENOSPC};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};

both_alone!(
    rule_03_without_descriptors_there_is_none,
    rule_03_without_descriptors_control_and_waits_go_on,
    emfile_on_accept_keeps_the_listener_and_the_loop,
    emfile_on_accept_by_edge_comes_again_by_modify,
);

/// This one plays both sides at once.
pub(crate) const AT_ONCE: &[&str] = &["rule_14_the_limit_of_watches_is_enospc"];

/// Leaves this process no descriptor to make; what holds them.
fn use_up_descriptors(fd: &impl AsFd) -> Vec<OwnedFd> {
    let few = libc::rlimit { rlim_cur: 256, rlim_max: 256 };
    // SAFETY: the structure outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
    let held: Vec<_> = std::iter::from_fn(|| fd.as_fd().try_clone_to_owned().ok()).collect();
    assert!(!held.is_empty());
    held
}

fn rule_03_without_descriptors_there_is_none<W: World>() {
    in_fork(|| {
        let one = counter(0);
        let mut held = use_up_descriptors(&one);
        assert_eq!(W::try_new().err(), Some(EMFILE));
        // An epoll is one descriptor; a reactor has two, and leaves none behind where there is but one.
        for _ in 0..3 {
            held.pop();
            if W::try_new().is_ok() {
                return;
            }
        }
        panic!("three descriptors are enough");
    });
}

fn rule_03_without_descriptors_control_and_waits_go_on<W: World>() {
    in_fork(|| {
        let (mut w, (reader, writer)) = (W::new(), pipe());
        let _held = use_up_descriptors(&reader);
        w.add(&reader, IN | ET, 1).unwrap();
        write(&writer, 1).unwrap();
        assert_eq!(w.now(8), [event(IN, 1)]);
        w.modify(&reader, IN, 2).unwrap();
        assert_eq!(w.next(8), [event(IN, 2)]);
        w.delete(&reader).unwrap();
        assert_eq!(w.now(8), []);
    });
}

fn emfile_on_accept_keeps_the_listener_and_the_loop<W: World>() {
    in_fork(|| {
        let (mut w, listener, (reader, writer)) = (W::new(), listener(), pipe());
        w.add(&listener, IN, 1).unwrap();
        w.add(&reader, IN, 2).unwrap();
        let _clients: Vec<_> = (0..3).map(|_| connect(&listener)).collect();
        let mut held = use_up_descriptors(&reader);
        let mut connections = Vec::new();
        for _ in 0..3 {
            for _ in 0..3 {
                assert_eq!(w.next(8), [event(IN, 1)]);
                assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(EMFILE));
            }
            write(&writer, 1).unwrap();
            let mut both = w.next(8);
            both.sort_by_key(|event| event.data);
            assert_eq!(both, [event(IN, 1), event(IN, 2)], "the rest goes on");
            assert_eq!(read(&reader, 8), Ok(1));
            drop(held.pop());
            connections.push(listener.accept().expect("there is a descriptor for it"));
        }
        assert_eq!(w.now(8), []);
    });
}

fn emfile_on_accept_by_edge_comes_again_by_modify<W: World>() {
    in_fork(|| {
        let (mut w, listener) = (W::new(), listener());
        w.add(&listener, IN | ET, 1).unwrap();
        let _client = connect(&listener);
        let mut held = use_up_descriptors(&listener);
        assert_eq!(w.next(8), [event(IN, 1)]);
        assert_eq!(listener.accept().unwrap_err().raw_os_error(), Some(EMFILE));
        assert_eq!(w.now(8), [], "no edge");
        drop(held.pop());
        w.modify(&listener, IN | ET, 2).unwrap();
        assert_eq!(w.now(8), [event(IN, 2)]);
        listener.accept().expect("there is a descriptor for it");
    });
}

/// Beyond this it would take too much memory to reach the limit: the kernel takes a few hundred bytes each.
const MOST_WATCHES: usize = 12_000_000;

/// The limit is that of a user, and this one is nobody else. It costs a twenty-fifth of the machine's memory for a moment,
/// which is how the kernel chooses it.
#[test]
fn rule_14_the_limit_of_watches_is_enospc() {
    let _guard = alone();
    let most: usize = fs::read_to_string("/proc/sys/fs/epoll/max_user_watches").unwrap().trim().parse().unwrap();
    // As many epolls as counters, and some to spare.
    let side = most.isqrt() + 2;
    // SAFETY: no pointers.
    if unsafe { libc::geteuid() } != 0 || most > MOST_WATCHES || 2 * side + 100 > limit() as usize {
        println!(
            "skipped: only root becomes a user of its own, and {most} watches are to be made by {limit} descriptors",
            limit = limit()
        );
        return;
    }
    bounded("rule_14_the_limit_of_watches_is_enospc", || {
        in_fork(|| {
            let side = fs::read_to_string("/proc/sys/fs/epoll/max_user_watches").unwrap();
            let side = side.trim().parse::<usize>().unwrap().isqrt() + 2;
            // SAFETY: no pointers; this child has one thread.
            unsafe { assert_eq!(libc::setuid(2_000_000_000 + libc::getpid().cast_unsigned()), 0) };
            let (mut kernel, mut ours, one) = (Kernel::new(), Ours::new(), counter(1));
            let counters: Vec<_> = (0..side).map(|_| counter(0)).collect();
            let epolls: Vec<_> = (0..side).map(|_| Kernel::new().list().clone()).collect();
            let full = epolls.iter().flat_map(|epoll| counters.iter().map(move |one| epoll.add(one, IN, 0)));
            assert_eq!(full.into_iter().find_map(Result::err), Some(ENOSPC));
            assert_eq!(kernel.add(&one, IN, 1), Err(ENOSPC));
            assert_eq!(ours.add(&one, IN, 1), Err(ENOSPC));
            assert_eq!(Ours::try_new().err(), Some(ENOSPC), "its doorbell is watched, too");
            assert_eq!(ours.now(8), []);
            for watched in &counters[..2] {
                epolls[0].delete(watched).unwrap();
            }
            assert_eq!(kernel.add(&one, IN, 1), Ok(()));
            assert_eq!(ours.add(&one, IN, 1), Ok(()));
            assert_eq!(kernel.now(8), [event(IN, 1)]);
            assert_eq!(ours.now(8), [event(IN, 1)]);
            assert_eq!(ours.add(&far_dup(&dup(&one)), IN, 1), Err(ENOSPC));
        });
    });
}
