//! Messages, which come whole or not at all.

use crate::common::{PATIENCE, pattern};
use crate::{Loop, error};
use onewait::Errno;
use onewait::reactor::Reactor;
use onewait::sockets::{Received, SocketId, SocketOutcome};
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};

/// The longest that comes whole, in bytes.
const LONGEST: usize = 64 << 10;
const TOO_LONG: Option<Errno> = Some(Errno(libc::EMSGSIZE));

/// Two ends of Unix sockets that keep messages apart, by datagrams or in sequence.
fn ends(kind: libc::c_int) -> (OwnedFd, UnixDatagram) {
    let mut ends = [0; 2];
    // SAFETY: two descriptors fit.
    assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) }, 0);
    // SAFETY: just made, owned by nobody else.
    let [ours, theirs] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    (ours, theirs.into())
}

fn pair(all: &mut Loop, kind: libc::c_int) -> (SocketId, UnixDatagram) {
    let (ours, theirs) = ends(kind);
    (all.sockets().attach(ours).unwrap(), theirs)
}

fn message(length: usize) -> Vec<u8> {
    pattern(length as u64, length)
}

#[test]
fn long_messages_come_whole_from_the_first_on() {
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        for first in [4097, 5000, 9000, LONGEST - 1, LONGEST] {
            let mut all = Loop::new();
            let (socket, theirs) = pair(&mut all, kind);
            all.sockets().receive(socket, 1).unwrap();
            for length in [first, 1, 4096, LONGEST] {
                theirs.send(&message(length)).unwrap();
                let (_, received) = all.received();
                assert!(received[..] == message(length)[..], "{} of {length} bytes", received.len());
            }
        }
    }
}

#[test]
fn the_longest_datagrams_of_the_internet_come_whole() {
    const LONGEST: usize = 65_507;
    let ours = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    theirs.connect(ours.local_addr().unwrap()).unwrap();
    let mut all = Loop::new();
    let socket = all.sockets().attach(ours).unwrap();
    all.sockets().receive(socket, 1).unwrap();
    for length in [LONGEST, 9000, 0, LONGEST] {
        theirs.send(&message(length)).unwrap();
        assert!(all.received().1[..] == message(length)[..], "of {length} bytes");
    }
}

#[test]
fn longer_messages_are_told_and_the_next_ones_come() {
    for kind in [libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let mut all = Loop::new();
        let (socket, theirs) = pair(&mut all, kind);
        all.sockets().receive(socket, 1).unwrap();
        // More often than there are buffers.
        for _ in 0..100 {
            theirs.send(&message(LONGEST + 1)).unwrap();
            theirs.send(b"next").unwrap();
            let done = all.next();
            assert_eq!((done.token, error(&done), done.is_last), (1, TOO_LONG, false));
            assert_eq!(&all.received().1[..], b"next");
        }
        all.sockets().stop(socket).unwrap();
        assert_eq!(error(&all.next()), Some(Errno::CANCELED));
        all.sockets().receive_once(socket, 2).unwrap();
        theirs.send(&message(2 * LONGEST)).unwrap();
        let done = all.next();
        assert_eq!((done.token, error(&done), done.is_last), (2, TOO_LONG, true));
    }
}

#[test]
fn streams_have_small_buffers_beside_messages() {
    let mut all = Loop::new();
    let (socket, theirs) = pair(&mut all, libc::SOCK_DGRAM);
    all.sockets().receive(socket, 1).unwrap();
    theirs.send(&message(LONGEST)).unwrap();
    assert_eq!(all.received().1.len(), LONGEST);
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 2).unwrap();
    theirs.write_all(&[1; 3 * 4096]).unwrap();
    (0..3).for_each(|_| assert_eq!(all.received().1.len(), 4096));
}

/// What is received before nothing more comes.
fn received_until_quiet(all: &mut Loop) -> Vec<Received> {
    let (mut kept, began) = (Vec::new(), Instant::now());
    loop {
        assert!(Some(began.elapsed()) < PATIENCE, "it is never quiet");
        while let Some(done) = all.sockets().take() {
            let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!("{done:?}") };
            kept.push(bytes);
        }
        let timeout = Some(Duration::from_millis(30));
        if all.reactor.wait(&mut [Default::default(); 4], timeout).unwrap().is_empty() {
            return kept;
        }
    }
}

fn streams(all: &mut Loop, count: usize) -> Vec<UnixStream> {
    let stream = |_| {
        let (socket, mut theirs) = all.pair();
        all.sockets().receive(socket, 2).unwrap();
        theirs.write_all(b"x").unwrap();
        theirs
    };
    (0..count).map(stream).collect()
}

#[test]
fn messages_and_bytes_share_the_memory_that_they_are_given() {
    const ALL: usize = 40;
    let mut all = Loop::of(Reactor::builder().socket_memory(ALL * LONGEST));
    let sockets: Vec<_> = (0..3).map(|_| pair(&mut all, libc::SOCK_SEQPACKET)).collect();
    for (socket, theirs) in &sockets {
        all.sockets().receive(*socket, 1).unwrap();
        (0..10).for_each(|_| _ = theirs.send(b"message").unwrap());
    }
    // Messages have half of it at most.
    let messages = received_until_quiet(&mut all);
    assert_eq!(messages.len(), ALL / 2);
    let rest = ALL / 2 * LONGEST / 4096;
    let theirs = streams(&mut all, rest + 10);
    let mut bytes = received_until_quiet(&mut all);
    assert_eq!(bytes.len(), rest);
    // Each comes back to its own kind.
    bytes.truncate(rest - 3);
    bytes.extend(received_until_quiet(&mut all));
    assert_eq!(bytes.len(), rest);
    drop(messages);
    let messages = received_until_quiet(&mut all);
    assert!(messages.len() == 10 && messages.iter().all(|message| message[..] == *b"message"));
    drop(bytes);
    assert_eq!(received_until_quiet(&mut all).len(), 7);
    drop(theirs);
}

#[test]
fn messages_come_while_all_other_memory_is_kept() {
    const STREAMS: usize = 400;
    let mut all = Loop::of(Reactor::builder().socket_memory(STREAMS * 4096));
    let theirs = streams(&mut all, STREAMS + 1);
    let mut kept = received_until_quiet(&mut all);
    assert_eq!(kept.len(), STREAMS);
    let (socket, sender) = pair(&mut all, libc::SOCK_DGRAM);
    all.sockets().receive(socket, 1).unwrap();
    for _ in 0..3 {
        sender.send(&message(LONGEST)).unwrap();
        assert_eq!(all.received().1.len(), LONGEST);
    }
    kept.pop();
    assert_eq!(&all.received().1[..], b"x");
    drop(theirs);
}
