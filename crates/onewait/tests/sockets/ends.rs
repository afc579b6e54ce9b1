//! Stopping, closing, dropping, forking.

use crate::common::in_child;
use crate::{Loop, error};
use onewait::sockets::{SocketId, SocketOutcome};
use onewait::{DriverKind, Errno};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

const CANCELED: Option<Errno> = Some(Errno::CANCELED);

#[test]
fn stopping_has_a_last_completion_and_loses_nothing() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    for round in 0..3 {
        all.sockets().receive(socket, round).unwrap();
        all.sockets().stop(socket).unwrap();
        let done = all.next();
        assert_eq!((done.token, error(&done), done.is_last), (round, CANCELED, true));
        theirs.write_all(b"later").unwrap();
        assert!(all.is_quiet());
        all.sockets().receive(socket, 10).unwrap();
        assert_eq!(&all.received().1[..], b"later");
        all.sockets().stop(socket).unwrap();
        assert_eq!(error(&all.next()), CANCELED);
    }
    // Nothing to stop.
    all.sockets().stop(socket).unwrap();
    assert!(all.is_quiet());
}

#[test]
fn what_comes_while_a_socket_stops_comes_now_or_later() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    for round in 0..10_u8 {
        all.sockets().receive(socket, 0).unwrap();
        if round % 2 == 0 {
            // Already with the kernel.
            all.reactor.wait(&mut [Default::default()], crate::NOW).unwrap();
        }
        theirs.write_all(&[round]).unwrap();
        all.sockets().stop(socket).unwrap();
        let mut bytes = Vec::new();
        loop {
            let done = all.next();
            match done.outcome {
                SocketOutcome::Received(Ok(part)) => bytes.extend_from_slice(&part),
                SocketOutcome::Received(Err(Errno::CANCELED)) if done.is_last => break,
                other => panic!("{other:?}"),
            }
        }
        if bytes.is_empty() {
            all.sockets().receive_once(socket, 1).unwrap();
            bytes.extend_from_slice(&all.received().1);
        }
        assert_eq!(bytes, [round]);
    }
}

#[test]
fn stopping_after_the_last_completion_adds_none() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive_once(socket, 1).unwrap();
    theirs.write_all(b"x").unwrap();
    all.await_news();
    // Without io_uring it is received when it is taken.
    let done = all.next();
    all.sockets().stop(socket).unwrap();
    assert_eq!((done.token, error(&done), done.is_last), (1, None, true));
    assert!(all.is_quiet());
}

#[test]
fn until_the_last_completion_is_taken_nothing_else_begins() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    all.sockets().stop(socket).unwrap();
    all.await_news();
    let refused = Err(Errno(libc::EALREADY));
    assert_eq!(all.sockets().receive(socket, 2), refused);
    assert_eq!(all.sockets().receive_once(socket, 2), refused);
    assert_eq!(all.sockets().accept(socket, 2), refused);
    assert_eq!(all.sockets().accept_once(socket, 2), refused);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    assert_eq!(all.sockets().connect(socket, address, 2), refused);
    assert_eq!(error(&all.next()), CANCELED);
    all.sockets().receive_once(socket, 3).unwrap();
    theirs.write_all(b"x").unwrap();
    // This one has its last completion by itself.
    all.await_news();
    let done = all.next();
    assert_eq!((done.token, error(&done), done.is_last), (3, None, true));
    all.sockets().receive_once(socket, 4).unwrap();
}

#[test]
fn stopping_a_listener_leaves_connections_to_others() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 1).unwrap();
    all.sockets().stop(listener).unwrap();
    assert_eq!(error(&all.next()), CANCELED);
    let _client = crate::client(port);
    assert!(all.is_quiet());
    all.sockets().accept(listener, 2).unwrap();
    all.accepted();
}

