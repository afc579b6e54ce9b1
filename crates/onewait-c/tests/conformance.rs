//! Runs every C test program on the system's AIO and on ours, by each way a program can get ours.
//!
//! `tests/c/*.c` are the programs (`tests/c/check.h` says how they are written). A trial is
//! `<face>::<program>::<test>`; so `cargo test -p onewait-c --test conformance uring::cancel` runs what `cancel.c`
//! says about cancelling, with the library preloaded on the uring driver.

mod support;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::face::{self, Face};
use support::{library, program, trial};

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let faces = match face::faces() {
        Ok(faces) => faces,
        Err(why) => return refuse(&why),
    };
    let library = match library::build() {
        Ok(library) => Arc::new(library),
        Err(why) => return refuse(&why),
    };
    let programs = match program::build_all(&library) {
        Ok(programs) => programs,
        Err(why) => return refuse(&why),
    };
    let mut trials = Vec::new();
    for program in programs.into_iter().map(Arc::new) {
        for test in &program.tests {
            for face in faces.iter().copied().filter(|face| *face != Face::Glibc || test.class.runs_on_glibc()) {
                let name = format!("{face}::{}::{}", program.name, test.name);
                let (program, test, library) = (program.clone(), test.clone(), library.clone());
                trials.push(Trial::test(name, move || Ok(trial::run(face, &program, &test, &library)?)));
            }
        }
    }
    libtest_mimic::run(&args, trials).exit_code()
}

/// Nothing can be tested: say why, and fail.
fn refuse(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::FAILURE
}
