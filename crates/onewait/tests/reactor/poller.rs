//! `poll` and `select`, beside the kernel's.

use crate::NOW;
use crate::common::{PATIENCE, Scratch};
use eventpoll::sources::{Event, unbounded};
use onewait::reactor::{Events, PollEntry, Poller, Selected, Watchable};
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Descriptors in all sorts of states, with what keeps them so.
fn descriptors(file: &Scratch) -> (Vec<OwnedFd>, Vec<OwnedFd>) {
    let (mut seen, mut kept) = (Vec::<OwnedFd>::new(), Vec::<OwnedFd>::new());
    let pipe = || std::io::pipe().unwrap();
    let (reader, writer) = pipe();
    seen.push(reader.into());
    seen.push(writer.into());
    let (reader, mut writer) = pipe();
    writer.write_all(b"x").unwrap();
    seen.push(reader.into());
    kept.push(writer.into());
    let (reader, writer) = pipe();
    drop(writer);
    seen.push(reader.into());
    let (reader, writer) = pipe();
    drop(reader);
    seen.push(writer.into());
    let (reader, mut writer) = pipe();
    writer.write_all(&[0; 65_536]).unwrap();
    seen.push(writer.into());
    kept.push(reader.into());
    let (one, mut other) = UnixStream::pair().unwrap();
    other.write_all(b"x").unwrap();
    seen.push(one.into());
    kept.push(other.into());
    let (one, other) = UnixStream::pair().unwrap();
    other.shutdown(std::net::Shutdown::Write).unwrap();
    seen.push(one.into());
    kept.push(other.into());
    let (one, other) = UnixStream::pair().unwrap();
    drop(other);
    seen.push(one.into());
    seen.push(file.open().into_owned().unwrap());
    seen.push(File::open("/dev/null").unwrap().into());
    (seen, kept)
}

#[test]
fn poll_says_of_descriptors_what_the_kernels_says() {
    let scratch = Scratch::new();
    let (descriptors, _kept) = descriptors(&scratch);
    let mut poller = Poller::new().unwrap();
    for bits in [Events::IN, Events::OUT, Events::IN | Events::OUT | Events::PRI | Events::RDHUP, Events::empty()] {
        let mut entries: Vec<_> = descriptors.iter().map(|fd| PollEntry::new(fd, bits)).collect();
        let count = poller.poll(&mut entries, NOW).unwrap();
        let entry = |fd: &OwnedFd| libc::pollfd { fd: fd.as_raw_fd(), events: bits.bits() as i16, revents: 0 };
        let mut oracle: Vec<_> = descriptors.iter().map(entry).collect();
        // SAFETY: so many entries are valid for the call.
        let expected = unsafe { libc::poll(oracle.as_mut_ptr(), oracle.len() as libc::nfds_t, 0) };
        let ready: Vec<_> = entries.iter().map(|entry| entry.ready().bits() as i16).collect();
        assert_eq!(ready, oracle.iter().map(|entry| entry.revents).collect::<Vec<_>>(), "{bits:?}");
        assert_eq!(count, expected as usize);
    }
}

#[test]
fn select_says_of_descriptors_what_the_kernels_says() {
    let scratch = Scratch::new();
    let (descriptors, _kept) = descriptors(&scratch);
    let mut poller = Poller::new().unwrap();
    let lists: Vec<&dyn Watchable> = descriptors.iter().map(|fd| fd as &dyn Watchable).collect();
    for (place, _) in descriptors.iter().enumerate().chain([(usize::MAX, &descriptors[0])]) {
        // Each alone, and all of them.
        let these: Vec<usize> = (0..descriptors.len()).filter(|other| place == usize::MAX || *other == place).collect();
        let list: Vec<&dyn Watchable> = these.iter().map(|place| lists[*place]).collect();
        let ours = poller.select(&list, &list, &list, NOW).unwrap();
        // SAFETY: `FD_ZERO` initialises a set.
        let mut sets = [(); 3].map(|()| unsafe {
            let mut set = MaybeUninit::<libc::fd_set>::uninit();
            libc::FD_ZERO(set.as_mut_ptr());
            set.assume_init()
        });
        let numbers: Vec<_> = these.iter().map(|place| descriptors[*place].as_raw_fd()).collect();
        assert!(numbers.iter().all(|number| (*number as usize) < libc::FD_SETSIZE));
        for set in &mut sets {
            // SAFETY: the numbers are below FD_SETSIZE.
            numbers.iter().for_each(|number| unsafe { libc::FD_SET(*number, set) });
        }
        let highest = numbers.iter().max().unwrap() + 1;
        let mut zero = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let [read, write, except] = &mut sets;
        // SAFETY: the sets and the time are valid for the call.
        assert!(unsafe { libc::select(highest, read, write, except, &raw mut zero) } >= 0);
        let of = |set: &libc::fd_set| {
            // SAFETY: the numbers are below FD_SETSIZE.
            let is_set = |place: &usize| unsafe { libc::FD_ISSET(numbers[*place], set) };
            (0..numbers.len()).filter(is_set).collect::<Vec<_>>()
        };
        let kernels = Selected { readable: of(&sets[0]), writable: of(&sets[1]), exceptional: of(&sets[2]) };
        assert_eq!(ours, kernels);
    }
}

