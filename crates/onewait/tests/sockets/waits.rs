//! One wait for sockets and all else.

use crate::common::{PATIENCE, in_child, seccomp};
use crate::{Loop, NOW, read};
use eventpoll::sources::{Sender, unbounded};
use onewait::reactor::{Events, Interest, Reactor, Ready, Registry};
use onewait::sockets::SocketOutcome;
use onewait::{Choice, DriverKind, Errno};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);

fn waited(reactor: &mut Reactor, timeout: Option<Duration>) -> Vec<(u64, Events)> {
    let mut events = [Ready::default(); 16];
    let found = reactor.wait(&mut events, timeout).unwrap();
    found.iter().map(|ready| (ready.token, ready.events)).collect()
}

/// What a wait reports that begins before the work is done.
fn reported_after(reactor: &mut Reactor, work: impl FnOnce() + Send) -> Vec<(u64, Events)> {
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(SOON);
            work();
        });
        waited(reactor, PATIENCE)
    })
}

#[test]
fn whatever_comes_ends_the_sleep() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (sender, receiver) = unbounded();
    let registry = all.reactor.registry().clone();
    registry.add(&receiver, Interest::IN, 11).unwrap();
    for round in 0..3 {
        assert_eq!(
            reported_after(&mut all.reactor, || theirs.write_all(b"x").unwrap()),
            [(Reactor::SOCKETS, Events::IN)]
        );
        assert_eq!(&all.received().1[..], b"x");
        assert_eq!(reported_after(&mut all.reactor, || sender.try_send(1).unwrap()), [(11, Events::IN)]);
        assert_eq!(receiver.try_recv(), Ok(1));
        let waker = registry.waker();
        assert_eq!(reported_after(&mut all.reactor, || waker.wake()), []);
        all.reactor.arm_timer_in(SOON, 12).unwrap();
        assert_eq!(waited(&mut all.reactor, PATIENCE), [(12, Events::IN)]);
        let before = Instant::now();
        assert_eq!(waited(&mut all.reactor, Some(SOON)), []);
        assert!(before.elapsed() >= SOON);
        // Before a descriptor is watched, and after.
        if round == 0 {
            registry.add(&reader, Interest::IN, 10).unwrap();
        }
        assert_eq!(reported_after(&mut all.reactor, || writer.write_all(b"x").unwrap()), [(10, Events::IN)]);
        reader.read_exact(&mut [0]).unwrap();
    }
}

#[test]
fn a_first_descriptor_that_another_thread_adds_wakes_who_sleeps() {
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    let registry = all.reactor.registry().clone();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    let found = reported_after(&mut all.reactor, || registry.add(&reader, Interest::IN, 5).unwrap());
    assert_eq!(found, [(5, Events::IN)]);
}

