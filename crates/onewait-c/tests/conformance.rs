//! Runs every C test program on the system's AIO and on ours, by each way a program can get ours.
//!
//! `tests/c/*.c` are the programs (`tests/c/check.h` says how they are written). A trial is
//! `<face>::<program>::<test>`; so `cargo test -p onewait-c --test conformance uring::cancel` runs what `cancel.c`
//! says about cancelling, with the library preloaded on the uring driver. `tests/c/fuzz` is played beside these,
//! `include/onewait.h` is compared with what the library exports, and `tests/python` has a reactor in Python's loop.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libtest_mimic::{Arguments, Trial};
use support::face::{Drivers, Face};
use support::fuzz::Fuzz;
use support::program::{Interface, Program};
use support::{embedded, example, header, library, program, trial};

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let drivers = match Drivers::to_test() {
        Ok(drivers) => drivers,
        Err(why) => return refuse(&why),
    };
    let library = match library::build() {
        Ok(library) => Arc::new(library),
        Err(why) => return refuse(&why),
    };
    let mut missing = Vec::new();
    for interface in [Interface::Posix, Interface::Libaio] {
        if let Some(why) = interface.missing() {
            eprintln!("conformance: the programs of {interface:?} are skipped: {why}");
            trial::SKIPS.fetch_add(1, Ordering::Relaxed);
            missing.push(interface);
        }
    }
    let programs = match program::build_all(&library, &missing) {
        Ok(programs) => programs,
        Err(why) => return refuse(&why),
    };
    let fuzz = match program::build_fuzz(&library) {
        Ok(fuzz) => fuzz,
        Err(why) => return refuse(&why),
    };
    let examples = match example::trials(&library, drivers) {
        Ok(examples) => examples,
        Err(why) => return refuse(&why),
    };
    let uncovered = uncovered_rules(&programs, &missing);
    let mut trials = vec![Trial::test("every_rule_has_a_test", move || {
        if uncovered.is_empty() { Ok(()) } else { Err(format!("no test names {}", uncovered.join(", ")).into()) }
    })];
    trials.extend(header::trials(&library));
    // Linked or preloaded makes no difference to them.
    for face in drivers.faces(Interface::Posix).into_iter().filter(|face| matches!(face, Face::Uring | Face::Epoll)) {
        let play = Fuzz { program: fuzz.clone(), library: library.to_path_buf(), face };
        let mistreat = play.clone();
        trials.push(Trial::test(format!("{face}::fuzz::random_calls_give_what_glibc_gives"), move || {
            Ok(play.differential()?)
        }));
        trials.push(Trial::test(format!("{face}::fuzz::garbage_does_no_harm"), move || Ok(mistreat.garbage()?)));
    }
    trials.extend(examples);
    trials.extend(embedded::trials(&library, drivers));
    for program in programs.into_iter().map(Arc::new) {
        for test in &program.tests {
            let faces = drivers.faces(program.interface);
            for face in faces.into_iter().filter(|face| !face.is_original() || test.class.runs_on_the_original()) {
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

fn uncovered_rules(programs: &[Program], missing: &[Interface]) -> Vec<String> {
    let mut uncovered = Vec::new();
    for interface in [Interface::Posix, Interface::Libaio].into_iter().filter(|one| !missing.contains(one)) {
        let of_it = || programs.iter().filter(|program| program.interface == interface);
        let named = |rule: &str| of_it().flat_map(|program| &program.tests).any(|test| test.name.starts_with(rule));
        let rules = (1..=interface.rules()).map(|rule| format!("rule_{rule:02}_"));
        uncovered.extend(rules.filter(|rule| !named(rule.as_str())).map(|rule| format!("{rule} of {interface:?}")));
    }
    uncovered
}

/// Nothing can be tested: say why, and fail.
fn refuse(why: &str) -> ExitCode {
    eprintln!("conformance: {why}");
    ExitCode::FAILURE
}
