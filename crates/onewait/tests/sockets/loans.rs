//! Buffers that are lent, and given back by whoever has them.

use crate::common::{PATIENCE, in_child, pattern};
use crate::{Loop, NOW, read};
use fastrand::Rng;
use onewait::reactor::Reactor;
use onewait::sockets::{Received, SocketOutcome};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// So many buffers there are, whatever the limit of memory.
const LEAST: usize = 16;

/// Streams, one a socket, to a loop that keeps nothing: threads read what it receives, keep some, and give it back.
struct Streams {
    /// For the loop's buffers, in bytes.
    memory: usize,
    sockets: usize,
    /// Bytes of a stream, and at most of a write.
    length: usize,
    longest: usize,
    /// So many buffers a thread keeps at most, before it gives all of them back.
    most_kept: usize,
}

const GIVERS: usize = 3;
const WRITERS: usize = 4;

impl Streams {
    /// How many parts came.
    fn run(&self, seed: u64) -> usize {
        let mut all = Loop::of(Reactor::builder().socket_memory(self.memory));
        let bytes: Arc<[u8]> = pattern(seed, self.length).into();
        let (mut places, mut ends) = (HashMap::new(), Vec::new());
        for _ in 0..self.sockets {
            let (socket, theirs) = all.pair();
            all.sockets().receive(socket, 0).unwrap();
            places.insert(socket, 0);
            ends.push(theirs);
        }
        let mut writers = Vec::new();
        while !ends.is_empty() {
            let mut own = ends.split_off(ends.len().saturating_sub(self.sockets.div_ceil(WRITERS)));
            let (bytes, longest, mut random) =
                (Arc::clone(&bytes), self.longest, Rng::with_seed(seed + ends.len() as u64));
            writers.push(thread::spawn(move || {
                let mut place = 0;
                while place < bytes.len() {
                    let end = (place + random.usize(1..=longest)).min(bytes.len());
                    own.iter_mut().for_each(|end_of_it| end_of_it.write_all(&bytes[place..end]).unwrap());
                    place = end;
                }
            }));
        }
        let (givers, threads): (Vec<_>, Vec<_>) = (0..GIVERS)
            .map(|number| {
                let (giver, parts) = mpsc::channel::<(usize, Received)>();
                let (bytes, most, mut random) = (Arc::clone(&bytes), self.most_kept, Rng::with_seed(number as u64));
                let thread = thread::spawn(move || {
                    let mut kept = Vec::new();
                    let mut limit = 1;
                    loop {
                        match parts.recv_timeout(Duration::from_millis(1)) {
                            Ok(part) => kept.push(part),
                            Err(mpsc::RecvTimeoutError::Timeout) => limit = 0,
                            Err(mpsc::RecvTimeoutError::Disconnected) => return,
                        }
                        if kept.len() >= limit {
                            for (place, part) in kept.drain(..) {
                                assert!(part[..] == bytes[place..place + part.len()], "at {place}");
                            }
                            limit = random.usize(1..=most);
                        }
                    }
                });
                (giver, thread)
            })
            .unzip();
        let (mut parts, mut waits) = (0, 0);
        while !places.is_empty() {
            let began = Instant::now();
            all.reactor.wait(&mut [Default::default(); 4], PATIENCE).unwrap();
            assert!(Some(began.elapsed()) < PATIENCE, "nobody wakes the loop: {places:?}");
            waits += 1;
            while let Some(done) = all.sockets().take() {
                let SocketOutcome::Received(Ok(part)) = done.outcome else { panic!("{done:?}") };
                if part.is_empty() {
                    assert_eq!(places.remove(&done.socket), Some(self.length));
                    continue;
                }
                let place = places.get_mut(&done.socket).unwrap();
                *place += part.len();
                givers[parts % GIVERS].send((*place - part.len(), part)).unwrap();
                parts += 1;
            }
        }
        // A wait ends for something that has come, or that was given back.
        assert!(waits <= 3 * (parts + self.sockets), "{waits} waits for {parts} parts");
        drop(givers);
        threads.into_iter().chain(writers).for_each(|thread| thread.join().unwrap());
        parts
    }
}

#[test]
fn threads_give_back_what_a_loop_starves_for() {
    let streams = Streams { memory: 0, sockets: 24, length: 1 << 18, longest: 3000, most_kept: 8 };
    (0..3).for_each(|seed| assert!(streams.run(seed) > streams.sockets));
}

/// Those of the old size are no use, but their memory is.
#[test]
fn threads_give_back_what_a_loop_starves_for_while_buffers_grow() {
    let streams = Streams { memory: 64 * 4096, sockets: 80, length: 1 << 18, longest: 200_000, most_kept: 30 };
    (0..3).for_each(|seed| assert!(streams.run(seed) > streams.sockets));
}

fn own_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is valid for writing.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_loop_that_starves_sleeps() {
    const TIME: Duration = Duration::from_millis(500);
    let mut all = Loop::of(Reactor::builder().socket_memory(0));
    let pairs: Vec<_> = (0..LEAST + 4).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"x").unwrap();
    }
    let kept: Vec<_> = (0..LEAST).map(|_| all.received().1).collect();
    let (began, before) = (Instant::now(), own_time());
    let mut waits = 0;
    while began.elapsed() < TIME {
        all.reactor.wait(&mut [Default::default(); 4], Some(TIME)).unwrap();
        assert!(all.sockets().take().is_none());
        waits += 1;
    }
    // Some find only now that they wait.
    assert!(waits <= 5, "{waits}");
    assert!(own_time() - before < TIME / 5);
    drop(kept);
    (0..4).for_each(|_| assert_eq!(&all.received().1[..], b"x"));
}

