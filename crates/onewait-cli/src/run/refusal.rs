//! Why a program is not run: the cause, and what can be done about it.

use std::fmt;
use std::path::PathBuf;

/// A reason for not running a program.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no such file; `is_path` if it was looked for at one place only.
    Missing { path: PathBuf, is_path: bool },
    /// The `#!` line of `script` names an interpreter that does not exist.
    MissingInterpreter { script: PathBuf, interpreter: PathBuf },
    /// The file cannot be executed.
    NotExecutable { path: PathBuf, why: String },
    /// The file is neither a program nor a script.
    BadFormat { path: PathBuf },
    /// No loader runs before the program that could put the library in front of it.
    Static { path: PathBuf },
    /// The program gets other rights than this process has, so that its loader ignores LD_PRELOAD.
    Privileged { path: PathBuf, how: String, cure: String },
    /// The program is for another kind of processor.
    OtherMachine { path: PathBuf, machine: String, ours: String },
    /// The program uses another C library.
    OtherLoader { path: PathBuf, loader: PathBuf, ours: PathBuf },
}

impl Refusal {
    /// The exit status that a shell would report: 127 for what is missing, 126 for what cannot be run.
    pub(super) fn status(&self) -> u8 {
        match self {
            Refusal::Missing { .. } | Refusal::MissingInterpreter { .. } => 127,
            _ => 126,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Missing { path, is_path: true } => {
                write!(f, "{}: no such file", path.display())
            }
            Refusal::Missing { path, is_path: false } => {
                write!(f, "{:?}: not found in PATH; give its path, as in ./program", path.display().to_string())
            }
            Refusal::MissingInterpreter { script, interpreter } => write!(
                f,
                "{}: its #! line names {}, which does not exist; install it, or correct the line",
                script.display(),
                interpreter.display()
            ),
            Refusal::NotExecutable { path, why } => write!(f, "{}: cannot be executed: {why}", path.display()),
            Refusal::BadFormat { path } => write!(
                f,
                "{}: is neither an ELF program nor a script; if another program runs such files (java, wine …), name \
                 that program",
                path.display()
            ),
            Refusal::Static { path } => write!(
                f,
                "{}: is statically linked, so the library cannot be put in front of it; use a dynamically linked build \
                 (C: without -static; Go: with cgo; Rust: a -gnu target)",
                path.display()
            ),
            Refusal::Privileged { path, how, cure } => write!(
                f,
                "{}: {how}, and the system's loader puts no library in front of such a program; {cure}",
                path.display()
            ),
            Refusal::OtherMachine { path, machine, ours } => write!(
                f,
                "{}: is a program for {machine}, and this onewait is for {ours}; use an onewait built for {machine}",
                path.display()
            ),
            Refusal::OtherLoader { path, loader, ours } => write!(
                f,
                "{}: uses the C library of {}, and this onewait that of {}; use builds for the same C library",
                path.display(),
                loader.display(),
                ours.display()
            ),
        }
    }
}
