//! Connecting.

use crate::common::Scratch;
use crate::{Loop, error};
use onewait::Errno;
use onewait::sockets::{Address, SocketOutcome};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::time::{Duration, Instant};

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
fn a_connection_that_nobody_takes_can_be_stopped_and_closed() {
    let mut all = Loop::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().unwrap();
    let sockets: Vec<_> = (0..8).map(|_| all.sockets().attach(socket(libc::AF_INET)).unwrap()).collect();
    for socket in &sockets {
        all.sockets().connect(*socket, address, 1).unwrap();
    }
    // The queue of the listener is full then.
    let mut waiting: HashSet<_> = sockets.into_iter().collect();
    let end = Instant::now() + Duration::from_millis(100);
    while Instant::now() < end {
        all.reactor.wait(&mut [Default::default()], Some(Duration::from_millis(10))).unwrap();
        while let Some(done) = all.sockets().take() {
            assert_eq!(error(&done), None);
            assert!(waiting.remove(&done.socket));
        }
    }
    assert!(waiting.len() >= 2, "{waiting:?}");
    for (number, socket) in waiting.into_iter().enumerate() {
        if number % 2 == 0 {
            all.sockets().stop(socket).unwrap();
        } else {
            all.sockets().close(socket).unwrap();
        }
        let done = all.next();
        assert_eq!((done.socket, error(&done), done.is_last), (socket, Some(Errno::CANCELED), true));
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

#[test]
fn an_address_of_bytes_is_judged_by_the_kernel_unless_there_are_too_many() {
    let mut all = Loop::new();
    let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
    bytes.extend(format!("\0onewait-bytes-{}", std::process::id()).bytes());
    let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&bytes[3..]).unwrap()).unwrap();
    let ours = all.sockets().attach(socket(libc::AF_UNIX)).unwrap();
    all.sockets().connect(ours, Address::from_bytes(&bytes).unwrap(), 0).unwrap();
    assert_eq!(error(&all.next()), None);
    listener.accept().unwrap();
    let other = all.sockets().attach(socket(libc::AF_UNIX)).unwrap();
    all.sockets().connect(other, Address::from_bytes(&bytes[..1]).unwrap(), 0).unwrap();
    assert_eq!(error(&all.next()), Some(Errno::INVAL));
    let most = size_of::<libc::sockaddr_storage>();
    assert!(Address::from_bytes(&vec![0; most]).is_ok());
    assert_eq!(Address::from_bytes(&vec![0; most + 1]).map(drop), Err(Errno::INVAL));
}