/// All that there is, as a loop that polls the reactor takes it.
fn drain(all: &mut Loop) -> Vec<Received> {
    let mut parts = Vec::new();
    while !all.reactor.wait(&mut [Default::default(); 4], NOW).unwrap().is_empty() {
        while let Some(done) = all.sockets().take() {
            let SocketOutcome::Received(Ok(part)) = done.outcome else { panic!("{done:?}") };
            parts.push(part);
        }
    }
    parts
}

#[test]
fn another_loop_that_polls_the_reactor_hears_of_buffers_that_come_back() {
    let mut all = Loop::of(Reactor::builder().embeddable().socket_memory(0));
    let pairs: Vec<_> = (0..LEAST + 2).map(|_| all.pair()).collect();
    let (last, others) = (&pairs[LEAST..], &pairs[..LEAST]);
    others.iter().for_each(|(socket, _)| all.sockets().receive(*socket, 0).unwrap());
    for round in 0..20 {
        others.iter().for_each(|(_, theirs)| { theirs }.write_all(b"x").unwrap());
        let mut kept = Vec::new();
        while kept.len() < LEAST {
            assert!(all.is_readable(60_000));
            kept.extend(drain(&mut all));
        }
        // What comes before it is received, and after.
        for (socket, theirs) in last {
            if round % 2 == 0 {
                { theirs }.write_all(b"y").unwrap();
            }
            all.sockets().receive_once(*socket, 0).unwrap();
            if round % 2 == 1 {
                { theirs }.write_all(b"y").unwrap();
            }
        }
        while all.is_readable(5) {
            assert!(drain(&mut all).is_empty());
        }
        let other = thread::spawn(move || drop(kept));
        let mut parts = Vec::new();
        while parts.len() < last.len() {
            assert!(all.is_readable(60_000), "round {round}");
            parts.extend(drain(&mut all));
        }
        assert!(parts.iter().all(|part| part[..] == *b"y"));
        other.join().unwrap();
    }
}

/// What was received by a reactor that is gone: threads give it back while it goes, and afterwards.
fn outlived(round: usize) {
    let mut all = Loop::of(Reactor::builder().socket_memory(0));
    // In every other round somebody waits for a buffer at the end.
    let count = if round.is_multiple_of(2) { LEAST + 4 } else { LEAST };
    let pairs: Vec<_> = (0..count).map(|_| all.pair()).collect();
    for (socket, theirs) in &pairs {
        all.sockets().receive(*socket, 0).unwrap();
        { theirs }.write_all(b"what was received").unwrap();
    }
    let mut early: Vec<_> = (0..LEAST).map(|_| all.received().1).collect();
    all.reactor.wait(&mut [Default::default(); 4], NOW).unwrap();
    assert!(all.sockets().take().is_none());
    let late = early.split_off(LEAST / 2);
    // One goes while the reactor has it.
    all.sockets().send(pairs[0].0, early.pop().unwrap(), 1).unwrap();
    let both = Arc::new(Barrier::new(2));
    let other = thread::spawn({
        let both = Arc::clone(&both);
        move || {
            both.wait();
            drop(early);
        }
    });
    both.wait();
    drop(all);
    other.join().unwrap();
    let last = thread::spawn(move || late.iter().for_each(|bytes| assert_eq!(&bytes[..], b"what was received")));
    last.join().unwrap();
}

#[test]
fn what_was_received_outlives_the_reactor() {
    (0..200).for_each(outlived);
}

/// What is allocated now, in bytes.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's, but for the counting.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn what_outlives_the_reactor_leaves_nothing_behind() {
    in_child("loans::what_outlives_the_reactor_leaves_nothing_behind", &[], || {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        (0..2).for_each(outlived);
        let before = (ALLOCATED.load(Ordering::Relaxed), descriptors());
        (0..40).for_each(outlived);
        // A page for each buffer would be 2 MiB.
        let left = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before.0);
        assert!(left < 64 << 10, "{left} bytes");
        assert_eq!(descriptors(), before.1);
    });
}

#[test]
fn what_was_received_can_be_changed_where_it_is() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 0).unwrap();
    theirs.write_all(b"hello").unwrap();
    let mut bytes = all.received().1;
    bytes.make_ascii_uppercase();
    all.sockets().send(socket, bytes, 1).unwrap();
    assert_eq!(&all.sent().1[..], b"HELLO");
    assert_eq!(read(theirs, 5), b"HELLO");
}

/// The first part of a long write fills its buffer.
#[test]
fn buffers_follow_what_comes_in_both_directions() {
    let mut all = Loop::new();
    let (socket, mut theirs) = all.pair();
    all.sockets().receive(socket, 0).unwrap();
    let mut first_of = |length: usize| {
        theirs.write_all(&vec![1; length]).unwrap();
        let first = all.received().1.len();
        let mut left = length - first;
        while left > 0 {
            left -= all.received().1.len();
        }
        first
    };
    assert_eq!(first_of(1 << 16), 4 << 10);
    // The kernel may have many of the old size.
    assert!((0..2000).any(|_| first_of(1 << 16) == 64 << 10));
    (0..6000).for_each(|_| _ = first_of(1));
    assert_eq!(first_of(1 << 16), 4 << 10);
}
