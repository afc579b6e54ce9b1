//! Programs that nobody wrote for onewait, run under `onewait run` with a limit of time, and what its statistics say.

use super::{onewait, skip, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds that no run of these sizes takes, also on a slow disk and two processors: longer means that it hangs.
const LIMIT: &str = "60";

/// Runs a program with the library in front of it, in the directory `disk`: what it said, and what its AIO did.
pub(crate) fn watched(driver: &str, stats: &Disk, disk: &Disk, program: &[&str]) -> (Output, Value) {
    let report = stats.0.join("stats.json");
    let file = format!("--stats-file={}", report.display());
    let command = onewait(&["run", "--driver", driver, "--stats=json", &file, "--"]);
    let mut limited = Command::new("timeout");
    // After the limit it is told to end; five seconds later, it is ended.
    limited.args(["--kill-after=5", LIMIT]).arg(command.get_program()).args(command.get_args()).args(program);
    // Files, not pipes: what hangs would hold a pipe open, and its reader with it.
    let (out, err) = (stats.0.join("stdout"), stats.0.join("stderr"));
    let (stdout, stderr) = (fs::File::create(&out).unwrap(), fs::File::create(&err).unwrap());
    let status = limited.current_dir(&disk.0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().unwrap();
    let done = Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() };
    let is_over = status.code() == Some(124) || status.signal() == Some(libc::SIGKILL);
    assert!(!is_over, "{program:?} on {driver} hangs: {}", told(&done));
    let text = fs::read(&report).unwrap();
    (done, serde_json::from_slice(&text).unwrap_or_default())
}

/// The program's requests went through this driver alone, and all of them ended well, or because they were cancelled.
#[track_caller]
pub(crate) fn assert_clean(driver: &str, report: &Value, done: &Output) {
    let kinds = report["requests"].as_object().unwrap_or_else(|| panic!("no requests: {report:#}"));
    let sum = |field: &str| kinds.values().filter_map(|kind| kind[field].as_u64()).sum::<u64>();
    assert!(sum("submitted") > 0, "no request came through: {report:#}\n{}", told(done));
    assert_eq!(sum("completed"), sum("submitted"), "{report:#}");
    // What is done in the call itself, or by the copier, needs no driver.
    let no_driver = ["inline", "copier"].iter().filter_map(|route| report["routes"][route].as_u64()).sum::<u64>();
    let has_queued = no_driver != sum("submitted");
    for one in ["uring", "epoll"] {
        assert_eq!(report["driver"][one], driver == one && has_queued, "{report:#}");
    }
    assert_eq!(report["events"]["cancelled"], sum("failed"), "{report:#}");
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, stdout(output), stderr(output))
}

/// The drivers to test: none, with a word about it, if `program` is missing.
pub(crate) fn drivers(program: &str) -> Vec<String> {
    if Command::new(program).arg("--version").output().is_err() {
        return skip(&format!("{program} is not installed")).unwrap_or_default();
    }
    match std::env::var("ONEWAIT_DRIVER") {
        Ok(driver) => vec![driver],
        Err(_) if io_uring::IoUring::new(1).is_ok() => vec!["uring".into(), "epoll".into()],
        Err(_) => {
            eprintln!("io_uring is refused here: only the epoll driver is tested");
            vec!["epoll".into()]
        }
    }
}

/// A directory beside the build, so on a disk that knows O_DIRECT, that goes with its test.
pub(crate) struct Disk(pub(crate) PathBuf);

impl Disk {
    pub(crate) fn new() -> Disk {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("{}-{}-{}", env!("CARGO_CRATE_NAME"), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Disk(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        end_those_in(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ends what still runs in the directory `place`. fio's jobs are sessions of their own, so no signal to a group reaches
/// them.
fn end_those_in(place: &Path) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let name = process.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok())
            && fs::read_link(process.path().join("cwd")).is_ok_and(|directory| directory == place)
        {
            eprintln!("process {number} is left over, and is ended");
            // SAFETY: no memory is involved.
            unsafe { libc::kill(number, libc::SIGKILL) };
        }
    }
}
