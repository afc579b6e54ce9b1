//! `--only`: which of the library's faces serve.

use std::process::Command;

/// The environment variable by which the library is told.
const ONLY_VARIABLE: &str = "ONEWAIT_ONLY";

/// The calls that are served.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Only {
    /// Those of <aio.h>; libaio's stay the kernel's
    Posix,
    /// Those of libaio, and system calls of the kernel's AIO; <aio.h> stays the C library's
    Libaio,
    /// All of them
    All,
}

impl Only {
    /// Tells the library in the program that `command` starts.
    pub(crate) fn name_to(self, command: &mut Command) {
        let name = match self {
            Only::Posix => "posix",
            Only::Libaio => "libaio",
            Only::All => "all",
        };
        command.env(ONLY_VARIABLE, name);
    }
}
