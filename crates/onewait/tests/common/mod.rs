//! What the tests of the safe face share.
#![allow(dead_code, reason = "not every test program uses all of it")]

pub(crate) mod examples;
pub(crate) mod seccomp;
pub(crate) mod watched;

use onewait::{Aio, Completion, CompletionQueue, Descriptor};
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything takes here: a test that waits so long has failed.
pub(crate) const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));

/// A queue of an engine of its own, on the driver that `ONEWAIT_DRIVER` asks for.
pub(crate) fn queue() -> CompletionQueue {
    aio().queue()
}

pub(crate) fn aio() -> Aio {
    Aio::new().expect("an engine can be started")
}

/// The next completion.
pub(crate) fn reap(queue: &CompletionQueue) -> Completion {
    queue.reap(PATIENCE).expect("something completes")
}

/// The next `count` completions.
pub(crate) fn reap_all(queue: &CompletionQueue, count: usize) -> Vec<Completion> {
    (0..count).map(|_| reap(queue)).collect()
}

/// A pipe: the reading end for requests, and the writing end.
pub(crate) fn pipe() -> (Descriptor, PipeWriter) {
    let (reader, writer) = io::pipe().expect("a pipe can be made");
    (reader.into(), writer)
}

/// A path for a file, which is removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Scratch(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("face-{}-{number}", std::process::id())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The file for reading and writing, made if need be.
    pub(crate) fn open(&self) -> Descriptor {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.0);
        options.expect("a file can be made").into()
    }

    /// The file with this content.
    pub(crate) fn with(content: &[u8]) -> (Scratch, Descriptor) {
        let scratch = Scratch::new();
        std::fs::write(&scratch.0, content).expect("a file can be written");
        let file = scratch.open();
        (scratch, file)
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        std::fs::read(&self.0).expect("the file can be read")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file that is open for reading only.
pub(crate) fn read_only(path: &Path) -> Descriptor {
    File::open(path).expect("the file can be opened").into()
}

/// Bytes that look random and depend on `seed`.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// FNV-1a.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

const CHILD: &str = "ONEWAIT_TEST_CHILD";

/// Runs the test called `name` again in a process of its own, where `body` is run. For what would hurt other tests.
pub(crate) fn in_child(name: &str, variables: &[(&str, &str)], body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let program = std::env::current_exe().expect("the test program has a path");
    let mut command = Command::new(program);
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, "1").envs(variables.iter().copied());
    let output = command.output().expect("the test program can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{:?}: {text}{}", output.status, String::from_utf8_lossy(&output.stderr));
}
