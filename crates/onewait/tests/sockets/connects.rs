//! Connecting.

use crate::common::Scratch;
use crate::{Loop, error};
use onewait::Errno;
use onewait::sockets::SocketOutcome;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

fn socket(domain: libc::c_int) -> OwnedFd {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0);
    // SAFETY: just made, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[test]
fn a_connection_over_tcp() {
    let mut all = Loop::new();
    let addresses: [(SocketAddr, _); 2] =
        [((Ipv4Addr::LOCALHOST, 0).into(), libc::AF_INET), ((Ipv6Addr::LOCALHOST, 0).into(), libc::AF_INET6)];
    for (address, domain) in addresses {
        let listener = match TcpListener::bind(address) {
            // IPv6 is switched off, or was left out of the kernel.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)) => {
                println!("skipped: {address}: {error}");
                continue;
            }
            result => result.unwrap(),
        };
        let socket = all.sockets().attach(socket(domain)).unwrap();
        all.sockets().connect(socket, listener.local_addr().unwrap(), 3).unwrap();
        let done = all.next();
        assert_eq!((done.token, done.socket, done.is_last), (3, socket, true));
        assert!(matches!(done.outcome, SocketOutcome::Connected(Ok(()))), "{done:?}");
        let (mut theirs, _) = listener.accept().unwrap();
        all.sockets().send(socket, b"hello", 4).unwrap();
        all.sent();
        all.sockets().receive(socket, 5).unwrap();
        let mut bytes = [0; 5];
        theirs.read_exact(&mut bytes).unwrap();
        theirs.write_all(&bytes).unwrap();
        assert_eq!(&all.received().1[..], b"hello");
        all.sockets().close(socket).unwrap();
        assert_eq!(error(&all.next()), Some(Errno::CANCELED));
    }
}

#[test]
fn nobody_listens() {
    let mut all = Loop::new();
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let socket = all.sockets().attach(socket(libc::AF_INET)).unwrap();
    all.sockets().connect(socket, address, 3).unwrap();
    let done = all.next();
    assert_eq!((error(&done), done.is_last), (Some(Errno(libc::ECONNREFUSED)), true));
    all.sockets().close(socket).unwrap();
}

#[test]
fn a_connection_in_the_filesystem_and_by_an_abstract_name() {
    let mut all = Loop::new();
    let scratch = Scratch::new();
    let name = format!("onewait-test-{}", std::process::id());
    let addresses = [UnixAddr::from_pathname(scratch.path()), UnixAddr::from_abstract_name(name)];
    for address in addresses.map(Result::unwrap) {
        let listener = UnixListener::bind_addr(&address).unwrap();
        let socket = all.sockets().attach(socket(libc::AF_UNIX)).unwrap();
        all.sockets().connect(socket, &address, 0).unwrap();
        let done = all.next();
        assert!(matches!(done.outcome, SocketOutcome::Connected(Ok(()))), "{address:?}: {done:?}");
        listener.accept().unwrap();
    }
}

#[test]
fn many_connections_are_made_and_accepted_in_one_loop() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 0).unwrap();
    for _ in 0..100 {
        let socket = all.sockets().attach(socket(libc::AF_INET)).unwrap();
        all.sockets().connect(socket, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 1).unwrap();
    }
    let (mut accepted, mut connected) = (0, 0);
    while accepted < 100 || connected < 100 {
        match all.next().outcome {
            SocketOutcome::Accepted(result) => accepted += u32::from(result.is_ok()),
            SocketOutcome::Connected(result) => connected += u32::from(result.is_ok()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all.sockets().len(), 201);
}
