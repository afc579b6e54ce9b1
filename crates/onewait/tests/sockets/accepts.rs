//! Connections that come.

use crate::{Loop, client, error, read};
use onewait::Errno;
use onewait::sockets::SocketOutcome;
use std::collections::HashSet;
use std::io::Write;
use std::os::fd::AsRawFd;

#[test]
fn each_connection_is_a_completion_and_a_socket() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 7).unwrap();
    let clients: Vec<_> = (0..100).map(|_| client(port)).collect();
    let mut sockets = HashSet::new();
    for _ in &clients {
        let done = all.next();
        assert_eq!((done.token, done.socket, done.is_last), (7, listener, false));
        let SocketOutcome::Accepted(Ok(socket)) = done.outcome else { panic!("{done:?}") };
        assert!(sockets.insert(socket));
    }
    assert_eq!(all.sockets().len(), clients.len() + 1);
    for socket in &sockets {
        all.sockets().send(*socket, b"welcome", 0).unwrap();
    }
    for _ in &sockets {
        all.sent();
    }
    for client in clients {
        assert_eq!(read(client, 7), b"welcome");
    }
}

#[test]
fn an_accepted_socket_is_non_blocking_and_closed_by_exec() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 0).unwrap();
    let _client = client(port);
    let socket = all.accepted();
    let fd = all.sockets().descriptor(socket).unwrap().as_raw_fd();
    // SAFETY: no pointers.
    let (status, flags) = unsafe { (libc::fcntl(fd, libc::F_GETFL), libc::fcntl(fd, libc::F_GETFD)) };
    assert_ne!(status & libc::O_NONBLOCK, 0);
    assert_ne!(flags & libc::FD_CLOEXEC, 0);
}

#[test]
fn a_socket_is_made_non_blocking() {
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    let fd = all.sockets().descriptor(socket).unwrap().as_raw_fd();
    // SAFETY: no pointers.
    assert_ne!(unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK, 0);
}

#[test]
fn accepting_once_takes_one() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept_once(listener, 1).unwrap();
    let (mut first, mut second) = (client(port), client(port));
    let done = all.next();
    assert!(matches!(done.outcome, SocketOutcome::Accepted(Ok(_))));
    assert!(done.is_last);
    assert!(all.is_quiet());
    // The other one waits in the queue.
    all.sockets().accept_once(listener, 2).unwrap();
    let done = all.next();
    assert_eq!((done.token, done.is_last, error(&done)), (2, true, None));
    first.write_all(b"1").unwrap();
    second.write_all(b"2").unwrap();
}

#[test]
fn one_socket_accepts_once_at_a_time() {
    let mut all = Loop::new();
    let (listener, _) = all.listener();
    all.sockets().accept(listener, 1).unwrap();
    assert_eq!(all.sockets().accept(listener, 2), Err(Errno(libc::EALREADY)));
    assert_eq!(all.sockets().receive(listener, 2), Err(Errno(libc::EALREADY)));
}

#[test]
fn accepting_by_what_does_not_listen_fails() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().accept(socket, 1).unwrap();
    // Without io_uring it is tried when there is something.
    theirs.write_all(b"x").unwrap();
    let done = all.next();
    assert_eq!((error(&done), done.is_last), (Some(Errno::INVAL), true));
    all.sockets().receive(socket, 2).unwrap();
    assert_eq!(&all.received().1[..], b"x");
}

#[test]
fn what_is_no_socket_is_refused() {
    let mut all = Loop::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(all.sockets().attach(reader), Err(Errno(libc::ENOTSOCK)));
    assert!(all.sockets().is_empty());
}
