//! The first call, which chooses the driver.

use crate::Loop;
use crate::common::in_child;
use onewait::Errno;
use std::fs::File;
use std::io::Write;

#[test]
fn an_unknown_driver_is_refused() {
    in_child("setup::an_unknown_driver_is_refused", &[("ONEWAIT_DRIVER", "abacus")], || {
        let mut all = Loop::new();
        assert_eq!(all.reactor.sockets().map(drop), Err(Errno::INVAL));
    });
}

#[test]
fn without_descriptors_there_are_no_sockets_until_there_are_some() {
    in_child("setup::without_descriptors_there_are_no_sockets_until_there_are_some", &[], || {
        let mut all = Loop::new();
        let few = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
        // SAFETY: the structure outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
        let held: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert_eq!(all.reactor.sockets().map(drop), Err(Errno(libc::EMFILE)));
        drop(held);
        let (socket, mut theirs) = all.pair();
        all.sockets().receive(socket, 1).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(&all.received().1[..], b"x");
    });
}
