//! `onewait bench`: what onewait brings, measured where it will be used.
//!
//! `bench aio` ([`aio`]) runs one small program ([`worker`]) many times, as a child: on glibc's AIO and on
//! the kernel's, on both with libonewait.so in front of it, and once more on bare io_uring, which is the limit. [`row`] lists what is measured, [`file`] owns the
//! file it happens on, [`side`] starts a child, and [`report`] makes medians and a table out of what the children print.

mod aio;
mod file;
mod report;
mod row;
mod side;
mod worker;

use clap::{Args, Subcommand};
use std::process::ExitCode;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Aio(aio::AioArgs),
    #[command(hide = true)]
    Worker(worker::WorkerArgs),
}

/// Measures what `args` ask for, and prints it.
pub(crate) fn run(args: BenchArgs) -> ExitCode {
    match args.what {
        What::Aio(args) => aio::run(&args),
        What::Worker(args) => worker::run(&args),
    }
}
