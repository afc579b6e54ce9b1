//! Drivers that the system refuses, by real seccomp filters.

mod common;

use common::{Scratch, in_child, pipe, reap, seccomp};
use onewait::{Aio, Buffer, Choice, DriverKind, Errno, Request};
use std::io::{ErrorKind, Write};
use std::time::Duration;

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

/// As programs for another processor find it under qemu.
#[test]
fn files_and_pipes_are_served_where_preadv2_is_unknown() {
    in_child("files_and_pipes_are_served_where_preadv2_is_unknown", &[], || {
        let unknown = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        seccomp::install(libc::SECCOMP_RET_ALLOW, &[(libc::SYS_preadv2, unknown), (libc::SYS_pwritev2, unknown)]);
        let queue = Aio::with_driver(Choice::Strict(DriverKind::Epoll)).unwrap().queue();
        let (scratch, file) = Scratch::with(b"A file, that is there");
        queue
            .submit(Request::write_vectored(&file, vec![Buffer::from(&b"the "[..]), Buffer::from(&b"one"[..])], 0))
            .unwrap();
        assert_eq!(reap(&queue).result, Ok(7));
        assert_eq!(scratch.content(), b"the one that is there");
        queue.submit(Request::read(&file, Buffer::with_capacity(100), 4)).unwrap();
        assert_eq!(&reap(&queue).buffer[..], b"one that is there");
        let (reader, writer) = pipe();
        queue.submit(Request::read(&reader, Buffer::with_capacity(100), 0)).unwrap();
        assert!(queue.reap(Some(Duration::from_millis(20))).is_none(), "there is nothing to read yet");
        (&writer).write_all(b"bytes").unwrap();
        assert_eq!(&reap(&queue).buffer[..], b"bytes");
    });
}

/// Leaves the process no descriptor to make.
fn use_up_descriptors() {
    let limit = libc::rlimit { rlim_cur: 3, rlim_max: 3 };
    // SAFETY: the structure lives through the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

#[test]
fn a_refused_request_gives_its_place_and_its_buffer_back() {
    in_child("a_refused_request_gives_its_place_and_its_buffer_back", &[], || {
        let queue = Aio::with_driver(Choice::Strict(DriverKind::Epoll)).unwrap().bounded_queue(1);
        let (reader, mut writer) = pipe();
        use_up_descriptors();
        // This driver makes a descriptor of its own for what has to wait.
        let buffer = Buffer::from(&b"mine"[..]);
        let refused = queue.submit(Request::read(&reader, buffer, 0)).unwrap_err();
        assert_eq!((refused.errno, queue.outstanding()), (Errno(libc::EMFILE), 0));
        assert_eq!(&refused.request.into_buffer()[..], b"mine");
        writer.write_all(b"x").unwrap();
        queue.submit(Request::no_op().token(8)).unwrap();
        assert_eq!(reap(&queue).token, 8);
    });
}

#[test]
fn too_few_descriptors_are_an_error() {
    in_child("too_few_descriptors_are_an_error", &[], || {
        use_up_descriptors();
        assert_eq!(Aio::new().unwrap_err().raw_os_error(), Some(libc::EMFILE));
    });
}
