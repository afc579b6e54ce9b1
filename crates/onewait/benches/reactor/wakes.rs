//! Waking a reactor from another processor while its thread is at work.
//!
//! That makes no system call: `strace -f -c` counts as many calls of `write` as the peer's eventfd and the table make, and no
//! `futex` but for the threads' ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventpoll::sources::Event;
use onewait::reactor::{Interest, Reactor, Ready};

use crate::kernel::Eventfd;
use crate::report::{Report, Required, nanoseconds, processor};

const SAMPLES: usize = 41;
const WAKES: usize = 20_000;
/// What is done with an event, where a loop does a little: a hundred nanoseconds or so.
const WORK: usize = 100;

pub(crate) fn rows(report: &mut Report) {
    if report.wants("wake while the loop handles an event") {
        let (waker, eventfd) = (Reactor::new().unwrap().registry().waker(), Eventfd::new());
        let (mut ours, mut peer) = (Vec::new(), Vec::new());
        elsewhere(|| {
            for _ in 0..SAMPLES {
                ours.push(nanoseconds(&mut |count| (0..count).for_each(|_| waker.wake()), WAKES));
                peer.push(nanoseconds(&mut |count| (0..count).for_each(|_| eventfd.write()), WAKES));
            }
        });
        report.samples("wake while the loop handles an event", Required::Below(20.0), "eventfd", "ns", ours, peer);
    }
    if report.wants("wake while the loop turns") {
        while_turning(report);
    }
}

/// The loop reports an event in each turn, and each turn looks where a wake is noted.
fn while_turning(report: &mut Report) {
    let (mut reactor, event, stop) = (Reactor::new().unwrap(), Event::new(1), AtomicBool::new(false));
    reactor.registry().add(&event, Interest::IN, 1).unwrap();
    let (waker, eventfd) = (reactor.registry().waker(), Eventfd::new());
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            processor(0);
            let mut out = [Ready::default(); 64];
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(reactor.wait(&mut out, Some(Duration::MAX)).unwrap().len(), 1);
                for step in 0..WORK {
                    std::hint::black_box(step);
                }
            }
        });
        processor(1);
        for _ in 0..SAMPLES {
            ours.push(nanoseconds(&mut |count| (0..count).for_each(|_| waker.wake()), WAKES));
            peer.push(nanoseconds(&mut |count| (0..count).for_each(|_| eventfd.write()), WAKES));
        }
        stop.store(true, Ordering::Relaxed);
    });
    processor(0);
    report.samples("wake while the loop turns", Required::Below(20.0), "eventfd", "ns", ours, peer);
}

/// On the other processor, in a thread of its own.
fn elsewhere(what: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            processor(1);
            what();
        });
    });
}
