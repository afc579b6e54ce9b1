//! Random sequences of calls: what `c/fuzz/` plays and writes down must be the same on glibc and on ours; and what no
//! program should do must do no harm on ours.

use std::env;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::child::{self, End};
use super::face::Face;
use super::shrink::{Steps, shrink};

/// How many steps a run has at first.
const STEPS: u32 = 40;

/// How many seeds are played if nothing is said: the same ones each time, a few seconds' worth.
const SEEDS: u64 = 40;

/// No run takes that long that does not hang.
const LIMIT: Duration = Duration::from_secs(20);

/// The same where it is known that something is wrong, and that it is asked again and again.
const SHRINKING_LIMIT: Duration = Duration::from_secs(6);

/// So many lines before a difference are shown.
const LINES_BEFORE: usize = 8;

/// The program, and what it is played on.
#[derive(Clone, Debug)]
pub(crate) struct Fuzz {
    pub(crate) program: PathBuf,
    pub(crate) library: PathBuf,
    pub(crate) face: Face,
}

/// Where two transcripts part.
struct Difference {
    /// The step that the first differing line belongs to.
    step: u32,
    story: String,
}

impl Fuzz {
    /// The same transcript as on glibc, for every seed.
    pub(crate) fn differential(&self) -> Result<(), String> {
        for_seeds(|seed| {
            let all = Steps::first(STEPS);
            let Some(difference) = self.compare(seed, &all, LIMIT)? else { return Ok(()) };
            let fails = |steps: &Steps| matches!(self.compare(seed, steps, SHRINKING_LIMIT), Ok(Some(_)));
            let steps = shrink(all, difference.step, fails);
            // A difference that is chance may be gone by now.
            let last = self.compare(seed, &steps, LIMIT)?;
            let note =
                if last.is_some() { "" } else { "(it does not happen each time: these are the steps as they were)\n" };
            let shown = last.unwrap_or(difference);
            Err(format!(
                "seed {seed}, steps {steps}:\n{note}{}--- to repeat\n{}",
                shown.story,
                self.by_hand("play", seed, &steps)
            ))
        })
    }

    /// No crash, no hang, no byte changed that is not ours, for every seed.
    pub(crate) fn garbage(&self) -> Result<(), String> {
        for_seeds(|seed| {
            let fails = |steps: &Steps, limit| match self.play(self.face, "garbage", seed, steps, limit) {
                Ok(end) if succeeded(&end) => None,
                Ok(end) => {
                    Some(format!("{}\n{}\n{}", end.describe(), end.stderr.trim_end(), tail(&end.stdout, usize::MAX)))
                }
                Err(error) => Some(error.to_string()),
            };
            let all = Steps::first(STEPS);
            let Some(first) = fails(&all, LIMIT) else { return Ok(()) };
            let steps = shrink(all, STEPS - 1, |steps| fails(steps, SHRINKING_LIMIT).is_some());
            let story = fails(&steps, LIMIT).unwrap_or(first);
            Err(format!(
                "seed {seed}, steps {steps}:\n{story}\n--- to repeat\n{}",
                self.by_hand("garbage", seed, &steps)
            ))
        })
    }

    fn play(&self, face: Face, mode: &str, seed: u64, steps: &Steps, limit: Duration) -> io::Result<End> {
        let mut command = Command::new(&self.program);
        command.args([mode, &seed.to_string(), &steps.to_string()]);
        face.apply(&self.library, &mut command);
        child::run(command, limit)
    }

    /// Plays on both; `None` if there is no difference.
    fn compare(&self, seed: u64, steps: &Steps, limit: Duration) -> Result<Option<Difference>, String> {
        let play = |face| self.play(face, "play", seed, steps, limit).map_err(|error| format!("seed {seed}: {error}"));
        let (theirs, ours) = (play(Face::Glibc)?, play(self.face)?);
        if !succeeded(&theirs) {
            // Nothing to compare with: the generator has come too near to what the original does badly.
            let (how, shown) = (theirs.describe(), tail(&theirs.stdout, usize::MAX));
            let by_hand = self.by_hand("play", seed, steps);
            return Err(format!(
                "seed {seed}: glibc itself fails: {how}\n{}\n{shown}--- to repeat\n{by_hand}",
                theirs.stderr
            ));
        }
        if succeeded(&ours) && theirs.stdout == ours.stdout {
            return Ok(None);
        }
        let same = theirs.stdout.lines().zip(ours.stdout.lines()).take_while(|(left, right)| left == right).count();
        let line = |text: &str| text.lines().nth(same).unwrap_or("(nothing)").to_owned();
        let (left, right) = (line(&theirs.stdout), line(&ours.stdout));
        let mut story = tail(&theirs.stdout, same);
        let _ = writeln!(story, "  glibc: {left}\n  {}: {right}", self.face);
        if !succeeded(&ours) {
            let _ = writeln!(story, "  {} ends: {} {}", self.face, ours.describe(), ours.stderr.trim_end());
        }
        let step_of = |line: &str| line.split(':').next().and_then(|step| step.parse().ok());
        Ok(Some(Difference { step: step_of(&left).or(step_of(&right)).unwrap_or(STEPS - 1), story }))
    }

    fn by_hand(&self, mode: &str, seed: u64, steps: &Steps) -> String {
        let line = |face: Face, output: &str| {
            let mut line = String::from("(cd \"$(mktemp -d -p \"$PWD\")\" && env");
            for (name, value) in face.environment(&self.library) {
                let _ = write!(line, " {name}='{value}'");
            }
            let _ = write!(line, " '{}' {mode} {seed} {steps}){output}", self.program.display());
            line
        };
        match mode {
            "play" => format!(
                "{}\n{}\ndiff glibc.txt ours.txt",
                line(Face::Glibc, " >glibc.txt"),
                line(self.face, " >ours.txt")
            ),
            _ => line(self.face, ""),
        }
    }
}

fn succeeded(end: &End) -> bool {
    end.status.is_some_and(|status| status.success())
}

/// The last lines of the first `end` ones.
fn tail(text: &str, end: usize) -> String {
    let lines: Vec<&str> = text.lines().take(end).collect();
    lines[lines.len().saturating_sub(LINES_BEFORE)..]
        .iter()
        .fold(String::new(), |all, line| all + "         " + line + "\n")
}

/// Runs something for the fixed seeds, or with `ONEWAIT_FUZZ=MINUTES` for fresh ones for so long.
fn for_seeds(mut run: impl FnMut(u64) -> Result<(), String>) -> Result<(), String> {
    let Ok(minutes) = env::var("ONEWAIT_FUZZ") else { return (1..=SEEDS).try_for_each(run) };
    let minutes: u32 = minutes.parse().map_err(|error| format!("ONEWAIT_FUZZ is {minutes:?}, no minutes: {error}"))?;
    let end = Instant::now() + Duration::from_secs(60) * minutes;
    // Short enough to be written down.
    let first = RandomState::new().hash_one(minutes) >> 24;
    eprintln!("fuzz: fresh seeds from {first} on");
    let mut seed = first;
    while Instant::now() < end {
        run(seed)?;
        seed += 1;
    }
    eprintln!("fuzz: seeds {first} to {} played, {STEPS} steps each", seed - 1);
    Ok(())
}
