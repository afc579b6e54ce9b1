//! What can be watched: completions, channels, files, signals, children.

use crate::common::{PATIENCE, Scratch, queue};
use crate::{reactor, reported, waited};
use eventpoll::EventPoll;
use eventpoll::sources::{Event, unbounded};
use onewait::reactor::{Events, Interest, Reactor};
use onewait::source::{Child, Signals};
use onewait::{Buffer, Descriptor, Errno, Request};
use std::fs::File;
use std::io::Write;
use std::process::Command;

#[test]
fn a_completion_queue_is_ready_while_there_are_completions() {
    let (mut reactor, queue) = (reactor(), queue());
    reactor.registry().add(&queue, Interest::IN, 1).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = Descriptor::from(reader);
    queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    assert_eq!(reported(&mut reactor), []);
    writer.write_all(b"abc").unwrap();
    assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
    assert_eq!(reported(&mut reactor), [(1, Events::IN)], "by level");
    assert_eq!(queue.try_reap().unwrap().result, Ok(3));
    assert_eq!(reported(&mut reactor), []);
}

#[test]
fn every_completion_is_an_edge() {
    let (mut reactor, queue) = (reactor(), queue());
    reactor.registry().add(&queue, Interest::IN | Interest::EDGE, 1).unwrap();
    for _ in 0..3 {
        queue.submit(Request::no_op()).unwrap();
        assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
        assert_eq!(reported(&mut reactor), []);
    }
    assert_eq!(queue.ready(), 3);
}

#[test]
fn a_channel_and_an_event_poll_are_sources() {
    let mut reactor = reactor();
    let (sender, receiver) = unbounded();
    let (inner, event) = (EventPoll::new(), Event::new(0));
    inner.add(&event, Interest::IN, 0).unwrap();
    reactor.registry().add(&receiver, Interest::IN | Interest::EDGE, 1).unwrap();
    reactor.registry().add(&inner, Interest::IN | Interest::EDGE, 2).unwrap();
    sender.try_send("a").unwrap();
    assert_eq!(reported(&mut reactor), [(1, Events::IN)]);
    event.write(1).unwrap();
    assert_eq!(reported(&mut reactor), [(2, Events::IN)]);
    drop(sender);
    assert_eq!(reported(&mut reactor), [(1, Events::IN | Events::HUP)]);
}

#[test]
fn a_regular_file_is_always_ready() {
    let (mut reactor, scratch) = (reactor(), Scratch::new());
    let file = scratch.open();
    let both = Interest::IN | Interest::OUT;
    reactor.registry().add(&file, both, 1).unwrap();
    assert_eq!(reactor.registry().add(&file, both, 1), Err(Errno(libc::EEXIST)));
    for _ in 0..2 {
        assert_eq!(reported(&mut reactor), [(1, Events::IN | Events::OUT)]);
    }
    reactor.registry().modify(&file, Interest::OUT | Interest::ONESHOT, 2).unwrap();
    assert_eq!(reported(&mut reactor), [(2, Events::OUT)]);
    assert_eq!(reported(&mut reactor), []);
    reactor.registry().delete(&file).unwrap();
    assert_eq!(reactor.registry().delete(&file), Err(Errno(libc::ENOENT)));
    assert_eq!(reactor.registry().modify(&file, both, 1), Err(Errno(libc::ENOENT)));
}

#[test]
fn a_number_that_was_a_files_may_become_a_pipes() {
    let (mut reactor, scratch) = (reactor(), Scratch::new());
    let file = scratch.open();
    reactor.registry().add(&file, Interest::IN, 1).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&file);
    drop(file);
    // The lowest free number is given out next; other tests may take it first.
    let (reader, _writer) = std::io::pipe().unwrap();
    if std::os::fd::AsRawFd::as_raw_fd(&reader) != number {
        println!("skipped: another test took the number");
        return;
    }
    reactor.registry().add(&reader, Interest::IN, 2).unwrap();
    assert_eq!(reported(&mut reactor), []);
    reactor.registry().delete(&reader).unwrap();
}

