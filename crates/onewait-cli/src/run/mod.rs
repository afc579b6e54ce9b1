//! `onewait run`: a program with `libonewait.so` in front of it.
//!
//! The program is looked up and looked into first ([`lookup`], [`program`]), so that one that the library cannot reach is
//! refused with a reason instead of running as if nothing were. Then onewait turns into the program (`exec`), or, if
//! statistics are wanted, starts it and waits ([`supervise`]).

mod elf;
mod environment;
mod inherited;
mod lookup;
mod privileges;
mod program;
mod refusal;
mod signals;
mod supervise;

use crate::driver::Driver;
use crate::epoll::Epoll;
use crate::library;
use crate::only::Only;
use crate::say;
use crate::stats::{self, Watch};
use onewait::Choice;
use onewait::driver::UnknownDriver;
use program::Form;
use refusal::Refusal;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fmt, io};

/// The exit status if onewait itself fails, as `env` and `timeout` have it.
pub(crate) const OWN_FAILURE: u8 = 125;

/// Run a program with the onewait engine behind its AIO calls
///
/// The program is not changed: the system's loader puts libonewait.so in front of it, and its calls of <aio.h> and libaio go
/// there.
/// It runs in place of onewait, with the same process number, terminal, signals and exit status.
#[derive(Debug, clap::Args)]
#[command(override_usage = "onewait run [OPTIONS] [--] PROGRAM [ARGS]...", after_help = DETAILS)]
pub(crate) struct RunArgs {
    /// Use this driver and no other; without it, uring if the system allows it, else epoll
    #[arg(long, value_enum, value_name = "DRIVER")]
    driver: Option<Driver>,

    /// Serve only these calls; without it, all
    #[arg(long, value_enum, value_name = "CALLS")]
    only: Option<Only>,

    #[command(flatten)]
    epoll: Epoll,

    /// Report at the end what the program's AIO did: requests, bytes, errors, latency, driver; and its epoll, with --epoll
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    stats: Option<stats::Format>,

    /// Write the report to FILE instead of standard error (implies --stats)
    #[arg(long, value_name = "FILE")]
    stats_file: Option<PathBuf>,

    /// The program, found in PATH if it has no slash, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

const DETAILS: &str = "\
Examples:
  onewait run -- fio --name=a --ioengine=posixaio --rw=randread --size=1G
  onewait run --stats -- ./server --port 80
  onewait run --only libaio -- ./database
  onewait run --stats=json --stats-file=aio.json -- ./job
  onewait run --driver epoll -- ./job      without io_uring, as in most containers
  onewait run --epoll --spin 50us -- redis-server
                                           answer sooner where a processor is free for it: waits look before they sleep

Exit status: the program's own; if a signal ended it, that signal ends onewait. Before it runs:
  127  the program is missing
  126  it cannot be executed, or the library cannot be put in front of it: it is statically linked,
       setuid, for another machine or for another C library; the message tells what to do
  125  onewait itself failed, or its options are wrong

With --stats, onewait stays beside the program, passes on the signals that it is sent, and stops
and continues with it. kill -9 on onewait leaves the program running, without a report.
A signal that an outsider sends to the whole process group reaches the program twice.";

/// Why the program was not run.
enum Failure {
    Driver(UnknownDriver),
    Refused(Refusal),
    Library(library::NoPlace),
    Statistics(io::Error),
    Start(PathBuf, io::Error),
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Failure::Refused(refusal) => refusal.status(),
            Failure::Driver(_) | Failure::Library(_) | Failure::Statistics(_) => OWN_FAILURE,
            Failure::Start(_, error) if error.kind() == io::ErrorKind::NotFound => 127,
            Failure::Start(..) => 126,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(refusal) => refusal.fmt(f),
            Failure::Driver(error) => error.fmt(f),
            Failure::Library(error) => error.fmt(f),
            Failure::Statistics(error) => write!(f, "no statistics: {error}"),
            Failure::Start(path, error) => write!(f, "{}: cannot be started: {error}", path.display()),
        }
    }
}

/// Runs the program; returns only if it could not be started or was watched.
pub(crate) fn run(args: RunArgs) -> ExitCode {
    start(args).unwrap_or_else(|failure| {
        say::message(format_args!("onewait: {failure}"));
        ExitCode::from(failure.status())
    })
}

fn start(args: RunArgs) -> Result<ExitCode, Failure> {
    let Some((name, arguments)) = args.program.split_first() else {
        return Err(Failure::Refused(Refusal::Missing { path: PathBuf::new(), is_path: false }));
    };
    if args.driver.is_none() {
        // The library would say it, too, but only at the program's first request, and go on with another.
        Choice::from_environment().map_err(Failure::Driver)?;
    }
    let path = lookup::resolve(name).map_err(Failure::Refused)?;
    let mut command = match program::inspect(&path).map_err(Failure::Refused)? {
        Form::Kernel => {
            let mut command = Command::new(&path);
            command.arg0(name);
            command
        }
        Form::ShellText => {
            let mut command = Command::new(program::SHELL);
            command.arg(&path);
            command
        }
    };
    command.args(arguments);
    let library = library::path().map_err(Failure::Library)?;
    command.env(environment::PRELOAD_VARIABLE, environment::preload(&library));
    if let Some(driver) = args.driver {
        driver.name_to(&mut command);
    }
    if let Some(only) = args.only {
        only.name_to(&mut command);
    }
    args.epoll.name_to(&mut command);
    match (args.stats, args.stats_file) {
        (None, None) => Err(replace_ourselves(command, &path)),
        (format, file) => {
            let watch = Watch::open(format.unwrap_or_default(), file.as_deref()).map_err(Failure::Statistics)?;
            watch_over(command, &path, watch)
        }
    }
}

/// Turns this process into the program; returns only the reason if that fails.
fn replace_ourselves(mut command: Command, path: &Path) -> Failure {
    inherited::pass_on(&mut command, signals::mask());
    let error = command.exec();
    Failure::Start(path.into(), error)
}

/// Runs the program as a child, reports, and ends as it ended.
fn watch_over(mut command: Command, path: &Path, watch: Watch) -> Result<ExitCode, Failure> {
    watch.name_to(&mut command);
    let end = supervise::run(command).map_err(|error| Failure::Start(path.into(), error))?;
    watch.report(path, end);
    Ok(supervise::end_like(end))
}
