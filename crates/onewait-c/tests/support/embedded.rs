//! A reactor inside a loop that nobody made for it: Python's asyncio, by ctypes. `tests/python/embedded.py` says what
//! is to be heard of there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use libtest_mimic::Trial;

use super::child;
use super::face::{Drivers, Face};
use super::program::Interface;
use super::trial::SKIPS;

/// The program gives up by itself before.
const LIMIT: Duration = Duration::from_secs(20);

/// Those that the program has.
const TESTS: [&str; 3] = ["nothing_is_heard_while_nothing_happens", "each_is_heard_of", "all_at_once_are_heard_of"];

/// Each test on each driver.
pub(crate) fn trials(library: &Arc<PathBuf>, drivers: Drivers) -> Vec<Trial> {
    let mut trials = Vec::new();
    // Python loads the library itself, however a C program would come by it.
    let faces = drivers.faces(Interface::Onewait).into_iter().filter(|face| matches!(face, Face::Uring | Face::Epoll));
    for face in faces {
        for test in TESTS {
            let library = library.clone();
            trials.push(Trial::test(format!("{face}::asyncio::{test}"), move || Ok(run(face, test, &library)?)));
        }
    }
    trials
}

fn run(face: Face, test: &str, library: &Path) -> Result<(), String> {
    let python = env::var("ONEWAIT_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    if let Err(error) = Command::new(&python).arg("--version").output() {
        SKIPS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{face}::asyncio::{test} is skipped: {python} does not start ({error})");
        return Ok(());
    }
    let mut command = Command::new(&python);
    command
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/embedded.py"))
        .arg(library)
        .arg(test);
    face.apply(library, &mut command);
    // But a sanitizer's run-time has to be there before Python is.
    command.env_remove("LD_PRELOAD").envs(env::var_os("ONEWAIT_TEST_PRELOAD").map(|first| ("LD_PRELOAD", first)));
    let end = child::run(command, LIMIT).map_err(|error| format!("{python}: {error}"))?;
    let succeeded = end.status.is_some_and(|status| status.success());
    if succeeded { Ok(()) } else { Err(format!("{}\n{}{}", end.describe(), end.stdout, end.stderr)) }
}
