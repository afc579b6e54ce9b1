//! The same random calls on the kernel's epoll and on a reactor, over two sets of descriptors that are alike, compared call by
//! call.
//!
//! `generate` makes a sequence of `step`s from a seed, `player` plays it on a side, `compare` looks for the first step whose
//! answers differ, `shrink` makes a sequence that fails as short as it can be. It has a process of its own, since it says
//! which numbers descriptors have, and forks.
//!
//! - `ONEWAIT_SEED=N` begins with a given seed: the one that a failure prints.
//! - `ONEWAIT_SOAK=N` goes on for N minutes.

#[path = "../../../../eventpoll/tests/differential/budget.rs"]
mod budget;
mod compare;
mod generate;
mod player;
#[path = "../../../../eventpoll/tests/differential/shrink.rs"]
mod shrink;
mod step;

use crate::common::in_child;
use crate::watchdog;
use crate::world::alone;
use budget::Budget;

/// The environment variable that says with which seed to begin.
const SEED: &str = "ONEWAIT_SEED";

/// How many steps without `ONEWAIT_SOAK`.
const STEPS: u64 = if cfg!(debug_assertions) { 300_000 } else { 1_000_000 };

#[test]
fn random_calls_on_descriptors_give_the_same_answers() {
    const NAME: &str = "differential::random_calls_on_descriptors_give_the_same_answers";
    let _guard = alone();
    in_child(NAME, &[], || {
        watchdog::bounded_by(budget::limit(), NAME, || {
            let mut budget = Budget::new(STEPS);
            while let Some(seed) = budget.next_seed() {
                let sequence = generate::sequence(seed);
                budget.spend(sequence.steps.len() as u64);
                if compare::difference(&sequence).is_some() {
                    let fails = |steps: &[_]| compare::difference(&sequence.with(steps)).is_some();
                    let shortest = sequence.with(&shrink::shortest(sequence.steps.clone(), fails));
                    panic!("the sides differ; to repeat: {SEED}={seed}\n{}", compare::report(&shortest));
                }
            }
            budget.report("steps");
        });
    });
}
