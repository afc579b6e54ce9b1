//! What goes out.

use crate::common::{PATIENCE, in_child, pattern};
use crate::{Loop, NOW, error, read};
use onewait::Buffer;
use onewait::Errno;
use onewait::reactor::Ready;
use onewait::sockets::{Outgoing, SocketOutcome};
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::thread;

#[test]
fn a_send_gives_its_bytes_back() {
    let mut all = Loop::new();
    let (socket, theirs) = all.pair();
    let shared: Arc<[u8]> = Arc::from(&b"shared "[..]);
    let parts: [Outgoing; 4] =
        [b"static ".into(), b"owned ".to_vec().into(), shared.into(), Buffer::from(b"buffer".to_vec()).into()];
    for (token, part) in parts.into_iter().enumerate() {
        let expected = part.to_vec();
        all.sockets().send(socket, part, token as u64).unwrap();
        let (done, bytes) = all.sent();
        assert_eq!((done, &bytes[..]), (token as u64, &expected[..]));
    }
    assert_eq!(read(&theirs, 26), b"static owned shared buffer");
}

#[test]
fn sends_of_a_socket_go_one_after_the_other_whatever_it_takes() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let bytes = pattern(2, 8 << 20);
    let mut random = fastrand::Rng::with_seed(3);
    let (mut place, mut count) = (0, 0);
    while place < bytes.len() {
        let end = (place + random.usize(0..100_000)).min(bytes.len());
        all.sockets().send(socket, bytes[place..end].to_vec(), count).unwrap();
        (place, count) = (end, count + 1);
    }
    let reader = thread::spawn(move || {
        let mut got = vec![0; bytes.len()];
        theirs.read_exact(&mut got).unwrap();
        assert!(got == bytes);
    });
    for token in 0..count {
        assert_eq!(all.sent().0, token);
    }
    reader.join().unwrap();
}

#[test]
fn a_send_waits_for_those_before_it_though_there_is_room() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let bytes = pattern(4, 16 << 20);
    // It fills the socket.
    all.sockets().send(socket, bytes.clone(), 0).unwrap();
    all.reactor.wait(&mut [Default::default()], NOW).unwrap();
    let mut got = vec![0; bytes.len()];
    // All that is there.
    theirs.set_nonblocking(true).unwrap();
    let mut place = 0;
    while let Ok(count) = theirs.read(&mut got[place..]) {
        place += count;
    }
    assert!((1..bytes.len()).contains(&place), "{place}");
    for token in 1..10 {
        all.sockets().send(socket, vec![token; 9], token.into()).unwrap();
    }
    theirs.set_nonblocking(false).unwrap();
    while place < got.len() {
        all.reactor.wait(&mut [Default::default()], NOW).unwrap();
        place += theirs.read(&mut got[place..]).unwrap();
    }
    assert!(got == bytes);
    for token in 0..10 {
        assert_eq!(all.sent().0, token);
    }
    assert_eq!(read(theirs, 81), (1..10).flat_map(|token| [token; 9]).collect::<Vec<_>>());
}

#[test]
fn many_sockets_send_at_once() {
    let mut all = Loop::new();
    // More than a submission queue holds.
    let pairs: Vec<_> = (0..700).map(|_| all.pair()).collect();
    for round in 0..3_u8 {
        for (socket, _) in &pairs {
            all.sockets().send(*socket, vec![round; 9], 0).unwrap();
        }
    }
    for _ in 0..3 * pairs.len() {
        all.sent();
    }
    for (_, theirs) in &pairs {
        assert_eq!(read(theirs, 27), [[0; 9], [1; 9], [2; 9]].concat());
    }
}

#[test]
fn no_reader_is_an_error_and_no_signal() {
    in_child("sends::no_reader_is_an_error_and_no_signal", &[], || {
        // It would end the process. Rust's programs ignore it by themselves.
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let mut all = Loop::new();
        let (socket, theirs) = all.pair();
        drop(theirs);
        for _ in 0..2 {
            all.sockets().send(socket, b"x", 1).unwrap();
            let done = all.next();
            assert_eq!((error(&done), done.is_last), (Some(Errno(libc::EPIPE)), true));
            let SocketOutcome::Sent(_, bytes) = done.outcome else { panic!() };
            assert_eq!(&bytes[..], b"x");
        }
    });
}

#[test]
fn a_refused_send_says_why_also_as_an_error_of_the_standard_librarys() {
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    all.sockets().close(socket).unwrap();
    let refused = all.sockets().send(socket, b"x", 1).unwrap_err();
    assert_eq!((refused.errno, &refused.bytes[..]), (Errno::BADF, &b"x"[..]));
    assert!(refused.to_string().contains(&Errno::BADF.to_string()));
    assert_eq!(std::io::Error::from(refused).raw_os_error(), Some(libc::EBADF));
}

#[test]
fn no_bytes_are_sent_as_well() {
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    all.sockets().send(socket, Vec::new(), 1).unwrap();
    assert_eq!(all.sent().0, 1);
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let socket = all.sockets().attach(ours).unwrap();
    all.sockets().send(socket, Vec::new(), 2).unwrap();
    assert_eq!(all.sent().0, 2);
    assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn a_message_that_is_too_long_is_an_error() {
    let mut all = Loop::new();
    let (ours, _theirs) = UnixDatagram::pair().unwrap();
    let socket = all.sockets().attach(ours).unwrap();
    all.sockets().send(socket, vec![0; 4 << 20], 1).unwrap();
    let done = all.next();
    assert_eq!(error(&done), Some(Errno(libc::EMSGSIZE)));
    all.sockets().send(socket, b"short", 2).unwrap();
    assert_eq!(all.sent().0, 2);
}

#[test]
fn a_send_for_each_that_has_ended_keeps_nobody_waiting() {
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    // No bytes: they go at once.
    all.sockets().send(socket, b"", 1).unwrap();
    for _turn in 0..10 {
        assert_eq!(all.reactor.wait(&mut [Ready::default(); 4], PATIENCE).unwrap().len(), 1);
        let mut taken = 0;
        while let Some(done) = all.sockets().take() {
            assert!(matches!(done.outcome, SocketOutcome::Sent(Ok(()), _)), "{done:?}");
            all.sockets().send(socket, b"", 1).unwrap();
            taken += 1;
            assert!(taken < 10_000, "the loop never comes to its wait");
        }
    }
}

#[test]
fn bytes_of_the_callers_are_sent_from_where_they_lie() {
    let mut all = Loop::new();
    let (socket, theirs) = all.pair();
    let bytes = b"mine".to_vec();
    // SAFETY: the bytes stay until the completion was taken.
    unsafe { all.sockets().send_borrowed(socket, bytes.as_ptr(), bytes.len(), 1) }.unwrap();
    let done = all.sent();
    assert!(
        matches!(done, (1, Outgoing::Static(sent)) if sent.as_ptr() == bytes.as_ptr() && sent.len() == 4),
        "{done:?}"
    );
    assert_eq!(read(&theirs, 4), b"mine");
}
