//! A waiter that is woken in the moment in which its time is over.

use std::hint;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::bits::{ET, IN};
use crate::common::both;
use crate::common::tasks::{self, Moment};
use crate::common::world::{Counter, Event, Poll, Watched, World};

both!(rule_59_who_is_woken_as_it_times_out_harvests);

const ROUNDS: u64 = 1000;
const TIMEOUT: Duration = Duration::from_micros(60);

/// One thread waits for ever, and one, asleep later and so woken first, for a short time. If the second one leaves
/// without the edge that it was woken for, the first sleeps on, and nobody has it.
fn rule_59_who_is_woken_as_it_times_out_harvests<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    let (seen, patient) = (AtomicU64::new(0), AtomicI32::new(0));
    let [go, started, returned] = [(); 3].map(|()| AtomicU64::new(0));
    let end = AtomicBool::new(false);
    let (mut lost, mut reported) = (None, 0);
    let mut random = fastrand::Rng::with_seed(59);
    thread::scope(|scope| {
        scope.spawn(|| {
            patient.store(tasks::current(), Ordering::Release);
            while !end.load(Ordering::Acquire) {
                let stored = poll.wait_into(&mut [Event::default()], None).unwrap();
                seen.fetch_add(stored as u64, Ordering::AcqRel);
            }
        });
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                while go.load(Ordering::Acquire) < round {
                    thread::yield_now();
                }
                started.store(round, Ordering::Release);
                let stored = poll.wait_into(&mut [Event::default()], Some(TIMEOUT)).unwrap();
                seen.fetch_add(stored as u64, Ordering::AcqRel);
                returned.store(round, Ordering::Release);
            }
        });
        let patient = until_asleep(&patient);
        'rounds: for round in 1..=ROUNDS {
            asleep(patient);
            go.store(round, Ordering::Release);
            while started.load(Ordering::Acquire) < round {
                hint::spin_loop();
            }
            // About when it gives up: a sleeping thread's timer may be 50 µs late.
            let (start, moment) = (Instant::now(), TIMEOUT + Duration::from_nanos(random.u64(..80_000)));
            while start.elapsed() < moment {
                hint::spin_loop();
            }
            counter.write(1).unwrap();
            while returned.load(Ordering::Acquire) < round {
                thread::yield_now();
            }
            let mut before = Moment::default();
            while seen.load(Ordering::Acquire) < round {
                let now = tasks::moment(patient).unwrap_or_default();
                if now.asleep() && now == before && seen.load(Ordering::Acquire) < round {
                    lost = Some(round);
                    break 'rounds;
                }
                before = now;
            }
        }
        asleep(patient);
        reported = seen.load(Ordering::Acquire);
        // From now on it is a level, and no wait lasts.
        end.store(true, Ordering::Release);
        go.store(ROUNDS, Ordering::Release);
        poll.modify(counter.source(), IN, 1).unwrap();
    });
    assert_eq!(lost, None, "in this round one sleeps, the other has left, and nobody has the edge");
    assert_eq!(reported, ROUNDS, "each edge once");
}

fn until_asleep(task: &AtomicI32) -> i32 {
    while task.load(Ordering::Acquire) == 0 {
        thread::yield_now();
    }
    asleep(task.load(Ordering::Acquire))
}

fn asleep(task: i32) -> i32 {
    let mut before = Moment::default();
    loop {
        let now = tasks::moment(task).unwrap_or_default();
        if now.asleep() && now == before {
            return task;
        }
        before = now;
        thread::yield_now();
    }
}
