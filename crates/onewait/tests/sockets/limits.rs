//! What is bounded.

use crate::common::in_child;
use crate::{Loop, NOW, client, error};
use onewait::Errno;
use onewait::reactor::Reactor;
use onewait::sockets::SocketOutcome;
use std::fs::File;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

/// A loop with the fewest buffers.
fn small() -> Loop {
    Loop::of(Reactor::builder().socket_memory(0))
}

#[test]
fn while_all_buffers_are_kept_nothing_is_received_and_nothing_is_lost() {
    let mut all = small();
    let pairs: Vec<_> = (0..40).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"x").unwrap();
    }
    let mut kept = Vec::new();
    let mut found = std::collections::HashSet::new();
    while found.len() < pairs.len() {
        match all.sockets().take() {
            Some(done) => {
                let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!("{done:?}") };
                assert_eq!(&bytes[..], b"x");
                assert!(found.insert(done.socket));
                kept.push(bytes);
                assert!(kept.len() <= 16);
            }
            None => {
                all.reactor.wait(&mut [Default::default(); 4], NOW).unwrap();
                if kept.len() == 16 {
                    assert!(all.is_quiet());
                    kept.truncate(9);
                }
            }
        }
    }
}

#[test]
fn buffers_have_the_memory_that_they_are_given_and_no_more() {
    for count in [20, 50] {
        let mut all = Loop::of(Reactor::builder().socket_memory(count * 4096 + 4095));
        let pairs: Vec<_> = (0..count + 10).map(|_| all.pair()).collect();
        for (socket, theirs) in &pairs {
            all.sockets().receive(*socket, 0).unwrap();
            { theirs }.write_all(b"x").unwrap();
        }
        let mut kept: Vec<_> = (0..count).map(|_| all.received().1).collect();
        assert!(all.is_quiet());
        kept.truncate(count - 3);
        kept.extend((0..3).map(|_| all.received().1));
        assert!(all.is_quiet());
    }
}

#[test]
fn a_receive_that_waits_for_a_buffer_can_be_stopped() {
    let mut all = small();
    let pairs: Vec<_> = (0..18).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        { theirs }.write_all(b"x").unwrap();
        if *socket != pairs[17].0 {
            all.sockets().receive(*socket, 0).unwrap();
        }
    }
    let kept: Vec<_> = (0..16).map(|_| all.received().1).collect();
    assert!(all.is_quiet());
    // One that finds out only then, one that is known to wait, and those that have received.
    all.sockets().receive(pairs[17].0, 1).unwrap();
    for (socket, _) in pairs.iter().rev() {
        let socket = *socket;
        all.sockets().stop(socket).unwrap();
        let done = all.next();
        assert_eq!((done.socket, error(&done), done.is_last), (socket, Some(Errno::CANCELED), true));
    }
    drop(kept);
    assert!(all.is_quiet());
    for (socket, _) in &pairs {
        all.sockets().receive(*socket, 2).unwrap();
    }
    (0..2).for_each(|_| assert_eq!(&all.received().1[..], b"x"));
    assert!(all.is_quiet());
}

/// More than a submission queue holds, and each has something.
#[test]
fn a_crowd_that_waits_for_buffers_is_served() {
    let mut all = small();
    let pairs: Vec<_> = (0..600).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"x").unwrap();
    }
    // Kept until all others have found none.
    let kept: Vec<_> = (0..16).map(|_| all.received().1).collect();
    assert!(all.is_quiet());
    drop(kept);
    for _ in 16..pairs.len() {
        assert_eq!(&all.received().1[..], b"x");
    }
}

#[test]
fn those_behind_the_ones_who_left_a_crowd_are_served() {
    let mut all = small();
    let mut sockets: Vec<_> = (0..1100)
        .map(|_| {
            let (socket, mut theirs) = all.pair();
            theirs.write_all(b"x").unwrap();
            all.sockets().receive_once(socket, 0).unwrap();
            socket
        })
        .collect();
    let kept: Vec<_> = (0..16).map(|_| all.received()).collect();
    assert!(all.is_quiet());
    sockets.retain(|socket| kept.iter().all(|(other, _)| socket != other));
    for socket in sockets.drain(..40) {
        all.sockets().close(socket).unwrap();
        assert_eq!(error(&all.next()), Some(Errno::CANCELED));
    }
    drop(kept);
    for _ in &sockets {
        assert_eq!(&all.received().1[..], b"x");
    }
}

#[test]
fn whatever_comes_to_who_waits_for_a_buffer_it_waits_once() {
    let mut all = small();
    let pairs: Vec<_> = (0..25).map(|_| all.pair()).collect();
    let begin = |all: &mut Loop, number: usize| {
        let (socket, mut theirs) = (pairs[number].0, &pairs[number].1);
        all.sockets().receive(socket, 0).unwrap();
        theirs.write_all(b"x").unwrap();
    };
    (0..16).for_each(|number| begin(&mut all, number));
    let kept: Vec<_> = (0..16).map(|_| all.received().1).collect();
    let (waiting, last) = (&pairs[16..24], pairs[24].0);
    (16..24).for_each(|number| begin(&mut all, number));
    for _ in 0..150 {
        for (_, theirs) in waiting {
            { theirs }.write_all(b"x").unwrap();
            all.reactor.wait(&mut [Default::default(); 4], NOW).unwrap();
            assert!(all.sockets().take().is_none());
        }
    }
    begin(&mut all, 24);
    assert!(all.is_quiet());
    for (socket, _) in waiting {
        all.sockets().stop(*socket).unwrap();
        assert_eq!(error(&all.next()), Some(Errno::CANCELED));
    }
    drop(kept);
    let (socket, bytes) = all.received();
    assert_eq!((socket, &bytes[..]), (last, &b"x"[..]));
}

