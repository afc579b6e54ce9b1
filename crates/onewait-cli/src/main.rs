//! The `onewait` command.

mod bench;
mod library;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// AIO and epoll for Linux as one engine
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure on this machine what onewait brings
    Bench(bench::BenchArgs),
    /// Print the path of libonewait.so, for LD_PRELOAD or for the linker
    Library,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Bench(args) => bench::run(args),
        Command::Library => library::print(),
    }
}
