//! The two sides, step by step.

use std::fmt::Write;

use super::player::{Answer, Player};
use super::step::{POLLS, Step};
use crate::common::kernel::Kernel;
use crate::common::ours::Ours;

/// What is done after each sequence: everything that is still to be reported, twice, so that edges and levels differ.
fn last_words() -> impl Iterator<Item = Step> {
    (0..2).flat_map(|_| (0..POLLS).rev().map(|poll| Step::Wait { poll, max: 32 }))
}

/// The steps of a sequence with both answers, until the first that differ.
fn answers(steps: &[Step]) -> impl Iterator<Item = (Step, Answer, Answer)> {
    let (mut kernel, mut ours) = (Player::<Kernel>::new(), Player::<Ours>::new());
    let mut differ = false;
    let all = steps.iter().copied().chain(last_words());
    all.map_while(move |step| {
        if differ {
            return None;
        }
        let (theirs, own) = (kernel.play(step), ours.play(step));
        differ = theirs != own;
        Some((step, theirs, own))
    })
}

/// The number of steps until the first whose answers differ.
pub(super) fn difference(steps: &[Step]) -> Option<usize> {
    answers(steps).position(|(_, kernel, ours)| kernel != ours).map(|place| place + 1)
}

/// The sequence with its answers, a step a line.
pub(super) fn report(steps: &[Step]) -> String {
    let mut lines = String::new();
    for (place, (step, kernel, ours)) in answers(steps).enumerate() {
        let place = place + 1;
        let line = if kernel == ours {
            writeln!(lines, "{place:3}  {step:?} -> {kernel:?}")
        } else {
            writeln!(lines, "{place:3}  {step:?}\n       kernel: {kernel:?}\n       ours:   {ours:?}")
        };
        line.expect("a string takes what is written");
    }
    lines
}
