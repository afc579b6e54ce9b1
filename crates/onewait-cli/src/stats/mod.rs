//! What a program's AIO did, told at its end.
//!
//! The figures lie in memory that the library shares with us ([`SharedCounters`]), so they are complete however the
//! program ended. [`text`] is for people, [`json`] for machines.

mod json;
mod text;

use onewait::counters::{Event, STATS_VARIABLE, SharedCounters, Snapshot};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The form of a report.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object on a line
    Json,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this status.
    Exit(u8),
    /// This signal ended it.
    Signal(i32),
}

/// One run of a program, as reports describe it.
#[derive(Debug)]
struct Run<'a> {
    program: &'a Path,
    end: End,
    elapsed: Duration,
    figures: Snapshot,
}

/// The figures of a program that is about to run.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: SharedCounters,
    format: Format,
    file: Option<File>,
    since: Instant,
}

impl Watch {
    /// Prepares a report, to `file` or to standard error.
    ///
    /// # Errors
    /// `file` cannot be written to, or there is no memory to share.
    pub(crate) fn open(format: Format, file: Option<&Path>) -> io::Result<Watch> {
        // Now, and not after hours of running, a wrong path is of use.
        let file = match file {
            Some(path) => Some(
                File::create(path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?,
            ),
            None => None,
        };
        Ok(Watch { shared: SharedCounters::create()?, format, file, since: Instant::now() })
    }

    /// Tells the program that `command` starts, and all that it starts, where to count.
    pub(crate) fn name_to(&self, command: &mut Command) {
        command.env(STATS_VARIABLE, self.shared.path());
    }

    /// Writes the report. The program's status matters more than a report that cannot be written, so that is only said.
    pub(crate) fn report(self, program: &Path, end: End) {
        let elapsed = self.since.elapsed();
        let run = Run { program, end, elapsed, figures: self.shared.counters().snapshot() };
        let report = match self.format {
            Format::Text => text::report(&run),
            Format::Json => json::report(&run),
        };
        let written = match self.file {
            Some(mut file) => file.write_all(report.as_bytes()),
            None => io::stderr().write_all(report.as_bytes()),
        };
        if let Err(error) = written {
            // Standard error may be what failed.
            let _ = writeln!(io::stderr(), "onewait: cannot write the statistics: {error}");
        }
    }
}

impl Run<'_> {
    fn requests(&self) -> u64 {
        self.figures.kinds.iter().map(|kind| kind.submitted).sum()
    }

    fn count(&self, event: Event) -> u64 {
        self.figures.events.iter().find(|(other, _)| *other == event).map_or(0, |(_, count)| *count)
    }
}

/// The smallest and, unless there is none, the largest size that a bucket of the batch histogram counts.
fn batch_sizes(bucket: usize) -> (u64, Option<u64>) {
    let is_last = bucket + 1 == onewait::counters::BATCH_BUCKETS;
    (1 << bucket, (!is_last).then(|| (2 << bucket) - 1))
}
