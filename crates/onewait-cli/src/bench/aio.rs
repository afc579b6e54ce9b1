//! `onewait bench aio`: plans the runs, shows how far they are, and prints the table.

use super::file::{self, TestFile};
use super::report::{Outcome, Report};
use super::row::{Cache, Op, Row, Word, rows};
use super::side::{Children, Failure, Side};
use super::worker;
use crate::driver::Driver;
use crate::library;
use crate::say;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use onewait::Choice;
use serde_json::json;
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::time::Duration;

/// Compare a small AIO program as it is, through onewait, and on bare io_uring
///
/// The program speaks <aio.h>, which glibc serves, and libaio, which the kernel's native AIO serves. It reads and writes 4 KiB blocks of a test file in random order: cached, uncached (buffered, but not in
/// the page cache) and with O_DIRECT, with 1, 32 and 128 requests in flight. The runs of the sides alternate, so that
/// what else happens on the machine meets them all.
#[derive(Debug, Args)]
pub(crate) struct AioArgs {
    /// Directory for the test file: the disk that is measured
    #[arg(long, value_name = "DIR", default_value = ".")]
    file: PathBuf,
    /// Size of the test file, such as 512M or 4G
    #[arg(long, default_value = "1G", value_parser = size)]
    size: u64,
    /// Runs of each side in each row
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 0.4, value_parser = seconds)]
    seconds: f64,
    /// Only these rows: any of posix, libaio, reads, writes, cached, uncached, direct, 1, 32, 128, separated by commas
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    only: Vec<Word>,
    /// The driver that onewait uses, instead of the best one that works
    #[arg(long)]
    driver: Option<Driver>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The least that has a block for every request, and some to choose from.
const LEAST: u64 = 1 << 20;

/// Cached reads use so much of the file: less than any page cache, more than any processor's.
const CACHED: u64 = 128 << 20;
/// Cached writes use so much of it: their pages are brought in one by one before each run.
const REWRITTEN: u64 = 32 << 20;
/// Uncached writes use so much of it, because all that they write must reach the disk before the next run.
const DIRTY: u64 = 256 << 20;

/// What a run takes beside its time: start, warm-up, bringing the pages into their state, flushing.
const OVERHEAD: f64 = 0.15;

