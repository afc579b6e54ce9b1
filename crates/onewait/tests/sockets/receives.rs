//! What comes.

use crate::common::pattern;
use crate::{Loop, client, error, read};
use onewait::Errno;
use onewait::sockets::{Received, SocketOutcome};
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::thread;

#[test]
fn receiving_goes_on_until_the_end() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 5).unwrap();
    for word in ["one", "two", "three"] {
        theirs.write_all(word.as_bytes()).unwrap();
        let done = all.next();
        assert_eq!((done.token, done.socket, done.is_last), (5, socket, false));
        let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!() };
        assert_eq!(&bytes[..], word.as_bytes());
    }
    drop(theirs);
    let done = all.next();
    assert!(done.is_last);
    let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!() };
    assert!(bytes.is_empty());
    assert!(all.is_quiet());
    // The end stays.
    all.sockets().receive(socket, 6).unwrap();
    let done = all.next();
    assert!(matches!(&done.outcome, SocketOutcome::Received(Ok(bytes)) if bytes.is_empty() && done.is_last));
}

#[test]
fn what_came_before_the_end_comes_before_it() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    theirs.write_all(b"last words").unwrap();
    drop(theirs);
    all.sockets().receive(socket, 0).unwrap();
    assert_eq!(&all.received().1[..], b"last words");
    assert!(all.received().1.is_empty());
}

#[test]
fn what_came_before_it_is_received_as_well() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 0).unwrap();
    let mut client = client(port);
    client.write_all(b"early").unwrap();
    let socket = all.accepted();
    assert!(all.is_quiet());
    all.sockets().receive(socket, 0).unwrap();
    assert_eq!(&all.received().1[..], b"early");
}

#[test]
fn receiving_once_leaves_the_rest() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    for round in 0..3 {
        theirs.write_all(b"a").unwrap();
        all.sockets().receive_once(socket, round).unwrap();
        let done = all.next();
        assert_eq!((done.token, done.is_last, error(&done)), (round, true, None));
        theirs.write_all(b"b").unwrap();
        assert!(all.is_quiet());
        all.sockets().receive_once(socket, 9).unwrap();
        assert_eq!(&all.received().1[..], b"b");
    }
}

#[test]
fn a_long_stream_arrives_whole_and_in_order() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let bytes = pattern(1, 20 << 20);
    let expected = bytes.clone();
    let writer = thread::spawn(move || theirs.write_all(&bytes));
    all.sockets().receive(socket, 0).unwrap();
    let (mut place, mut longest) = (0, 0);
    loop {
        let (_, part) = all.received();
        if part.is_empty() {
            break;
        }
        assert!(part[..] == expected[place..place + part.len()], "at {place}");
        place += part.len();
        longest = longest.max(part.len());
    }
    assert_eq!(place, expected.len());
    // Buffers grow with what comes.
    assert!(longest > 4096, "{longest}");
    writer.join().unwrap().unwrap();
}

#[test]
fn messages_stay_apart() {
    let mut all = Loop::new();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let socket = all.sockets().attach(ours).unwrap();
    all.sockets().receive(socket, 0).unwrap();
    for message in ["one", "", "two", "three"] {
        theirs.send(message.as_bytes()).unwrap();
    }
    for message in ["one", "", "two", "three"] {
        let done = all.next();
        assert!(!done.is_last, "a message without bytes is no end");
        let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!("{done:?}") };
        assert_eq!(&bytes[..], message.as_bytes());
    }
}

#[test]
fn messages_in_sequence_have_an_end() {
    let mut ends = [0; 2];
    // SAFETY: two descriptors fit.
    let made =
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) };
    assert_eq!(made, 0);
    // SAFETY: just made, owned by nobody else.
    let [ours, theirs] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let mut theirs = UnixStream::from(theirs);
    let mut all = Loop::new();
    let socket = all.sockets().attach(ours).unwrap();
    all.sockets().receive(socket, 0).unwrap();
    for message in [&b"one"[..], b"three"] {
        theirs.write_all(message).unwrap();
    }
    assert_eq!(&all.received().1[..], b"one");
    assert_eq!(&all.received().1[..], b"three");
    drop(theirs);
    let done = all.next();
    assert!(matches!(&done.outcome, SocketOutcome::Received(Ok(bytes)) if bytes.is_empty() && done.is_last));
    assert!(all.is_quiet());
}

#[test]
fn a_reset_is_an_error() {
    let mut all = Loop::new();
    let (listener, port) = all.listener();
    all.sockets().accept(listener, 0).unwrap();
    let client = client(port);
    let socket = all.accepted();
    all.sockets().receive(socket, 0).unwrap();
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the structure outlives the call.
    let set = unsafe {
        let fd = std::os::fd::AsRawFd::as_raw_fd(&client);
        let size = size_of_val(&linger) as u32;
        libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size)
    };
    assert_eq!(set, 0);
    drop(client);
    let done = all.next();
    assert_eq!((error(&done), done.is_last), (Some(Errno(libc::ECONNRESET)), true));
}

#[test]
fn receiving_without_a_connection_fails() {
    let mut all = Loop::new();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let socket = all.sockets().attach(listener).unwrap();
    let port = {
        let fd = all.sockets().descriptor(socket).unwrap().try_clone_to_owned().unwrap();
        std::net::TcpListener::from(fd).local_addr().unwrap().port()
    };
    all.sockets().receive(socket, 0).unwrap();
    let _client = client(port);
    let done = all.next();
    assert_eq!((error(&done), done.is_last), (Some(Errno(libc::ENOTCONN)), true));
}

#[test]
fn what_was_received_goes_back_as_it_is() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 0).unwrap();
    for round in 0..10_000_u32 {
        theirs.write_all(&round.to_le_bytes()).unwrap();
        let (socket, bytes) = all.received();
        all.sockets().send(socket, bytes, 1).unwrap();
        all.sent();
        assert_eq!(read(&theirs, 4), round.to_le_bytes());
    }
}

#[test]
fn what_was_received_is_the_same_after_it_was_an_address() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 0).unwrap();
    theirs.write_all(b"kept").unwrap();
    let received = all.received().1;
    let bytes = received.as_ptr();
    let address = received.into_raw();
    drop(all);
    // SAFETY: from above, for the first time.
    let received = unsafe { Received::from_raw(address) };
    assert_eq!((&received[..], received.as_ptr()), (&b"kept"[..], bytes));
    // SAFETY: there are no bytes.
    assert!(unsafe { Received::from_raw(std::ptr::null_mut()) }.is_empty());
}
