//! The same random calls on the kernel's epoll and on ours, compared call by call.
//!
//! `generate` makes a sequence of `step`s from a seed, `player` plays it on a side, `compare` looks for the first step
//! whose answers differ, `shrink` makes a sequence that fails as short as it can be. `sleepers` does the same with
//! threads that sleep in the event polls.
//!
//! - `EVENTPOLL_SEED=N` begins with a given seed: the one that a failure prints.
//! - `ONEWAIT_SOAK=N` goes on for N minutes.

mod budget;
mod compare;
mod generate;
mod player;
mod shrink;
mod sleepers;
mod step;

use crate::common::watchdog;
use budget::Budget;

/// The environment variable that says with which seed to begin.
const SEED: &str = "EVENTPOLL_SEED";

/// How many steps without `ONEWAIT_SOAK`.
const STEPS: u64 = if cfg!(debug_assertions) { 1_000_000 } else { 8_000_000 };

#[test]
fn random_calls_give_the_same_answers() {
    watchdog::bounded_by(budget::limit(), "random_calls_give_the_same_answers", || {
        let mut budget = Budget::new(STEPS);
        while let Some(seed) = budget.next_seed() {
            let sequence = generate::sequence(seed);
            budget.spend(sequence.len() as u64);
            if compare::difference(&sequence).is_some() {
                let shortest = shrink::shortest(sequence, |steps| compare::difference(steps).is_some());
                panic!("the sides differ; to repeat: {SEED}={seed}\n{}", compare::report(&shortest));
            }
        }
        budget.report("steps");
    });
}
