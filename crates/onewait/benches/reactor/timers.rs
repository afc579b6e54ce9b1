//! Arming a timer and cancelling it, with a million armed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onewait::reactor::{Reactor, TimerKey};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::report::{Report, Required};

const ARMED: usize = 1_000_000;
const TIMERFDS: usize = 10_000;
const REQUIRED: Required = Required::Below(30.0);

pub(crate) fn rows(report: &mut Report) {
    if report.wants("timer: arm + cancel the same") {
        let (mut wheel, mut tree, mut chance) = (Wheel::new(), Tree::new(), Times::new());
        let mut others = chance.clone();
        report.race(
            "timer: arm + cancel the same",
            REQUIRED,
            "BTreeMap",
            |count| (0..count).for_each(|_| wheel.arm_and_cancel(chance.next())),
            |count| (0..count).for_each(|_| tree.arm_and_cancel(others.next())),
        );
    }
    if report.wants("timer: arm + cancel any of a million") {
        let (mut wheel, mut tree, mut times) = (Wheel::new(), Tree::new(), Times::new());
        let (mut others, mut chance) = (times.clone(), fastrand::Rng::with_seed(1));
        let mut other_chance = chance.clone();
        report.race(
            "timer: arm + cancel any of a million",
            REQUIRED,
            "BTreeMap",
            |count| (0..count).for_each(|_| wheel.replace(chance.usize(..ARMED), times.next())),
            |count| (0..count).for_each(|_| tree.replace(other_chance.usize(..ARMED), others.next())),
        );
    }
    if report.wants("timer: arm + cancel beside timerfd") {
        against_timerfd(report);
    }
}

fn against_timerfd(report: &mut Report) {
    let (mut wheel, mut times, mut others) = (Wheel::new(), Times::new(), fastrand::Rng::with_seed(1));
    let timerfds: Vec<_> = (0..TIMERFDS)
        .map(|_| timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).expect("10,000 descriptors"))
        .collect();
    let set = |timerfd, time: Duration| {
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: time };
        timerfd_settime(timerfd, TimerfdTimerFlags::empty(), &once).unwrap();
    };
    for timerfd in &timerfds {
        set(timerfd, some_time(&mut others));
    }
    report.race(
        "timer: arm + cancel beside timerfd",
        REQUIRED,
        "timerfd, of 10,000",
        |count| (0..count).for_each(|_| wheel.arm_and_cancel(times.next())),
        |count| {
            for _ in 0..count {
                let timerfd = &timerfds[others.usize(..TIMERFDS)];
                // Zero cancels; then it is armed, as all the others are.
                set(timerfd, Duration::ZERO);
                set(timerfd, some_time(&mut others));
            }
        },
    );
}

/// A time as those of connections are: from a minute to ten, so that none comes due while this runs.
fn some_time(chance: &mut fastrand::Rng) -> Duration {
    Duration::from_nanos(chance.u64(60_000_000_000..600_000_000_000))
}

/// Such times, chosen before: what chance costs is not a timer's.
#[derive(Clone)]
struct Times {
    times: Vec<Duration>,
    next: usize,
}

impl Times {
    /// Few enough for the innermost cache.
    const COUNT: usize = 1024;

    fn new() -> Times {
        let mut chance = fastrand::Rng::with_seed(1);
        Times { times: (0..Times::COUNT).map(|_| some_time(&mut chance)).collect(), next: 0 }
    }

    fn next(&mut self) -> Duration {
        self.next = (self.next + 1) % Times::COUNT;
        self.times[self.next]
    }
}

/// A reactor with a million timers.
struct Wheel {
    reactor: Reactor,
    begin: Instant,
    keys: Vec<TimerKey>,
}

impl Wheel {
    fn new() -> Self {
        let mut chance = fastrand::Rng::with_seed(7);
        let (mut reactor, begin) = (Reactor::new().unwrap(), Instant::now());
        let keys = (0..ARMED).map(|token| reactor.arm_timer(begin + some_time(&mut chance), token as u64).unwrap());
        let keys = keys.collect();
        Self { reactor, begin, keys }
    }

    fn arm_and_cancel(&mut self, time: Duration) {
        let key = self.reactor.arm_timer(self.begin + time, 1).unwrap();
        assert_eq!(self.reactor.cancel_timer(key), Some(1));
    }

    fn replace(&mut self, which: usize, time: Duration) {
        assert_eq!(self.reactor.cancel_timer(self.keys[which]), Some(which as u64));
        self.keys[which] = self.reactor.arm_timer(self.begin + time, which as u64).unwrap();
    }
}

/// The same in a balanced tree, by time; a number makes equal times different.
struct Tree {
    timers: BTreeMap<(Duration, usize), u64>,
    times: Vec<Duration>,
}

impl Tree {
    fn new() -> Self {
        let mut chance = fastrand::Rng::with_seed(7);
        let times: Vec<_> = (0..ARMED).map(|_| some_time(&mut chance)).collect();
        let timers = times.iter().enumerate().map(|(which, time)| ((*time, which), which as u64)).collect();
        Self { timers, times }
    }

    fn arm_and_cancel(&mut self, time: Duration) {
        self.timers.insert((time, ARMED), 1);
        assert_eq!(self.timers.remove(&(time, ARMED)), Some(1));
    }

    fn replace(&mut self, which: usize, time: Duration) {
        assert_eq!(self.timers.remove(&(self.times[which], which)), Some(which as u64));
        self.times[which] = time;
        self.timers.insert((time, which), which as u64);
    }
}
