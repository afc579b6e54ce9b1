//! Runs every C test program on the system's AIO and on ours, by each way a program can get ours.
//!
//! `tests/c/*.c` are the programs (`tests/c/check.h` says how they are written). A trial is
//! `<face>::<program>::<test>`; so `cargo test -p onewait-c --test conformance uring::cancel` runs what `cancel.c`
//! says about cancelling, with the library preloaded on the uring driver. `tests/c/fuzz` is played beside these.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libtest_mimic::{Arguments, Trial};
use support::face::{self, Face};
use support::fuzz::Fuzz;
use support::program::Program;
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
    let fuzz = match program::build_fuzz(&library) {
        Ok(fuzz) => fuzz,
        Err(why) => return refuse(&why),
    };
    let uncovered = uncovered_rules(&programs);
    let mut trials = vec![Trial::test("every_rule_has_a_test", move || {
        if uncovered.is_empty() { Ok(()) } else { Err(format!("no test names rules {uncovered:?}").into()) }
    })];
    // Linked or preloaded makes no difference to them.
    for face in faces.iter().copied().filter(|face| matches!(face, Face::Uring | Face::Epoll)) {
        let play = Fuzz { program: fuzz.clone(), library: library.to_path_buf(), face };
        let mistreat = play.clone();
        trials.push(Trial::test(format!("{face}::fuzz::random_calls_give_what_glibc_gives"), move || {
            Ok(play.differential()?)
        }));
        trials.push(Trial::test(format!("{face}::fuzz::garbage_does_no_harm"), move || Ok(mistreat.garbage()?)));
    }
    for program in programs.into_iter().map(Arc::new) {
        for test in &program.tests {
            for face in faces.iter().copied().filter(|face| *face != Face::Glibc || test.class.runs_on_glibc()) {
                let name = format!("{face}::{}::{}", program.name, test.name);
                let (program, test, library) = (program.clone(), test.clone(), library.clone());
                trials.push(Trial::test(name, move || Ok(trial::run(face, &program, &test, &library)?)));
            }
        }
    }
    let conclusion = libtest_mimic::run(&args, trials);
    if !args.list {
        eprintln!("conformance: {} skipped", trial::SKIPS.load(Ordering::Relaxed));
    }
    conclusion.exit_code()
}

/// The rules of POSIX AIO are numbered; a test of rule 9 is named `rule_09_…`.
const RULES: u32 = 82;

fn uncovered_rules(programs: &[Program]) -> Vec<u32> {
    let names = || programs.iter().flat_map(|program| &program.tests).map(|test| &test.name);
    (1..=RULES).filter(|rule| !names().any(|name| name.starts_with(&format!("rule_{rule:02}_")))).collect()
}

/// Nothing can be tested: say why, and fail.
fn refuse(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::FAILURE
}
