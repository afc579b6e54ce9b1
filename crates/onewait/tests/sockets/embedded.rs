//! A reactor that another loop polls.

use crate::common::PATIENCE;
use crate::{Loop, NOW, client, error, read};
use onewait::Errno;
use onewait::reactor::{Reactor, Ready};
use onewait::sockets::{SocketOutcome, Sockets};
use std::io::{Read, Write};
use std::os::unix::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);

/// All that there is, as another loop takes it: the tokens, and how it failed.
fn drain(all: &mut Loop) -> Vec<(u64, Option<Errno>)> {
    let mut parts = Vec::new();
    while !all.reactor.wait(&mut [Ready::default(); 4], NOW).unwrap().is_empty() {
        while let Some(done) = all.sockets().take() {
            parts.push((done.token, error(&done)));
        }
    }
    parts
}

#[test]
fn another_loop_that_polls_the_reactor_hears_of_its_sockets() {
    let mut all = Loop::of(Reactor::builder().embeddable());
    let (socket, mut theirs) = all.pair();
    // It never waits: whatever is asked for is on its way at once.
    all.sockets().receive(socket, 1).unwrap();
    assert_eq!(drain(&mut all), []);
    for _ in 0..3 {
        assert!(!all.is_readable(20));
        theirs.write_all(b"x").unwrap();
        assert!(all.is_readable(60_000));
        assert_eq!(drain(&mut all), [(1, None)]);
        assert!(!all.is_readable(20));
        all.sockets().send(socket, b"y", 2).unwrap();
        // Before the other side reads: that would be news by itself.
        assert!(all.is_readable(60_000));
        assert_eq!(drain(&mut all), [(2, None)]);
        assert_eq!(read(&theirs, 1), b"y");
        assert_eq!(drain(&mut all), []);
    }
    // A sleep hears of them, too.
    let late = thread::spawn(move || {
        thread::sleep(SOON);
        theirs.write_all(b"x").unwrap();
        theirs
    });
    assert_eq!(&all.received().1[..], b"x");
    late.join().unwrap();
}

/// What ends in a call is told by nothing but that call.
#[test]
fn another_loop_that_polls_the_reactor_hears_of_what_ends_in_a_call() {
    let mut all = Loop::of(Reactor::builder().embeddable());
    let (socket, mut theirs) = all.pair();
    let (other, _theirs) = all.pair();
    let (listener, port) = all.listener();
    assert_eq!(drain(&mut all), []);
    let hears_of = |all: &mut Loop, expected: (u64, Option<Errno>), ask: &mut dyn FnMut(&mut Sockets)| {
        assert!(!all.is_readable(0), "before {expected:?}");
        ask(all.sockets());
        assert!(all.is_readable(1000), "{expected:?}");
        assert_eq!(drain(all), [expected]);
        assert!(!all.is_readable(0), "after {expected:?}");
    };
    let canceled = Some(Errno::CANCELED);
    for round in 0..3 {
        hears_of(&mut all, (10, None), &mut |sockets| sockets.send(socket, b"y", 10).unwrap());
        theirs.write_all(b"x").unwrap();
        assert_eq!(drain(&mut all), []);
        hears_of(&mut all, (11, None), &mut |sockets| sockets.receive_once(socket, 11).unwrap());
        // Nothing is there, and nothing is told.
        all.sockets().receive(socket, 12).unwrap();
        assert!(!all.is_readable(20), "round {round}");
        hears_of(&mut all, (12, canceled), &mut |sockets| sockets.stop(socket).unwrap());
        all.sockets().stop(socket).unwrap();
        assert!(!all.is_readable(20), "round {round}");
    }
    let _client = client(port);
    assert_eq!(drain(&mut all), []);
    hears_of(&mut all, (13, None), &mut |sockets| sockets.accept(listener, 13).unwrap());
    hears_of(&mut all, (13, canceled), &mut |sockets| sockets.close(listener).unwrap());
    let nowhere = SocketAddr::from_pathname("/nowhere/at/all").unwrap();
    let refused = Some(Errno(libc::ENOENT));
    hears_of(&mut all, (14, refused), &mut |sockets| sockets.connect(other, &nowhere, 14).unwrap());
    all.sockets().receive(socket, 15).unwrap();
    hears_of(&mut all, (15, canceled), &mut |sockets| sockets.close(socket).unwrap());
}

#[test]
fn another_loop_that_polls_the_reactor_hears_that_a_receive_without_a_buffer_was_stopped() {
    let mut all = Loop::of(Reactor::builder().embeddable().socket_memory(0));
    let pairs: Vec<_> = (0..18).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"x").unwrap();
    }
    // There are so many buffers.
    let kept: Vec<_> = (0..16).map(|_| all.received().1).collect();
    assert_eq!(drain(&mut all), []);
    for (socket, _) in &pairs[16..] {
        while all.is_readable(5) {
            assert_eq!(drain(&mut all), []);
        }
        all.sockets().stop(*socket).unwrap();
        assert!(all.is_readable(1000));
        assert_eq!(drain(&mut all), [(0, Some(Errno::CANCELED))]);
    }
    drop(kept);
}

#[test]
fn whoever_polls_the_reactor_hears_of_what_comes_while_it_looks() {
    const ROUNDS: u32 = 20_000;
    let mut all = Loop::of(Reactor::builder().embeddable());
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    let peer = thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(5);
        theirs.set_nonblocking(true).unwrap();
        let end = Instant::now() + PATIENCE.unwrap();
        for _ in 0..ROUNDS {
            theirs.write_all(b"x").unwrap();
            // Awake, so that the next comes while the loop looks for more.
            while theirs.read(&mut [0]).is_err() && Instant::now() < end {}
            for _ in 0..random.u32(0..200) {
                std::hint::spin_loop();
            }
        }
    });
    let mut echoed = 0;
    while echoed < ROUNDS {
        assert!(all.is_readable(20_000), "it is told, after {echoed}");
        all.reactor.wait(&mut [Ready::default(); 4], NOW).unwrap();
        while let Some(done) = all.sockets().take() {
            match done.outcome {
                SocketOutcome::Received(bytes) => {
                    let bytes = bytes.unwrap();
                    if !bytes.is_empty() {
                        all.sockets().send(done.socket, bytes, 2).unwrap();
                        echoed += 1;
                    }
                }
                other => assert!(matches!(other, SocketOutcome::Sent(Ok(()), _)), "{other:?}"),
            }
        }
    }
    peer.join().unwrap();
}
