//! `onewait bench`: measurements on the user's own machine.

use std::process::ExitCode;

/// What to measure, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {}

/// Measures and reports.
pub(crate) fn run(_args: BenchArgs) -> ExitCode {
    eprintln!("onewait: there is no benchmark yet");
    ExitCode::FAILURE
}
