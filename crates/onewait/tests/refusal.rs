//! Drivers that the system refuses, by real seccomp filters.

mod common;

use common::{in_child, reap, seccomp};
use onewait::{Aio, Choice, DriverKind, Errno, Request};
use std::io::ErrorKind;

/// What a strictly chosen `uring` is refused with is the error of whoever chose it.
fn strict_choice_fails(name: &str, errno: i32) {
    in_child(name, &[("ONEWAIT_DRIVER", "uring")], || {
        seccomp::refuse_io_uring(errno);
        assert_eq!(Aio::new().unwrap_err().raw_os_error(), Some(errno));
        let strict = Choice::Strict(DriverKind::Uring);
        assert_eq!(Aio::with_driver(strict).unwrap_err(), Errno(errno));
    });
}

#[test]
fn a_strict_choice_fails_where_the_driver_is_forbidden() {
    strict_choice_fails("a_strict_choice_fails_where_the_driver_is_forbidden", libc::EPERM);
}

#[test]
fn a_strict_choice_fails_where_the_driver_is_unknown() {
    strict_choice_fails("a_strict_choice_fails_where_the_driver_is_unknown", libc::ENOSYS);
}

#[test]
fn a_free_choice_falls_back() {
    in_child("a_free_choice_falls_back", &[("ONEWAIT_DRIVER", "")], || {
        seccomp::refuse_io_uring(libc::EPERM);
        let aio = Aio::new().unwrap();
        assert_eq!(aio.driver(), DriverKind::Epoll);
        let queue = aio.queue();
        queue.submit(Request::no_op().token(3)).unwrap();
        assert_eq!(reap(&queue).token, 3);
    });
}

#[test]
fn the_environment_chooses() {
    in_child("the_environment_chooses", &[("ONEWAIT_DRIVER", "epoll")], || {
        assert_eq!(Aio::new().unwrap().driver(), DriverKind::Epoll);
    });
}

#[test]
fn an_unknown_driver_is_an_error() {
    in_child("an_unknown_driver_is_an_error", &[("ONEWAIT_DRIVER", "kqueue")], || {
        let error = Aio::new().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("kqueue"));
    });
}

#[test]
fn too_few_descriptors_are_an_error() {
    in_child("too_few_descriptors_are_an_error", &[], || {
        let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
        // SAFETY: the structure lives through the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        assert_eq!(Aio::new().unwrap_err().raw_os_error(), Some(libc::EMFILE));
    });
}
