//! The two sides, step by step.

use super::generate::Sequence;
use super::player::{Answer, Player};
use super::step::{PLACES, Poll, Step};
use crate::world::{Kernel, Ours};
use std::fmt::Write;
use std::os::fd::RawFd;

/// Where the numbers of a side begin. Below, and between, is room for what is not numbered here.
const KERNELS: RawFd = 100;
const OURS: RawFd = 200;

/// What is done after each sequence: everything that is still to be reported, twice, so that edges and levels differ.
fn last_words() -> impl Iterator<Item = Step> {
    let inner = (0..PLACES).map(Poll::Inner);
    let all = inner.chain([Poll::Side, Poll::Side]).map(|poll| Step::Wait { poll, max: 32 });
    std::iter::once(Step::Wait { poll: Poll::Side, max: 32 }).chain(all)
}

/// The steps of a sequence with both answers, until the first that differ.
fn answers(sequence: &Sequence) -> impl Iterator<Item = (Step, Answer, Answer)> {
    let mut kernel = Player::<Kernel>::new(KERNELS, sequence.strict);
    let mut ours = Player::<Ours>::new(OURS, sequence.strict);
    let mut differ = false;
    let all = sequence.steps.iter().copied().chain(last_words());
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
pub(super) fn difference(sequence: &Sequence) -> Option<usize> {
    answers(sequence).position(|(_, kernel, ours)| kernel != ours).map(|place| place + 1)
}

/// The sequence with its answers, a step a line.
pub(super) fn report(sequence: &Sequence) -> String {
    let mut lines = format!("files without a poll are {}\n", if sequence.strict { "refused" } else { "not used" });
    for (place, (step, kernel, ours)) in answers(sequence).enumerate() {
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
