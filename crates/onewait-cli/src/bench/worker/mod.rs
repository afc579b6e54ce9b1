//! The program that is measured: it keeps `depth` requests of 4 KiB in flight, in random order, and counts.
//!
//! It runs as a child, so that the library can be in front of it or not, and so that its CPU time is its own. It is
//! written as a sensible program would be: wait for any of them, take all that are done, start as many again.
//! [`posix`] does that with `<aio.h>`, [`libaio`] with the kernel's AIO, [`uring`] with io_uring; [`meter`] watches the clock, [`order`] says which block
//! comes next.

mod libaio;
mod meter;
mod order;
mod posix;
mod uring;

use super::file;
use super::row::{BLOCK, Cache, Op};
use crate::say;
use clap::{Args, ValueEnum};
use meter::Meter;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use order::Order;
pub(super) use order::fill;
use serde::{Deserialize, Serialize};
use std::cell::UnsafeCell;
use std::ffi::{CStr, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::ExitCode;

/// What the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// `<aio.h>`, whoever provides it.
    Posix,
    /// The kernel's native AIO, whoever provides it.
    Libaio,
    /// io_uring, without anything between.
    Uring,
}

/// Runs one measurement and prints it as JSON; for `bench aio` only.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[arg(long)]
    pub(crate) engine: Engine,
    #[arg(long)]
    pub(crate) file: PathBuf,
    /// Bytes at the start of the file that are used
    #[arg(long)]
    pub(crate) region: u64,
    #[arg(long)]
    pub(crate) op: Op,
    #[arg(long)]
    pub(crate) cache: Cache,
    #[arg(long)]
    pub(crate) depth: usize,
    #[arg(long)]
    pub(crate) seconds: f64,
    /// Decides the order of the blocks
    #[arg(long)]
    pub(crate) seed: u64,
}

/// What one run measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Requests completed while the clock ran.
    pub(crate) requests: u64,
    /// How long the clock ran.
    pub(crate) seconds: f64,
    /// CPU time of all threads in the meantime, user and system.
    pub(crate) cpu_seconds: f64,
    /// The object that the calls came from; none for io_uring.
    pub(crate) provider: Option<PathBuf>,
}

/// The memory of one request, aligned as O_DIRECT wants it.
#[repr(align(4096))]
struct Block(UnsafeCell<[u8; BLOCK]>);

/// Runs one measurement, and prints it as one line of JSON.
pub(crate) fn run(args: &WorkerArgs) -> ExitCode {
    // If `bench aio` dies by whatever means, nobody is left to read the result: go too, and let go of the file. An
    // error here only means that this run outlives it by its own short time.
    let _ = set_pdeathsig(Signal::SIGKILL);
    match measure(args) {
        Ok(measured) if say::result(format_args!("{}\n", serde_json::json!(measured))) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            say::message(message);
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &WorkerArgs) -> Result<Measured, String> {
    if args.depth == 0 || args.region < BLOCK as u64 {
        return Err("nothing to do: a depth and a region of at least one block are needed".into());
    }
    let file = open(args).map_err(|error| format!("cannot open the test file: {error}"))?;
    let mut order = Order::new(args.region / BLOCK as u64, args.seed, args.cache != Cache::Uncached);
    let meter = Meter::new(args.seconds);
    // Leaked, because after an error requests may still be in flight: their memory must not go before the process.
    let blocks: &'static [Block] = Box::leak((0..args.depth).map(|_| noise(args.seed)).collect());
    let measured = match args.engine {
        Engine::Posix => posix::run(&file, args.op, blocks, &mut order, meter)?,
        Engine::Libaio => libaio::run(&file, args.op, blocks, &mut order, meter)?,
        Engine::Uring => uring::run(&file, args.op, blocks, &mut order, meter)?,
    };
    if args.op == Op::Write {
        // Not measured, but owed: what this run left dirty must not disturb the next one.
        file.sync_data().map_err(|error| format!("cannot flush the test file: {error}"))?;
    }
    Ok(measured)
}

/// Opens the file and brings its pages into the state that the row is about.
fn open(args: &WorkerArgs) -> io::Result<File> {
    let flags = if args.cache == Cache::Direct { libc::O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(&args.file)?;
    match (args.cache, args.op) {
        (Cache::Cached, Op::Read) => {
            let mut piece = vec![0; 1 << 20];
            let mut at = 0;
            while at < args.region {
                match file.read_at(&mut piece, at)? {
                    0 => break,
                    read => at += read as u64,
                }
            }
        }
        // Brought in by writes as small as those to come. A sequential read would bring the pages in large units, and
        // the kernel walks a whole unit for each small write: that would be measured, and nothing else.
        (Cache::Cached, Op::Write) => {
            file::drop_pages(&file)?;
            let mut block = [0; BLOCK];
            fill(&mut block, args.seed);
            for at in (0..args.region).step_by(BLOCK) {
                file.write_all_at(&block, at)?;
            }
            file.sync_data()?;
        }
        (Cache::Uncached, _) => {
            file::drop_pages(&file)?;
            file::expect_random(&file)?;
        }
        // Also here: a direct request on a cached page would pay for its invalidation.
        (Cache::Direct, _) => file::drop_pages(&file)?,
    }
    Ok(file)
}

/// A block that does not compress.
fn noise(seed: u64) -> Block {
    let mut bytes = [0; BLOCK];
    fill(&mut bytes, seed);
    Block(UnsafeCell::new(bytes))
}

/// A request must move its whole block.
fn check(op: Op, result: isize) -> Result<(), String> {
    match result {
        full if full == BLOCK as isize => Ok(()),
        short if short >= 0 => Err(format!("a {op} of {BLOCK} bytes moved {short}")),
        error => Err(format!("a {op} failed: {}", io::Error::from_raw_os_error(-error as i32))),
    }
}

/// The object of a function that this process calls: the proof of what was measured.
fn provider_of(function: *const libc::c_void) -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr only looks the address up, and fills the structure if it returns non-zero; the name that it
    // gives belongs to an object that stays loaded while it has functions in use.
    unsafe {
        if libc::dladdr(function, info.as_mut_ptr()) == 0 {
            return None;
        }
        let name = info.assume_init().dli_fname;
        (!name.is_null()).then(|| OsStr::from_bytes(CStr::from_ptr(name).to_bytes()).into())
    }
}

/// Why io_uring cannot be the limit here, if it cannot.
pub(crate) fn uring_refused() -> Option<String> {
    uring::probe().err().map(|error| error.to_string())
}
