//! The sides that are compared: the same program on the system as it is, through onewait, and on bare io_uring.

use super::row::{Calls, Row};
use super::worker::Measured;
use crate::driver::Driver;
use clap::ValueEnum;
use onewait::driver::DRIVER_VARIABLE;
use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Who does the I/O.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Who serves the calls without onewait.
    Original,
    Onewait,
    Uring,
}

impl Side {
    pub(crate) const ALL: [Side; 3] = [Side::Original, Side::Onewait, Side::Uring];

    /// What it is called in rows of these calls.
    pub(crate) fn name(self, calls: Calls) -> &'static str {
        match self {
            Side::Original => calls.original(),
            Side::Onewait => "onewait",
            Side::Uring => "io_uring",
        }
    }
}

/// Why a run gave no figure.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Somebody pressed Ctrl-C: the child got it too.
    Interrupted,
    /// What the child said, or how it ended.
    Failed(String),
}

/// What all runs have in common.
#[derive(Debug)]
pub(crate) struct Children {
    pub(crate) library: PathBuf,
    pub(crate) driver: Option<Driver>,
    pub(crate) file: PathBuf,
    pub(crate) seconds: f64,
}

impl Children {
    /// Runs the program once.
    pub(crate) fn run(&self, side: Side, row: Row, region: u64, seed: u64) -> Result<Measured, Failure> {
        let failed = |message: String| Failure::Failed(format!("{}: {message}", side.name(row.calls)));
        let output = self
            .command(side, row, region, seed)
            .output()
            .map_err(|error| failed(format!("cannot start the program: {error}")))?;
        if output.status.signal() == Some(libc::SIGINT) {
            return Err(Failure::Interrupted);
        }
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(if said.is_empty() {
                format!("the program ended with {}", output.status)
            } else {
                said
            }));
        }
        let measured: Measured = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("the program's output is not understood: {error}")))?;
        self.prove(side, measured.provider.as_deref()).map_err(failed)?;
        Ok(measured)
    }

    fn command(&self, side: Side, row: Row, region: u64, seed: u64) -> Command {
        // This very binary, also when its file was replaced in the meantime.
        let mut command = Command::new("/proc/self/exe");
        let engine = match (side, row.calls) {
            (Side::Uring, _) => "uring",
            (_, Calls::Posix) => "posix",
            (_, Calls::Libaio) => "libaio",
        };
        command.args(["bench", "worker", "--engine", engine]).arg("--file").arg(&self.file);
        let value = |value: &dyn ValueName| value.name();
        command.args(["--op", &value(&row.op), "--cache", &value(&row.cache)]);
        command.args(["--depth", &row.depth.to_string(), "--seconds", &self.seconds.to_string()]);
        command.args(["--region", &region.to_string(), "--seed", &seed.to_string()]);
        command.stdin(Stdio::null());

        // What the user has set for an outer `onewait run` is not for these children; a driver is, if nobody gave one.
        for (name, _) in env::vars_os() {
            if name.as_bytes().starts_with(b"ONEWAIT_") && name != DRIVER_VARIABLE {
                command.env_remove(name);
            }
        }
        if let Some(driver) = self.driver {
            driver.name_to(&mut command);
        }
        let others = without_onewait(&env::var_os("LD_PRELOAD").unwrap_or_default());
        let preload = match side {
            Side::Onewait => with_in_front(&self.library, others),
            _ => others,
        };
        match preload.is_empty() {
            true => command.env_remove("LD_PRELOAD"),
            false => command.env("LD_PRELOAD", preload),
        };
        command
    }

    /// A comparison of a side with itself must not pass for a result.
    fn prove(&self, side: Side, provider: Option<&Path>) -> Result<(), String> {
        let ours = provider.is_some_and(|provider| same(provider, &self.library));
        match (side, provider) {
            (Side::Onewait, provider) if !ours => Err(format!(
                "the library is not in front of the program: its calls are {}'s, not {}'s",
                provider.unwrap_or(Path::new("an unknown object")).display(),
                self.library.display()
            )),
            (Side::Original, Some(provider)) if ours || named_onewait(provider.as_os_str().as_bytes()) => {
                Err(format!("the program without the library has it all the same: {}", provider.display()))
            }
            _ => Ok(()),
        }
    }
}

/// The name that clap gives a value, and takes back.
trait ValueName {
    fn name(&self) -> String;
}

impl<T: ValueEnum> ValueName for T {
    fn name(&self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn named_onewait(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"libonewait"))
}

/// LD_PRELOAD's list (separated by colons or spaces) without any libonewait.so, whoever put it there.
fn without_onewait(list: &OsString) -> OsString {
    let keep: Vec<&[u8]> = list
        .as_bytes()
        .split(|byte| b": ".contains(byte))
        .filter(|path| !path.is_empty() && !named_onewait(path))
        .collect();
    OsString::from_vec(keep.join(&b':'))
}

fn with_in_front(library: &Path, others: OsString) -> OsString {
    let mut list = library.as_os_str().to_owned();
    if !others.is_empty() {
        list.push(":");
        list.push(others);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preloaded_onewait_is_taken_out_and_the_rest_is_kept() {
        let list = |text: &str| without_onewait(&OsString::from(text));
        assert_eq!(list("/a/libonewait.so"), "");
        assert_eq!(list("/a/libonewait-1f.so:/b/libtrace.so /c/libx.so"), "/b/libtrace.so:/c/libx.so");
        assert_eq!(list("/home/libonewait/libx.so"), "/home/libonewait/libx.so");
        assert_eq!(with_in_front(Path::new("/a/l.so"), list("/b/x.so")), "/a/l.so:/b/x.so");
        assert_eq!(with_in_front(Path::new("/a/l.so"), list("")), "/a/l.so");
    }
}
