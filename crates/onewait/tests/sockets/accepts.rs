//! Connections that come.

use crate::common::{in_child, seccomp};
use crate::{Loop, client, error, read};
use onewait::reactor::Reactor;
use onewait::sockets::SocketOutcome;
use onewait::{Choice, DriverKind, Errno};
use std::collections::HashSet;
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

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
fn what_has_no_connections_is_refused() {
    let mut all = Loop::new();
    let refused = Err(Errno(libc::EOPNOTSUPP));
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    for socket in [OwnedFd::from(ours), UdpSocket::bind("127.0.0.1:0").unwrap().into()] {
        let socket = all.sockets().attach(socket).unwrap();
        assert_eq!(all.sockets().accept(socket, 1), refused);
        assert_eq!(all.sockets().accept_once(socket, 1), refused);
        // It goes on as before, also while it is at something else.
        all.sockets().receive(socket, 2).unwrap();
        assert_eq!(all.sockets().accept(socket, 1), refused);
        assert!(all.is_quiet());
    }
    theirs.send(b"x").unwrap();
    assert_eq!(&all.received().1[..], b"x");
}

/// A family whose sockets cannot accept, of a kind that can, is hard to come by.
#[test]
fn accepting_ends_where_the_kernel_has_no_connections() {
    in_child("accepts::accepting_ends_where_the_kernel_has_no_connections", &[], || {
        seccomp::install(
            libc::SECCOMP_RET_ALLOW,
            &[(libc::SYS_accept4, libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP as u32)],
        );
        let mut all = Loop::of(Reactor::builder().driver(Choice::Strict(DriverKind::Epoll)));
        let (listener, port) = all.listener();
        all.sockets().accept(listener, 1).unwrap();
        let _client = client(port);
        // If it is tried again and again, a wait reports it each time.
        let done = (0..100).find_map(|_| {
            all.await_news();
            all.sockets().take()
        });
        let done = done.expect("it ends");
        assert_eq!((done.token, error(&done), done.is_last), (1, Some(Errno(libc::EOPNOTSUPP)), true));
    });
}

#[test]
fn connections_with_messages_are_accepted() {
    let name = format!("\0onewait-accepts-{}", std::process::id());
    let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let made = [(); 2].map(|()| unsafe { libc::socket(libc::AF_UNIX, flags, 0) });
    assert!(made.iter().all(|fd| *fd >= 0));
    // SAFETY: just made, owned by nobody else.
    let [listener, theirs] = made.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let mut address = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
    address.sun_path.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte as libc::c_char);
    let length = (std::mem::offset_of!(libc::sockaddr_un, sun_path) + name.len()) as u32;
    // SAFETY: the address is valid for its length.
    unsafe {
        assert_eq!(libc::bind(listener.as_raw_fd(), (&raw const address).cast(), length), 0);
        assert_eq!(libc::listen(listener.as_raw_fd(), 1), 0);
        assert_eq!(libc::connect(theirs.as_raw_fd(), (&raw const address).cast(), length), 0);
    }
    let mut all = Loop::new();
    let listener = all.sockets().attach(listener).unwrap();
    all.sockets().accept(listener, 1).unwrap();
    let socket = all.accepted();
    all.sockets().receive(socket, 2).unwrap();
    let mut theirs = UnixStream::from(theirs);
    for message in [&b"one"[..], b"three"] {
        theirs.write_all(message).unwrap();
    }
    assert_eq!(&all.received().1[..], b"one");
    assert_eq!(&all.received().1[..], b"three");
}

#[test]
fn what_is_no_socket_is_refused() {
    let mut all = Loop::new();
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(all.sockets().attach(reader), Err(Errno(libc::ENOTSOCK)));
    assert!(all.sockets().is_empty());
}
