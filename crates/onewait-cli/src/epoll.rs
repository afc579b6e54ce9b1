//! `--epoll` and `--spin`: whether epolls of the program's own are served, and how.

use onewait::reactor::{SPIN_VARIABLE, SpinTime};
use std::process::Command;

/// The environment variable by which the library is told.
const EPOLL_VARIABLE: &str = "ONEWAIT_EPOLL";

/// How a program's epolls are served.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Epoll {
    /// Serve the program's epoll calls, too: nothing changes but what --spin asks for, and --stats counts them
    #[arg(long)]
    epoll: bool,

    /// Let a wait look for events for up to TIME before it sleeps, where that was of use lately: 50us, at most 1ms
    #[arg(long, value_name = "TIME", requires = "epoll")]
    spin: Option<SpinTime>,
}

impl Epoll {
    /// Tells the library in the program that `command` starts.
    pub(crate) fn name_to(self, command: &mut Command) {
        if self.epoll {
            command.env(EPOLL_VARIABLE, "on");
        }
        if let Some(spin) = self.spin {
            command.env(SPIN_VARIABLE, spin.to_string());
        }
    }
}