#[test]
fn connections_that_come_while_a_listener_closes_are_closed() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 1).unwrap();
    let mut theirs: Vec<_> = (0..5).map(|_| crate::client(port)).collect();
    all.sockets().close(listener).unwrap();
    let done = all.next();
    assert_eq!((error(&done), done.is_last), (CANCELED, true));
    assert!(all.is_quiet());
    assert!(all.sockets().is_empty());
    for stream in &mut theirs {
        assert!(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
}

#[test]
fn closing_cancels_what_is_in_flight_and_gives_all_bytes_back() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    // The first fills the socket, the others wait.
    for token in 2..6 {
        all.sockets().send(socket, vec![7; 8 << 20], token).unwrap();
    }
    all.sockets().close(socket).unwrap();
    assert_eq!(all.sockets().close(socket), Err(Errno::BADF));
    assert_eq!(all.sockets().receive(socket, 9), Err(Errno::BADF));
    assert_eq!(all.sockets().send(socket, b"x", 9).unwrap_err().errno, Errno::BADF);
    assert!(all.sockets().descriptor(socket).is_none());
    let mut tokens: Vec<_> = (0..5)
        .map(|_| {
            let done = all.next();
            assert_eq!((error(&done), done.is_last, done.socket), (CANCELED, true, socket));
            done.token
        })
        .collect();
    tokens.sort_unstable();
    assert_eq!(tokens, [1, 2, 3, 4, 5]);
    assert!(all.sockets().is_empty());
    // The other side gets what was sent, and the end.
    theirs.read_to_end(&mut Vec::new()).unwrap();
    assert!(all.is_quiet());
}

#[test]
fn a_socket_that_does_nothing_is_closed_at_once() {
    let mut all = Loop::new();
    for _ in 0..3 {
        let (socket, mut theirs) = all.pair();
        all.sockets().close(socket).unwrap();
        assert!(all.sockets().is_empty());
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0);
    }
    assert!(all.is_quiet());
}

#[test]
fn a_name_of_a_closed_socket_is_not_that_of_the_next() {
    let mut all = Loop::new();
    let (first, _theirs) = all.pair();
    all.sockets().close(first).unwrap();
    let (second, mut theirs) = all.pair();
    assert_ne!(first, second);
    assert_eq!(all.sockets().receive(first, 1), Err(Errno::BADF));
    all.sockets().receive(second, 2).unwrap();
    theirs.write_all(b"x").unwrap();
    assert_eq!(all.next().token, 2);
}

#[test]
fn a_closed_socket_is_silent_though_others_have_its_file() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let copy = all.sockets().descriptor(socket).unwrap().as_fd().try_clone_to_owned().unwrap();
    all.sockets().receive(socket, 1).unwrap();
    all.sockets().close(socket).unwrap();
    assert_eq!(error(&all.next()), CANCELED);
    let (other, _theirs) = all.pair();
    all.sockets().receive(other, 2).unwrap();
    theirs.write_all(b"for the copy").unwrap();
    assert!(all.is_quiet());
    let mut copy = std::os::unix::net::UnixStream::from(copy);
    copy.set_nonblocking(false).unwrap();
    let mut bytes = [0; 12];
    copy.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"for the copy");
}

#[test]
fn a_closed_socket_is_watched_no_more_though_others_have_its_file() {
    in_child("ends::a_closed_socket_is_watched_no_more_though_others_have_its_file", &[], || {
        let mut all = Loop::new();
        let (socket, mut theirs) = all.pair();
        let copy = all.sockets().descriptor(socket).unwrap().try_clone_to_owned().unwrap();
        let number = all.sockets().descriptor(socket).unwrap().as_raw_fd();
        all.sockets().close(socket).unwrap();
        // The same file by the same number: an epoll that still had it would refuse it.
        // SAFETY: no pointers.
        let again = unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_DUPFD_CLOEXEC, number) };
        assert_eq!(again, number);
        // SAFETY: just made, owned by nobody else.
        let socket = all.sockets().attach(unsafe { OwnedFd::from_raw_fd(again) }).unwrap();
        all.sockets().receive(socket, 1).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(&all.received().1[..], b"x");
    });
}