#[test]
fn a_turn_of_sockets_alone_makes_no_other_system_calls_than_its_drivers() {
    in_child("waits::a_turn_of_sockets_alone_makes_no_other_system_calls_than_its_drivers", &[], || {
        thread::spawn(|| {
            let mut all = Loop::new();
            let (socket, theirs) = all.pair();
            all.sockets().receive(socket, 1).unwrap();
            let mut forbidden = vec![libc::SYS_epoll_ctl, libc::SYS_write];
            forbidden.extend(match all.sockets().driver() {
                DriverKind::Uring => {
                    [libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_recvfrom, libc::SYS_sendto].as_slice()
                }
                DriverKind::Epoll => [libc::SYS_io_uring_enter].as_slice(),
            });
            let peer = thread::spawn(move || {
                for round in 0..1_000_u32 {
                    (&theirs).write_all(&round.to_le_bytes()).unwrap();
                    assert_eq!(read(&theirs, 4), round.to_le_bytes());
                }
                theirs
            });
            seccomp::install(
                libc::SECCOMP_RET_ALLOW,
                &forbidden.into_iter().map(|call| (call, libc::SECCOMP_RET_KILL_PROCESS)).collect::<Vec<_>>(),
            );
            for _ in 0..1_000 {
                let (socket, bytes) = loop {
                    let done = all.next();
                    match done.outcome {
                        SocketOutcome::Received(bytes) => break (done.socket, bytes.unwrap()),
                        SocketOutcome::Sent(result, _) => result.unwrap(),
                        other => panic!("{other:?}"),
                    }
                };
                all.sockets().send(socket, bytes, 2).unwrap();
            }
            all.sent();
            drop(peer);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn the_token_is_of_ones_choice() {
    let mut all = Loop::of(Reactor::builder().sockets_token(42));
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    theirs.write_all(b"x").unwrap();
    assert_eq!(waited(&mut all.reactor, PATIENCE), [(42, Events::IN)]);
    // Until it is taken.
    assert_eq!(waited(&mut all.reactor, NOW), [(42, Events::IN)]);
    assert_eq!(&all.received().1[..], b"x");
    assert_eq!(waited(&mut all.reactor, NOW), []);
}

#[test]
fn a_socket_that_is_always_ready_starves_nobody() {
    let mut all = Loop::new();
    let (busy, mut theirs) = all.pair();
    let (quiet, mut other) = all.pair();
    let (reader, mut writer) = std::io::pipe().unwrap();
    all.reactor.registry().add(&reader, Interest::IN, 3).unwrap();
    all.sockets().receive(busy, 1).unwrap();
    all.sockets().receive(quiet, 2).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut fill = move || while theirs.write(&[0; 4096]).is_ok() {};
    fill();
    other.write_all(b"x").unwrap();
    writer.write_all(b"x").unwrap();
    all.reactor.arm_timer_in(Duration::ZERO, 4).unwrap();
    let (mut found, mut turns) = ([false; 3], 0);
    while found != [true; 3] {
        turns += 1;
        assert!(turns < 100, "{found:?}");
        for (token, _) in waited(&mut all.reactor, PATIENCE) {
            match token {
                3 => found[0] = true,
                4 => found[1] = true,
                _ => {}
            }
        }
        let mut taken = 0;
        while let Some(done) = all.sockets().take() {
            found[2] |= done.token == 2;
            taken += 1;
            fill();
            assert!(taken < 5000, "a turn ends");
        }
    }
}

/// What comes is reported within a few turns, whatever room there is, and whatever else is ready.
fn hears_of_each(all: &mut Loop, theirs: &mut UnixStream) {
    for room in [1, 2, 4, 8] {
        theirs.write_all(b"x").unwrap();
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 20, "room for {room}");
            let mut events = vec![Ready::default(); room];
            let found = all.reactor.wait(&mut events, PATIENCE).unwrap();
            assert!(!found.is_empty());
            if found.iter().any(|ready| ready.token == Reactor::SOCKETS) {
                break;
            }
        }
        assert_eq!(&all.received().1[..], b"x");
    }
}

#[test]
fn descriptors_that_are_always_ready_do_not_keep_sockets_waiting() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let ends: Vec<_> = (0..8).map(|_| UnixStream::pair().unwrap()).collect();
    for (number, (end, _)) in ends.iter().enumerate() {
        all.reactor.registry().add(end, Interest::OUT, number as u64).unwrap();
    }
    all.sockets().receive(socket, 100).unwrap();
    hears_of_each(&mut all, &mut theirs);
}

#[test]
fn sources_that_are_always_ready_do_not_keep_sockets_waiting() {
    sources_do_not_keep_sockets_waiting(|registry, source, number| registry.add(source, Interest::OUT, number));
    sources_do_not_keep_sockets_waiting(|registry, source, number| registry.add_urgent(source, Interest::OUT, number));
}

fn sources_do_not_keep_sockets_waiting(add: fn(&Registry, &Sender<u8>, u64) -> Result<(), Errno>) {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    let ends: Vec<_> = (0..8).map(|_| unbounded::<u8>()).collect();
    for (number, (sender, _)) in ends.iter().enumerate() {
        add(all.reactor.registry(), sender, number as u64).unwrap();
    }
    all.sockets().receive(socket, 100).unwrap();
    hears_of_each(&mut all, &mut theirs);
}

#[test]
fn a_signal_ends_the_sleep_with_eintr() {
    extern "C" fn nothing(_: libc::c_int) {}
    let mut all = Loop::new();
    let (socket, _theirs) = all.pair();
    all.sockets().receive(socket, 1).unwrap();
    let handler: extern "C" fn(libc::c_int) = nothing;
    // SAFETY: the handler does nothing; without SA_RESTART, though sleeps are not restarted anyway.
    let us = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
        libc::pthread_self()
    };
    let sender = thread::spawn(move || {
        thread::sleep(SOON);
        // SAFETY: the thread waits for this one.
        unsafe { libc::pthread_kill(us, libc::SIGUSR2) };
    });
    let waited = all.reactor.wait(&mut [Ready::default(); 4], PATIENCE).map(<[_]>::len);
    assert_eq!(waited, Err(Errno::INTR));
    sender.join().unwrap();
}

#[test]
fn where_io_uring_is_refused_the_other_driver_does_the_same() {
    in_child("waits::where_io_uring_is_refused_the_other_driver_does_the_same", &[], || {
        seccomp::refuse_io_uring(libc::EPERM);
        let mut all = Loop::of(Reactor::builder().driver(Choice::Probe));
        assert_eq!(all.sockets().driver(), DriverKind::Epoll);
        let (socket, mut theirs) = all.pair();
        all.sockets().receive(socket, 1).unwrap();
        theirs.write_all(b"x").unwrap();
        assert_eq!(&all.received().1[..], b"x");
        let mut strict = Reactor::builder().driver(Choice::Strict(DriverKind::Uring)).build().unwrap();
        assert_eq!(strict.sockets().map(drop), Err(Errno(libc::EPERM)));
    });
}
