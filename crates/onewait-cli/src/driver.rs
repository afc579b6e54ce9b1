//! `--driver`: the engine's drivers, under the engine's own names for them.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use onewait::DriverKind;
use onewait::driver::DRIVER_VARIABLE;
use std::process::Command;

/// What talks to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Driver(DriverKind);

impl ValueEnum for Driver {
    fn value_variants<'a>() -> &'a [Driver] {
        &[Driver(DriverKind::Uring), Driver(DriverKind::Epoll)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            DriverKind::Uring => "io_uring",
            DriverKind::Epoll => "epoll, with threads for files",
        };
        Some(PossibleValue::new(self.name()).help(help))
    }
}

impl Driver {
    pub(crate) fn name(self) -> &'static str {
        self.0.name()
    }

    /// Tells the library in the program that `command` starts to use this driver, and no other.
    pub(crate) fn name_to(self, command: &mut Command) {
        command.env(DRIVER_VARIABLE, self.name());
    }
}
