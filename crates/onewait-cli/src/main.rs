//! The `onewait` command.

mod bench;
mod driver;
mod epoll;
mod library;
mod only;
mod run;
mod say;
mod stats;

use clap::{Parser, Subcommand};
use std::env;
use std::process::ExitCode;

/// AIO and epoll for Linux as one engine
#[derive(Debug, Parser)]
#[command(name = "onewait", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  onewait run -- fio job.fio           Run fio with its POSIX AIO or libaio on the onewait engine
  onewait run --stats -- fio job.fio   The same, and tell at the end what it did
  onewait bench aio                    See what that brings on this machine's disk
  LD_PRELOAD=$(onewait library) prog   What `run` does, by hand

`onewait help COMMAND` tells more about each.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    /// Measure on this machine what onewait brings
    Bench(bench::BenchArgs),
    /// Print the path of libonewait.so, for LD_PRELOAD or for the linker
    Library,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that cannot be printed is a failure; a wrong argument is one already.
            let is_printed = error.print().is_ok();
            // 2 could be the program's own status; 125 is what commands that run commands use.
            let is_run = env::args_os().nth(1).is_some_and(|argument| argument == "run");
            return ExitCode::from(match error.exit_code() {
                0 if is_printed => 0,
                _ if is_run => run::OWN_FAILURE,
                0 => 1,
                _ => 2,
            });
        }
    };
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Library => library::print(),
    }
}
