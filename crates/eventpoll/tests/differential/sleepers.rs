//! Random calls beside threads that sleep in the event polls: after each call, who has returned, and with what?
//!
//! After each call everything settles before the next, so most sequences have one outcome, and two rounds a side show it.
//! Where threads that wake race each other, there are several; then many rounds are played, and every outcome that is
//! frequent on one side has to occur on the other. How often depends on how fast a side is, so that is not compared: more
//! rounds are played as long as one is missing. If it stays so, the histograms are printed.

use std::collections::BTreeMap;
use std::fmt;

use fastrand::Rng;

use super::SEED;
use super::budget::{self, Budget};
use super::generate;
use super::player::{Answer, Player};
use super::shrink;
use super::step::{POLLS, Step};
use crate::common::bits::IN;
use crate::common::kernel::Kernel;
use crate::common::ours::Ours;
use crate::common::waiters::{Outcome, Waiters};
use crate::common::watchdog;
use crate::common::world::{Poll, Watched, World};

/// How many sequences without `ONEWAIT_SOAK`.
const SEQUENCES: u64 = 2000;

/// How often a side plays a sequence that has several outcomes, before they are compared.
const ROUNDS: usize = 50;

/// How often that is repeated before the sides count as different.
const REPETITIONS: usize = 40;

/// An outcome is frequent if it is so many hundredths of a side's.
const FREQUENT: usize = 10;

#[derive(Clone, Copy)]
enum Play {
    /// One more thread sleeps in this event poll.
    Sleep {
        poll: usize,
    },
    Step(Step),
}

impl fmt::Debug for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Play::Sleep { poll } => write!(f, "a thread waits in poll{poll}"),
            Play::Step(step) => step.fmt(f),
        }
    }
}

/// What was seen after a play: the answer, which threads have returned since, and with what all in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    answer: Answer,
    returned: Vec<usize>,
    outcomes: Vec<Outcome>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answer.fmt(f)?;
        if !self.returned.is_empty() {
            write!(f, "; threads {:?} return with {:?}", self.returned, self.outcomes)?;
        }
        Ok(())
    }
}

#[test]
fn random_calls_wake_the_same_sleepers() {
    watchdog::bounded_by(budget::limit(), "random_calls_wake_the_same_sleepers", || {
        let mut budget = Budget::new(SEQUENCES);
        while let Some(seed) = budget.next_seed() {
            let plays = plays(seed);
            budget.spend(1);
            if differ(&plays) {
                let shortest = shrink::shortest(plays, differ);
                panic!("the sides differ; to repeat: {SEED}={seed}\n{}", report(&shortest));
            }
        }
        budget.report("sequences with sleepers");
    });
}

/// The sequence of a seed: some calls, some sleepers, some calls.
fn plays(seed: u64) -> Vec<Play> {
    let mut random = Rng::with_seed(seed);
    let polls = random.usize(1..=4);
    let sleepers = random.usize(1..=4);
    let (before, after) = (random.usize(2..12), random.usize(1..8));
    let steps = generate::steps_beside_sleepers(random.fork(), polls, before + after);
    let mut plays: Vec<_> = steps.into_iter().map(Play::Step).collect();
    for _ in 0..sleepers {
        plays.insert(before, Play::Sleep { poll: random.usize(..polls) });
    }
    plays
}

fn run<W: World>(plays: &[Play]) -> Vec<Seen> {
    let (mut player, mut waiters) = (Player::<W>::new(), Waiters::default());
    let (mut all, mut known) = (Vec::new(), Vec::new());
    for play in plays {
        let answer = match *play {
            Play::Sleep { poll } => {
                waiters.start::<W>(player.poll(poll).expect("no event poll is closed here"));
                Answer::Done
            }
            Play::Step(step) => player.play(step),
        };
        waiters.settle();
        let outcomes = waiters.outcomes();
        let new: Vec<_> = waiters.returned().into_iter().filter(|place| !known.contains(place)).collect();
        let mut outcomes: Vec<_> = new.iter().filter_map(|place| outcomes[*place].clone()).collect();
        outcomes.sort_unstable();
        known.extend(&new);
        all.push(Seen { answer, returned: new, outcomes });
    }
    let (end, mut bits) = (W::counter(1), [0; POLLS]);
    waiters.release(|| {
        for (place, bits) in bits.iter_mut().enumerate() {
            let poll = player.poll(place).expect("no event poll is closed here");
            // The first time it is added; should that not reach everyone, it is said again.
            let result = if *bits == 0 { poll.add(end.source(), IN, 0) } else { poll.modify(end.source(), IN, 0) };
            result.expect("an event poll takes a counter");
            *bits = IN;
        }
    });
    all
}

type Histogram = BTreeMap<Vec<Seen>, usize>;

/// Plays on both sides; what was seen, if they differ.
fn histograms(plays: &[Play]) -> Option<(Histogram, Histogram)> {
    let (mut kernel, mut ours) = (Histogram::new(), Histogram::new());
    let mut rounds = |rounds: usize| {
        for _ in 0..rounds {
            *kernel.entry(run::<Kernel>(plays)).or_default() += 1;
            *ours.entry(run::<Ours>(plays)).or_default() += 1;
        }
        let differ = lacks(&ours, &kernel) || lacks(&kernel, &ours);
        let several = kernel.len() > 1 || ours.len() > 1;
        (differ || several, differ)
    };
    if !rounds(2).0 || (0..REPETITIONS).any(|_| !rounds(ROUNDS).1) {
        return None;
    }
    Some((kernel, ours))
}

/// Whether an outcome that is frequent on one side does not occur on the other.
fn lacks(other: &Histogram, side: &Histogram) -> bool {
    let rounds: usize = side.values().sum();
    side.iter().any(|(seen, count)| count * 100 >= rounds * FREQUENT && !other.contains_key(seen))
}

fn differ(plays: &[Play]) -> bool {
    histograms(plays).is_some()
}

fn report(plays: &[Play]) -> String {
    let Some((kernel, ours)) = histograms(plays) else {
        return format!("{plays:#?}\nnow they do not differ");
    };
    let mut lines = String::new();
    for (side, histogram) in [("kernel", kernel), ("ours", ours)] {
        for (outcome, count) in histogram {
            lines += &format!("{side}, {count} times:\n");
            for (place, (play, seen)) in plays.iter().zip(outcome).enumerate() {
                lines += &format!("{:3}  {play:?} -> {seen:?}\n", place + 1);
            }
        }
    }
    lines
}