/// A file that is closed without a word, and another file that gets its number.
#[test]
fn a_number_that_was_a_files_may_become_another_files() {
    let (mut reactor, scratches) = (reactor(), [Scratch::new(), Scratch::new()]);
    let files = scratches.each_ref().map(Scratch::open);
    // A number that nobody else is given.
    let mut number = rustix::io::fcntl_dupfd_cloexec(&files[0], 700).unwrap();
    let registry = reactor.registry().clone();
    registry.add(&number, Interest::IN, 1).unwrap();
    assert_eq!(registry.add(&number, Interest::IN, 2), Err(Errno(libc::EEXIST)), "it is the same");
    // Closes what was there, in one call, so that no other test can get the number.
    rustix::io::dup3(&files[1], &mut number, rustix::io::DupFlags::CLOEXEC).unwrap();
    assert_eq!(reported(&mut reactor), [(1, Events::IN)], "nobody has said that it is closed");
    assert_eq!(registry.modify(&number, Interest::IN, 3), Err(Errno(libc::ENOENT)));
    assert_eq!(reported(&mut reactor), [], "now it is known");
    registry.add(&number, Interest::OUT, 4).unwrap();
    assert_eq!(reported(&mut reactor), [(4, Events::OUT)]);
    rustix::io::dup3(&files[0], &mut number, rustix::io::DupFlags::CLOEXEC).unwrap();
    registry.add(&number, Interest::IN, 5).unwrap();
    assert_eq!(reported(&mut reactor), [(5, Events::IN)]);
    rustix::io::dup3(&files[1], &mut number, rustix::io::DupFlags::CLOEXEC).unwrap();
    assert_eq!(registry.delete(&number), Err(Errno(libc::ENOENT)));
    assert_eq!(reported(&mut reactor), []);
}

#[test]
fn rule_07_files_are_refused_with_eperm_if_asked_for() {
    let reactor = Reactor::builder().refuse_files().build().unwrap();
    let null = File::open("/dev/null").unwrap();
    assert_eq!(reactor.registry().add(&null, Interest::IN, 1), Err(Errno(libc::EPERM)));
    assert_eq!(reactor.registry().modify(&null, Interest::IN, 1), Err(Errno(libc::EPERM)));
    assert_eq!(reactor.registry().delete(&null), Err(Errno(libc::EPERM)));
}

#[test]
fn a_child_is_ready_once_it_has_ended() {
    let mut reactor = reactor();
    let mut children: Vec<_> = (0..20)
        .map(|code| {
            Child::spawn(
                Command::new("sh").arg("-c").arg(format!("read x; exit {code}")).stdin(std::process::Stdio::piped()),
            )
            .unwrap()
        })
        .collect();
    for (token, child) in children.iter().enumerate() {
        reactor.registry().add(child, Interest::IN | Interest::EDGE, token as u64).unwrap();
    }
    assert_eq!(reported(&mut reactor), []);
    for child in &mut children {
        drop(child.get_mut().stdin.take());
    }
    let mut ended = vec![0; children.len()];
    while ended.contains(&0) {
        for (token, events) in waited(&mut reactor, PATIENCE) {
            assert!(events.contains(Events::IN));
            ended[token as usize] += 1;
            let status = children[token as usize].try_wait().unwrap().expect("it has ended");
            assert_eq!(status.code(), Some(token as i32));
        }
    }
}

/// In a process of its own: a signal that is blocked in this thread only could be another one's.
#[test]
fn a_signal_is_an_event() {
    const VARIABLE: &str = "ONEWAIT_TEST_SIGNALS";
    if std::env::var_os(VARIABLE).is_none() {
        let name = "sources::a_signal_is_an_event";
        let itself = std::env::current_exe().unwrap();
        let status =
            Command::new(itself).args(["--exact", name, "--test-threads=1"]).env(VARIABLE, "1").status().unwrap();
        return assert!(status.success());
    }
    let mut reactor = reactor();
    let signals = Signals::new(&[libc::SIGUSR1, libc::SIGTERM]).unwrap();
    reactor.registry().add(&signals, Interest::IN, 1).unwrap();
    for signal in [libc::SIGUSR1, libc::SIGTERM] {
        assert_eq!(reported(&mut reactor), []);
        // SAFETY: no pointers; the signal is blocked in this thread, to which it goes.
        unsafe { libc::raise(signal) };
        assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
        let info = signals.read().unwrap().expect("it is there");
        assert_eq!((info.signal, info.process), (signal, std::process::id()));
        assert_eq!(signals.read(), Ok(None));
    }
    assert_eq!(Signals::new(&[libc::SIGKILL]).unwrap_err(), Errno::INVAL);
    assert_eq!(Signals::new(&[12345]).unwrap_err(), Errno::INVAL);
}