#[test]
fn a_hang_up_does_not_end_a_select_for_writing() {
    let (mut poller, event) = (Poller::new().unwrap(), Arc::new(Event::new(0)));
    let (sender, receiver) = unbounded::<u8>();
    drop(sender);
    // The receiver's level is HUP for ever.
    let writer = {
        let event = Arc::clone(&event);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            event.write(1).unwrap();
        })
    };
    let found = poller.select(&[&event], &[&receiver], &[], PATIENCE).unwrap();
    assert_eq!(found, Selected { readable: vec![0], ..Selected::default() });
    writer.join().unwrap();
}

#[test]
fn descriptors_and_sources_end_in_one_poll_and_nothing_stays() {
    let mut poller = Poller::new().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (sender, receiver) = unbounded();
    for _ in 0..3 {
        let mut entries = [PollEntry::new(&reader, Events::IN), PollEntry::new(&receiver, Events::IN)];
        assert_eq!(poller.poll(&mut entries, NOW), Ok(0));
        sender.try_send(1).unwrap();
        assert_eq!(poller.poll(&mut entries, PATIENCE), Ok(1));
        assert_eq!(entries.map(|entry| entry.ready()), [Events::empty(), Events::IN]);
        writer.write_all(b"x").unwrap();
        assert_eq!(poller.poll(&mut entries, PATIENCE), Ok(2));
        assert_eq!(poller.poll(&mut entries[..1], PATIENCE), Ok(1), "it is not asked for the other");
        receiver.try_recv().unwrap();
        std::io::Read::read_exact(&mut &reader, &mut [0]).unwrap();
    }
    assert_eq!(poller.poll(&mut [], NOW), Ok(0));
}

#[test]
fn a_source_that_another_thread_notifies_ends_a_poll() {
    let (mut poller, event) = (Poller::new().unwrap(), Arc::new(Event::new(0)));
    for _ in 0..500 {
        let notifier = {
            let event = Arc::clone(&event);
            thread::spawn(move || event.write(1).unwrap())
        };
        let mut entries = [PollEntry::new(&event, Events::IN)];
        assert_eq!(poller.poll(&mut entries, PATIENCE), Ok(1));
        notifier.join().unwrap();
        assert_eq!(event.read(), Ok(1));
    }
}

#[test]
fn the_same_thing_may_be_in_several_entries() {
    let (mut poller, event) = (Poller::new().unwrap(), Event::new(1));
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut entries = [
        PollEntry::new(&event, Events::PRI),
        PollEntry::new(&writer, Events::OUT),
        PollEntry::new(&event, Events::OUT),
        PollEntry::new(&writer, Events::IN),
        PollEntry::new(&event, Events::IN),
    ];
    assert_eq!(poller.poll(&mut entries, NOW), Ok(3));
    let none = Events::empty();
    assert_eq!(entries.map(|entry| entry.ready()), [none, Events::OUT, Events::OUT, none, Events::IN]);
}

#[test]
fn a_poll_is_never_early() {
    let (mut poller, event) = (Poller::new().unwrap(), Event::new(0));
    for micros in [0, 1, 999, 15_000] {
        let (begin, timeout) = (Instant::now(), Duration::from_micros(micros));
        assert_eq!(poller.poll(&mut [PollEntry::new(&event, Events::IN)], Some(timeout)), Ok(0));
        assert!(begin.elapsed() >= timeout);
        let nothing = poller.select(&[&event], &[], &[], Some(timeout)).unwrap();
        assert_eq!(nothing, Selected::default());
    }
}

#[test]
fn numbers_have_no_limit() {
    let mut poller = Poller::new().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let number = unsafe { libc::fcntl(reader.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, 1500) };
    if number < 0 {
        println!("skipped: the limit on descriptors is below 1500");
        return;
    }
    // SAFETY: just made, owned by nobody else.
    let high = unsafe { OwnedFd::from_raw_fd(number) };
    assert_eq!(poller.select(&[&high], &[], &[], NOW).unwrap(), Selected::default());
    writer.write_all(b"x").unwrap();
    assert_eq!(poller.select(&[&high], &[], &[], PATIENCE).unwrap().readable, [0]);
}
