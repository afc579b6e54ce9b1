//! What the tests of the command share: the command itself, programs to run with it, places to put them.
#![allow(dead_code, reason = "every test file takes what it needs")]

pub(crate) mod fio;
pub(crate) mod watched;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Both forms of `onewait run`: in place of onewait, and as its child.
pub(crate) const FORMS: [&[&str]; 2] = [&["run", "--"], &["run", "--stats", "--"]];

/// The real command.
pub(crate) fn onewait(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onewait"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// `onewait run` in the given form, with `program`.
pub(crate) fn run(form: &[&str], program: &[&str]) -> Command {
    let mut command = onewait(form);
    command.args(program);
    command
}

pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Checks a refusal: its status, and that its message names cause and cure.
#[track_caller]
pub(crate) fn assert_refused(command: &mut Command, status: i32, parts: &[&str]) {
    let output = output(command);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{message}");
    assert!(message.starts_with("onewait: "), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
}

/// A place to print to that takes nothing.
pub(crate) fn full() -> fs::File {
    fs::File::options().write(true).open("/dev/full").unwrap()
}

/// Runs a command whose reader has gone away: it must fail, and not by a panic. Gives what it says of that.
#[track_caller]
pub(crate) fn unprinted(command: &mut Command) -> String {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let done = output(command.stdout(writer));
    let message = stderr(&done);
    assert_eq!(done.status.code(), Some(1), "{message}");
    message
}

/// Starts `command`, and waits until it has printed a line.
pub(crate) fn start(command: &mut Command) -> Child {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty(), "the program ended without a word");
    child
}

/// A directory that goes with the test.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("onewait-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Place(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }

    /// Puts a file there, with these permissions.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> String {
        let (path, draft) = (self.join(name), self.join("draft"));
        fs::write(&draft, content).unwrap();
        // Written by this process, the file would be busy (ETXTBSY) while a child that another test just forked holds
        // the descriptor.
        let status = Command::new("install").args(["-m", &format!("{mode:o}"), &draft, &path]).status().unwrap();
        assert!(status.success());
        path
    }

    /// Compiles a C program there; `None`, with a word about it, if this machine's compiler cannot.
    pub(crate) fn compile(&self, compiler: &str, flags: &[&str], source: &str) -> Option<String> {
        let input = self.file("program.c", source, 0o644);
        let program = self.join(&format!("program-{compiler}{}", flags.concat()));
        let output = Command::new(compiler).args(["-o", &program, &input]).args(flags).output();
        match output {
            Ok(output) if output.status.success() => Some(program),
            Ok(output) => skip(&format!("{compiler} {flags:?}: {}", stderr(&output))),
            Err(error) => skip(&format!("{compiler}: {error}")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Says why a test, or a part of one, is left out. The test passes, so the end of the run tells how often that happened.
pub(crate) fn skip<T>(reason: &str) -> Option<T> {
    static SKIPS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn count() {
        let _ = writeln!(std::io::stderr(), "{}: {} skipped", env!("CARGO_CRATE_NAME"), SKIPS.load(Ordering::Relaxed));
    }
    if SKIPS.fetch_add(1, Ordering::Relaxed) == 0 {
        // SAFETY: the function calls nothing that needs more than a running process. Should it fail, only a word is lost.
        unsafe { libc::atexit(count) };
    }
    eprintln!("skipped: {reason}");
    None
}
