//! One test on one face: what is run, and what its end means.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::child;
use super::face::Face;
use super::program::{Class, Program, Test};

/// Nothing that works takes longer, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// How long the original is watched where it is expected to hang.
const ORIGINAL_LIMIT: Duration = Duration::from_secs(3);

/// Where the original fails by a race, it may get through: so often it is tried.
const ORIGINAL_ATTEMPTS: u32 = 5;

/// The exit status that means: no verdict.
const SKIPPED: i32 = 77;

/// The exit status that means: the situation could not be set up, which says nothing about an AIO.
const NOT_SET_UP: i32 = 78;

/// How many trials were skipped. To libtest-mimic they have passed.
pub(crate) static SKIPS: AtomicUsize = AtomicUsize::new(0);

/// Runs the test; an error is the whole story of its failure.
pub(crate) fn run(face: Face, program: &Program, test: &Test, library: &Path) -> Result<(), String> {
    let path = if face == Face::Linked { &program.linked } else { &program.plain };
    let must_fail = face.is_original() && test.class == Class::Better;
    let (limit, attempts) = if must_fail { (ORIGINAL_LIMIT, ORIGINAL_ATTEMPTS) } else { (LIMIT, 1) };
    let mut attempt = 0;
    let (end, code) = loop {
        attempt += 1;
        let mut command = Command::new(path);
        command.arg(&test.name);
        face.apply(library, &mut command);
        let end = child::run(command, limit).map_err(|error| format!("{}: {error}", path.display()))?;
        let code = end.status.and_then(|status| status.code());
        if code != Some(0) || attempt == attempts {
            break (end, code);
        }
    };
    if code == Some(SKIPPED) {
        SKIPS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{face}::{}::{} is skipped: {}", program.name, test.name, end.stderr.trim_end());
        return Ok(());
    }
    let passed = code == Some(0);
    if must_fail && !passed && code != Some(NOT_SET_UP) {
        // Shown, because a failure for another reason than the one that the test is about would prove nothing.
        let how =
            end.stderr.lines().last().map_or_else(|| end.describe(), |last| format!("{}: {last}", end.describe()));
        eprintln!("{face}::{}::{} fails there, as it must: {how}", program.name, test.name);
        return Ok(());
    }
    if passed && !must_fail {
        return Ok(());
    }
    let mut story =
        if passed { format!("{face} passes this test, so it shows no improvement\n") } else { end.describe() + "\n" };
    for (name, text) in [("stdout", &end.stdout), ("stderr", &end.stderr)] {
        if !text.is_empty() {
            story += &format!("--- {name}\n{}\n", text.trim_end());
        }
    }
    let mut by_hand = String::from("cd \"$(mktemp -d -p .)\" && ");
    for (name, value) in face.environment(library) {
        by_hand += &format!("{name}='{value}' ");
    }
    Err(format!("{story}--- to repeat\n{by_hand}'{}' {}", path.display(), test.name))
}