/// Measures, and prints the result; the exit status is 1 if a row went wrong or nobody got the result, and 130 after Ctrl-C.
pub(crate) fn run(args: &AioArgs) -> ExitCode {
    match measure(args) {
        Ok(report) => {
            let is_printed = match args.json {
                true => say::result(format_args!("{:#}\n", report.json(setting(args)))),
                false => say::result(report.text()),
            };
            if is_printed && report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(Failure::Interrupted) => ExitCode::from(130),
        Err(Failure::Failed(message)) => {
            say::message(format_args!("onewait: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &AioArgs) -> Result<Report, Failure> {
    let wanted = rows(&args.only);
    let bar = ProgressBar::new(0);
    stop_on_interrupt(bar.clone());

    if args.driver.is_none() {
        Choice::from_environment().map_err(|error| Failure::Failed(error.to_string()))?;
    }
    let library = library::path().map_err(|error| Failure::Failed(error.to_string()))?;
    let file = lay_out(args, &bar)?;
    let mut report = Report { no_uring: worker::uring_refused(), ..Report::default() };
    let refusals = Cache::ALL.map(|cache| {
        let asked = wanted.iter().any(|row| row.cache == cache);
        if asked { file.refusal(cache) } else { None }
    });
    let mut possible = Vec::new();
    for row in wanted {
        match &refusals[row.cache as usize] {
            None => possible.push(row),
            Some(reason) => report.skipped.push((row, reason.clone())),
        }
    }

    let sides = Side::ALL.into_iter().filter(|side| *side != Side::Uring || report.no_uring.is_none());
    let sides: Vec<Side> = sides.collect();
    announce(args, &bar, possible.len(), sides.len());
    let children = Children { library, driver: args.driver, file: file.path(), seconds: args.seconds };
    for row in possible {
        bar.set_message(row.to_string());
        match alternate(args, &children, &sides, row, region(row, file.size()), &bar) {
            Ok(outcome) => report.rows.push(outcome),
            Err(Failure::Failed(message)) => report.failed.push((row, message)),
            Err(interrupted) => return Err(interrupted),
        }
    }
    bar.finish_and_clear();
    Ok(report)
}

/// One row: A B C A B C …
fn alternate(
    args: &AioArgs,
    children: &Children,
    sides: &[Side],
    row: Row,
    region: u64,
    bar: &ProgressBar,
) -> Result<Outcome, Failure> {
    let mut runs = [const { Vec::new() }; 3];
    for round in 0..args.runs {
        for side in sides {
            // The same seed for all sides of a round: the same blocks in the same order.
            runs[*side as usize].push(children.run(*side, row, region, u64::from(round))?);
            bar.inc(1);
        }
    }
    Ok(Outcome { row, runs })
}

/// The bytes at the start of the file that a row uses.
fn region(row: Row, size: u64) -> u64 {
    match (row.cache, row.op) {
        (Cache::Cached, Op::Read) => size.min(CACHED),
        (Cache::Cached, Op::Write) => size.min(REWRITTEN),
        (Cache::Uncached, Op::Write) => size.min(DIRTY),
        _ => size,
    }
}

fn lay_out(args: &AioArgs, bar: &ProgressBar) -> Result<TestFile, Failure> {
    bar.set_style(style("laying out the test file {wide_bar} {bytes}/{total_bytes}"));
    bar.set_length(args.size);
    let file = TestFile::create(&args.file, args.size, |written| bar.inc(written));
    bar.reset();
    file.map_err(|message| {
        bar.finish_and_clear();
        Failure::Failed(message)
    })
}

fn announce(args: &AioArgs, bar: &ProgressBar, rows: usize, sides: usize) {
    let runs = rows * sides * args.runs as usize;
    let estimate = (runs as f64 * (args.seconds * 1.15 + OVERHEAD)).ceil() as u64;
    bar.suspend(|| {
        say::message(format_args!(
            "{rows} rows, {sides} sides, {} runs of {} s each on a file of {}: about {} min {} s",
            args.runs,
            args.seconds,
            file::bytes(args.size),
            estimate / 60,
            estimate % 60
        ));
    });
    bar.set_style(style("{msg:24} {wide_bar} {pos}/{len} {eta} left"));
    bar.set_length(runs as u64);
    bar.enable_steady_tick(Duration::from_millis(500));
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Ctrl-C ends everything at once. There is nothing to tidy: the file has no name, and a child goes with its parent.
fn stop_on_interrupt(bar: ProgressBar) {
    let handler = move || {
        bar.finish_and_clear();
        say::message("onewait: interrupted; the test file is gone");
        exit(130);
    };
    // Without a handler Ctrl-C still ends everything, only without a word.
    let _ = ctrlc::set_handler(handler);
}

fn setting(args: &AioArgs) -> serde_json::Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "directory": args.file.canonicalize().unwrap_or_else(|_| args.file.clone()),
        "file_bytes": args.size,
        "block_bytes": super::row::BLOCK,
        "runs": args.runs,
        "seconds": args.seconds,
        "driver": args.driver.map(Driver::name),
    })
}

/// Bytes, or with K, M, G or T (and `iB`, if one likes) as powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => return Err("a number of bytes, or with K, M, G or T".into()),
    };
    let number: u64 = digits.parse().map_err(|_| "a whole number, such as 512M or 4G".to_owned())?;
    match number.checked_mul(1 << shift) {
        Some(size) if (LEAST..1 << 62).contains(&size) => Ok(size & !(super::row::BLOCK as u64 - 1)),
        _ => Err("from 1M to less than 4194304T".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("from 0.01 to 3600".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("1G"), Ok(1 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("1052672"), Ok(1_052_672));
        for wrong in ["", "G", "12Q", "-1G", "1.5G", "4K", "99999999999T", "1é"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