#[test]
fn dropping_the_reactor_closes_all_sockets() {
    let mut theirs = Vec::new();
    {
        let mut all = Loop::new();
        let (listener, port) = all.listener();
        all.sockets().accept(listener, 0).unwrap();
        theirs.push(std::os::unix::net::UnixStream::pair().unwrap().0);
        for _ in 0..20 {
            let (socket, other) = all.pair();
            all.sockets().receive(socket, 1).unwrap();
            all.sockets().send(socket, vec![0; 4 << 20], 1).unwrap();
            theirs.push(other);
        }
        let _client = crate::client(port);
        let _ = all.reactor.wait(&mut [Default::default()], crate::NOW);
    }
    for mut stream in theirs {
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn no_descriptor_is_left_behind() {
    in_child("ends::no_descriptor_is_left_behind", &[], || {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = count();
        for _ in 0..5 {
            let mut all = Loop::new();
            let (listener, port) = all.listener();
            all.sockets().accept(listener, 0).unwrap();
            let clients: Vec<_> = (0..40).map(|_| crate::client(port)).collect();
            // Some are accepted, some are on their way.
            for _ in 0..20 {
                let socket = all.accepted();
                all.sockets().receive(socket, 0).unwrap();
            }
            // Nobody hears of these: they come while all ends.
            all.reactor.wait(&mut [Default::default()], crate::NOW).unwrap();
            let late: Vec<_> = (0..5).map(|_| crate::client(port)).collect();
            let (other, port) = all.listener();
            let last: Vec<_> = (0..5).map(|_| crate::client(port)).collect();
            all.sockets().accept(other, 1).unwrap();
            drop(all);
            drop((clients, late, last));
            assert_eq!(count(), before);
        }
    });
}

#[test]
fn the_sockets_are_the_parents() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    // The child must not take what comes: with epoll it is read when it is taken.
    theirs.write_all(b"early").unwrap();
    all.await_news();
    // SAFETY: the child makes system calls and allocates, which the C library allows; it ends by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let refused = Errno(libc::ECHILD);
        let sockets = all.sockets();
        let code = i32::from(
            sockets.take().is_some()
                || sockets.receive(socket, 2) != Err(refused)
                || sockets.send(socket, b"x", 2).unwrap_err().errno != refused
                || sockets.close(socket) != Err(refused)
                || all.reactor.wait(&mut [Default::default()], crate::NOW).map(drop) != Err(refused),
        );
        drop(all);
        // SAFETY: no preconditions.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status is valid for writing.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(&all.received().1[..], b"early");
    theirs.write_all(b"still here").unwrap();
    assert_eq!(&all.received().1[..], b"still here");
}

#[test]
fn another_thread_is_told_that_a_ring_is_not_its_own() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let (idle, _other) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    theirs.write_all(b"x").unwrap();
    let is_ring = all.sockets().driver() == DriverKind::Uring;
    thread::spawn(move || {
        if is_ring {
            let refused = Err(Errno(libc::EEXIST));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let sockets = all.sockets();
            assert_eq!(sockets.attach(UnixStream::pair().unwrap().0).map(drop), refused);
            assert_eq!(sockets.receive(idle, 2), refused);
            assert_eq!(sockets.receive_once(idle, 2), refused);
            assert_eq!(sockets.accept(idle, 2), refused);
            assert_eq!(sockets.accept_once(idle, 2), refused);
            assert_eq!(sockets.connect(idle, address, 2), refused);
            assert_eq!(sockets.send(idle, b"x", 2).map_err(|unsent| unsent.errno), refused);
            assert_eq!(sockets.stop(socket), refused);
            assert_eq!(sockets.close(socket), refused);
        }
        let waited = all.reactor.wait(&mut [Default::default(); 4], crate::NOW).map(<[_]>::len);
        // Its end there leaves the memory that the kernel may write to.
        if is_ring { assert_eq!(waited, Err(Errno(libc::EEXIST))) } else { assert_eq!(waited, Ok(1)) }
    })
    .join()
    .unwrap();
    let _ = theirs.as_raw_fd();
}

#[test]
fn the_end_of_a_reactor_that_another_thread_drops_is_seen_when_its_own_has_ended() {
    let owner = thread::spawn(|| {
        let mut all = Loop::new();
        let (socket, theirs) = all.pair();
        all.sockets().receive(socket, 1).unwrap();
        all.reactor.wait(&mut [Default::default()], crate::NOW).unwrap();
        thread::spawn(move || drop(all)).join().unwrap();
        theirs
    });
    assert_eq!(owner.join().unwrap().read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_number_names_its_socket_and_no_other_number_does() {
    let mut all = Loop::new();
    let (first, _theirs) = all.pair();
    let (second, _theirs) = all.pair();
    for socket in [first, second] {
        assert_ne!(socket.to_bits(), 0);
        assert_eq!(SocketId::from_bits(socket.to_bits()), Some(socket));
    }
    assert_ne!(first.to_bits(), second.to_bits());
    for none in [0, 1, u64::from(u32::MAX), u64::MAX, 1 << 61] {
        assert_eq!(SocketId::from_bits(none), None);
    }
}

#[test]
fn what_is_no_socket_is_given_back() {
    let mut all = Loop::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let number = reader.as_raw_fd();
    let (errno, reader) = all.sockets().take_over(reader.into()).unwrap_err();
    assert_eq!((errno, reader.as_raw_fd()), (Errno(libc::ENOTSOCK), number));
    assert!(all.sockets().is_empty());
    writer.write_all(b"x").unwrap();
    std::fs::File::from(reader).read_exact(&mut [0]).unwrap();
}
