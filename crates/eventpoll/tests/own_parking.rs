//! Without `std` the user brings the parking. Two are brought here: one that sleeps on a condition variable, and one that
//! sleeps by turning a simulated clock. `cargo test -p eventpoll --no-default-features --test own_parking` runs them on
//! the crate as it is without `std`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, Weak};
use std::time::{Duration, Instant};

use eventpoll::sources::{Clock, Event, Timer};
use eventpoll::{Error, EventPoll, Events, Interest, Parked, Parking, Ready, Source, Watched};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Sleeps on one condition variable for all words.
struct OnCondvar {
    lock: Mutex<()>,
    woken: Condvar,
}

static ON_CONDVAR: OnCondvar = OnCondvar { lock: Mutex::new(()), woken: Condvar::new() };
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Parking for OnCondvar {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        let guard = self.lock.lock().unwrap();
        if word.load(Ordering::Acquire) != expected {
            return Parked::Woken;
        }
        let Some(timeout) = timeout else {
            drop(self.woken.wait(guard).unwrap());
            return Parked::Woken;
        };
        let (_guard, ended) = self.woken.wait_timeout(guard, timeout).unwrap();
        if ended.timed_out() { Parked::TimedOut } else { Parked::Woken }
    }

    fn wake(&self, _: &AtomicU32) {
        let _guard = self.lock.lock().unwrap();
        self.woken.notify_all();
    }

    fn now(&self) -> Duration {
        BEGAN.elapsed()
    }

    fn enter(&self) -> bool {
        !INSIDE.replace(true)
    }

    fn leave(&self) {
        INSIDE.set(false);
    }
}

#[test]
fn a_waiter_sleeps_and_is_woken() {
    let (poll, event) = (EventPoll::with_parking(&ON_CONDVAR), Event::new(0));
    poll.add(&event, Interest::IN, 7).unwrap();
    let mut out = [Ready::default(); 4];
    assert_eq!(poll.wait(&mut out, Some(Duration::from_millis(5))), Ok(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = [Ready::default(); 4];
            for _ in 0..100 {
                assert_eq!(poll.wait(&mut out, None), Ok(1));
                event.read().unwrap();
                answered(&out[0]);
            }
            assert_eq!(poll.wait(&mut out, None), Err(Error::Interrupted));
        });
        for _ in 0..100 {
            event.write(1).unwrap();
            while !poll.poll().is_empty() {
                std::thread::yield_now();
            }
        }
        poll.waker().wake();
    });
}

fn answered(ready: &Ready) {
    assert_eq!(*ready, Ready { token: 7, events: Events::IN });
}

/// Where nothing happens, a simulation goes on to the next thing that will.
struct Simulation {
    clock: LazyLock<Clock>,
}

static SIMULATION: Simulation = Simulation { clock: LazyLock::new(Clock::manual) };

impl Parking for Simulation {
    fn wait(&self, word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> Parked {
        let end = timeout.map_or(Duration::MAX, |timeout| self.now() + timeout);
        let next = self.clock.next_deadline().map_or(end, |next| next.min(end));
        self.clock.turn(next);
        if word.load(Ordering::Acquire) == expected && next == end { Parked::TimedOut } else { Parked::Woken }
    }

    fn wake(&self, _: &AtomicU32) {}

    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn enter(&self) -> bool {
        !INSIDE.replace(true)
    }

    fn leave(&self) {
        INSIDE.set(false);
    }
}

#[test]
fn a_simulation_lives_a_year_in_no_time() {
    const HOUR: Duration = Duration::from_secs(3600);
    let poll = EventPoll::with_parking(&SIMULATION);
    let (hourly, yearly) = (Timer::new(&SIMULATION.clock), Timer::new(&SIMULATION.clock));
    poll.add(&hourly, Interest::IN, 1).unwrap();
    poll.add(&yearly, Interest::IN, 2).unwrap();
    hourly.set(HOUR, Some(HOUR));
    yearly.set(HOUR * 24 * 365 + HOUR / 2, None);
    let mut out = [Ready::default(); 4];
    let mut hours = 0;
    loop {
        assert_eq!(poll.wait(&mut out, None), Ok(1));
        if out[0].token == 2 {
            break;
        }
        hours += hourly.read().unwrap();
    }
    assert_eq!(hours, 24 * 365);
    hourly.set(Duration::ZERO, None);
    yearly.read().unwrap();
    let before = SIMULATION.clock.now();
    assert_eq!(poll.wait(&mut out, Some(HOUR)), Ok(0));
    assert_eq!(SIMULATION.clock.now(), before + HOUR);
}

/// Calls an event poll where it may not.
struct Meddler {
    poll: Weak<EventPoll>,
    victim: Arc<Event>,
}

impl Source for Meddler {
    fn level(&self) -> Events {
        let poll = self.poll.upgrade().unwrap();
        assert_eq!(poll.delete(&self.victim), Err(Error::Deadlock));
        self.victim.write(1).unwrap();
        Events::IN
    }
}

#[test]
fn a_level_that_calls_the_event_poll_gets_an_error() {
    let poll = Arc::new(EventPoll::with_parking(&ON_CONDVAR));
    let victim = Arc::new(Event::new(0));
    poll.add(&victim, Interest::IN | Interest::EDGE, 1).unwrap();
    let meddler = Watched::new(Meddler { poll: Arc::downgrade(&poll), victim: victim.clone() });
    poll.add(&meddler, Interest::IN, 2).unwrap();
    let mut out = [Ready::default(); 4];
    assert_eq!(poll.wait(&mut out, Some(Duration::ZERO)), Ok(2));
    assert_eq!(out[0], Ready { token: 1, events: Events::IN });
}