#[test]
fn a_buffer_that_another_thread_gives_back_wakes_the_loop() {
    a_buffer_that_comes_back_wakes(small());
    // Most of the time it looks for events then.
    a_buffer_that_comes_back_wakes(Loop::of(Reactor::builder().socket_memory(0).spin(Duration::from_millis(20))));
}

fn a_buffer_that_comes_back_wakes(mut all: Loop) {
    let pairs: Vec<_> = (0..17).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"x").unwrap();
    }
    let mut kept: Vec<_> = (0..16).map(|_| all.received().1).collect();
    assert!(all.is_quiet());
    let last = kept.pop();
    let other = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(last);
    });
    loop {
        // Woken, it waits again.
        if let Some(done) = all.sockets().take() {
            assert_eq!(error(&done), None);
            break;
        }
        all.reactor.wait(&mut [Default::default(); 4], crate::common::PATIENCE).unwrap();
    }
    other.join().unwrap();
}

/// Of larger buffers there may be fewer: until so many have come back, none is made.
#[test]
fn smaller_buffers_that_come_back_one_by_one_make_room_for_larger_ones() {
    const COUNT: usize = 64;
    let mut all = Loop::of(Reactor::builder().socket_memory(COUNT * 4096));
    let pairs: Vec<_> = (0..COUNT).map(|_| all.pair()).collect();
    for (socket, _) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
    }
    let (last, others) = pairs.split_last().unwrap();
    let mut kept = Vec::new();
    for (_, theirs) in &others[..COUNT - 4] {
        { theirs }.write_all(b"x").unwrap();
        kept.push(all.received().1);
    }
    // Enough for them to grow.
    { &last.1 }.write_all(&[1; 4 * 4096]).unwrap();
    (0..4).for_each(|_| assert_eq!(all.received().1.len(), 4096));
    { &last.1 }.write_all(b"y").unwrap();
    assert!(all.is_quiet());
    let other = thread::spawn(move || {
        for bytes in kept {
            thread::sleep(Duration::from_millis(1));
            drop(bytes);
        }
    });
    assert_eq!(&all.received().1[..], b"y");
    other.join().unwrap();
}

#[test]
fn too_many_sends_are_refused_with_their_bytes() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let mut count = 0;
    let refused = loop {
        match all.sockets().send(socket, vec![1; 64], count) {
            Ok(()) => count += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.errno, &refused.bytes[..]), (Errno::AGAIN, &[1; 64][..]));
    assert_eq!(count, 1 << 16);
    // Those that have ended count until they are taken.
    theirs.set_nonblocking(true).unwrap();
    let mut read = 0;
    for _ in 0..100 {
        read += theirs.read(&mut [0; 4096]).unwrap_or(0);
        all.reactor.wait(&mut [Default::default()], NOW).unwrap();
    }
    assert!(read >= 64, "{read}");
    theirs.set_nonblocking(false).unwrap();
    assert_eq!(all.sockets().send(socket, b"x", 0).unwrap_err().errno, Errno::AGAIN);
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; (64 << 16) - read];
        theirs.read_exact(&mut bytes).unwrap();
        theirs
    });
    for token in 0..count {
        assert_eq!(all.sent().0, token);
    }
    reader.join().unwrap();
    all.sockets().send(socket, b"again", 0).unwrap();
}

#[test]
fn without_descriptors_connections_are_shed_and_then_taken_again() {
    in_child("limits::without_descriptors_connections_are_shed_and_then_taken_again", &[], || {
        let mut all = Loop::new();
        let (listener, port) = all.listener();
        all.sockets().accept(listener, 0).unwrap();
        let mut clients: Vec<_> = (0..8).map(|_| client(port)).collect();
        let sockets: Vec<_> = (0..8).map(|_| all.accepted()).collect();
        // Connections that wait while there are no descriptors.
        all.sockets().stop(listener).unwrap();
        assert_eq!(error(&all.next()), Some(Errno::CANCELED));
        clients.extend((0..5).map(|_| client(port)));
        let few = libc::rlimit { rlim_cur: 200, rlim_max: 200 };
        // SAFETY: the structure outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
        let held: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        all.sockets().accept(listener, 1).unwrap();
        let done = all.next();
        assert_eq!((done.token, error(&done), done.is_last), (1, Some(Errno(libc::EMFILE)), false));
        for client in &mut clients[8..] {
            // Closed: by an end, or by a reset.
            assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
        }
        // Those that were there before are served.
        all.sockets().receive(sockets[0], 2).unwrap();
        clients[0].write_all(b"x").unwrap();
        let bytes = loop {
            let done = all.next();
            match done.outcome {
                SocketOutcome::Received(Ok(bytes)) => break bytes,
                SocketOutcome::Accepted(Err(Errno(libc::EMFILE))) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(&bytes[..], b"x");
        drop(held);
        let _late = client(port);
        loop {
            match all.next().outcome {
                SocketOutcome::Accepted(Ok(_)) => break,
                SocketOutcome::Accepted(Err(Errno(libc::EMFILE))) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}
