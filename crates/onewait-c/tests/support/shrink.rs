//! Making a failure short: which steps of a run can be left out.

use std::fmt;
use std::time::{Duration, Instant};

/// No more time than that is spent on one failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Some of the steps of a run, in their order. Shown as the C program wants them: `0-4,7,12-13`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Steps(Vec<u32>);

impl Steps {
    /// The first `count` of them.
    pub(crate) fn first(count: u32) -> Steps {
        Steps((0..count).collect())
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, run) in self.0.chunk_by(|left, right| left + 1 == *right).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match run {
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// Leaves out what can be left out so that it still fails: first what comes after step `last`, then ever smaller pieces.
pub(crate) fn shrink(steps: Steps, last: u32, fails: impl Fn(&Steps) -> bool) -> Steps {
    let end = Instant::now() + LIMIT;
    let mut steps = steps.0;
    let until_then: Vec<u32> = steps.iter().copied().filter(|step| *step <= last).collect();
    if fails(&Steps(until_then.clone())) {
        steps = until_then;
    }
    let mut size = steps.len() / 2;
    while size > 0 && Instant::now() < end {
        let mut at = 0;
        while at < steps.len() && Instant::now() < end {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            if fails(&Steps(fewer.clone())) {
                steps = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    Steps(steps)
}
