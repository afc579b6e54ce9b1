//! Waking a thread that sleeps, on another processor: two threads that wake each other in turn.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Interest, Ready};
use rustix::thread::futex::{self, Flags};

use crate::report::{Report, Required, processor};

const SAMPLES: usize = 41;
const TURNS: u32 = 2_000;

pub(crate) fn rows(report: &mut Report) {
    if !report.wants("wake of a sleeper on another processor") {
        return;
    }
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        ours.push(by_event_polls());
        peer.push(by_futexes());
    }
    report.samples("wake of a sleeper on another processor", Required::AtMost(1.1), "futex", "µs", ours, peer);
}

fn by_event_polls() -> f64 {
    let sides = [(EventPoll::new(), Event::new(0)), (EventPoll::new(), Event::new(0))];
    for (poll, event) in &sides {
        poll.add(event, Interest::IN | Interest::EDGE, 1).unwrap();
    }
    let wait = |side: usize| {
        let mut out = [Ready::default()];
        assert_eq!(sides[side].0.wait(&mut out, None), Ok(1));
    };
    in_turn(wait, |side| sides[side].1.write(1).unwrap())
}

fn by_futexes() -> f64 {
    let words = [AtomicU32::new(0), AtomicU32::new(0)];
    let wait = |side: usize| {
        while words[side].swap(0, Ordering::Acquire) == 0 {
            let _ = futex::wait(&words[side], Flags::PRIVATE, 0, None);
        }
    };
    in_turn(wait, |side| {
        words[side].store(1, Ordering::Release);
        futex::wake(&words[side], Flags::PRIVATE, 1).unwrap();
    })
}

/// Microseconds a wake.
fn in_turn(wait: impl Fn(usize) + Sync, wake: impl Fn(usize) + Sync) -> f64 {
    let (wait, wake) = (&wait, &wake);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            processor(1);
            for _ in 0..TURNS {
                wait(1);
                wake(0);
            }
        });
        let start = Instant::now();
        for _ in 0..TURNS {
            wake(1);
            wait(0);
        }
        start.elapsed().as_nanos() as f64 / 1000.0 / f64::from(2 * TURNS)
    })
}
