//! One process: its own group, its own directory, a limit of time, and its output in files.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::library::scratch;

/// What became of a process.
#[derive(Debug)]
pub(crate) struct End {
    /// `None`: it had to be killed when its time was over.
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl End {
    /// How it ended, in words.
    pub(crate) fn describe(&self) -> String {
        match self.status {
            None => "it hung, and was killed".into(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("killed by signal {signal}"),
                (None, None) => status.to_string(),
            },
        }
    }
}

/// Runs the command to its end, or for `limit`, and then ends what is left of its group.
pub(crate) fn run(mut command: Command, limit: Duration) -> io::Result<End> {
    let place = Place::new()?;
    let (stdout, stderr) = (place.0.join("stdout"), place.0.join("stderr"));
    command.current_dir(place.0.join("cwd"));
    // Files, not pipes: a grandchild that outlives the test would hold a pipe open, and the reader with it.
    command.stdin(std::process::Stdio::null()).stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
    let mut child = command.process_group(0).spawn()?;
    let ended = wait(&child, limit);
    // The leader is not reaped yet, so its number still means this group and no other.
    let killed = kill_process_group(pid_of(&child), Signal::KILL);
    let status = child.wait()?;
    let ended = ended?;
    killed.or_else(|error| if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error) })?;
    Ok(End { status: ended.then_some(status), stdout: read(&stdout), stderr: read(&stderr) })
}

/// Whether the process ended by itself within the limit. It stays a zombie.
fn wait(child: &Child, limit: Duration) -> io::Result<bool> {
    let pidfd = pidfd_open(pid_of(child), PidfdFlags::empty())?;
    let deadline = std::time::Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let timeout = rustix::event::Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// A directory that goes when its test goes.
struct Place(PathBuf);

impl Place {
    fn new() -> io::Result<Place> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("run-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Place(scratch().join(name));
        fs::create_dir_all(place.0.join("cwd"))?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("conformance: {} stays behind: {error}", self.0.display());
        }
    }
}
