//! Programs that nobody wrote for onewait run under `onewait run`, and their own checks pass: fio reads back and verifies
//! what it wrote, stress-ng verifies what its requests return. The driver is the one that ONEWAIT_DRIVER names, or each.
//!
//! Both come from the distribution's packages; where one is missing, its tests say so and check nothing.

mod common;

use common::{onewait, skip, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Seconds that no run of these sizes takes, also on a slow disk and two processors: longer means that it hangs.
const LIMIT: &str = "60";

#[test]
fn fio_verifies_random_writes_with_o_direct() {
    for depth in ["1", "32", "128"] {
        verify(&["--direct=1", "--rw=randwrite", "--size=8M", &format!("--iodepth={depth}")]);
    }
}

#[test]
fn fio_verifies_random_writes_through_the_page_cache() {
    for depth in ["1", "32", "128"] {
        for block in ["4k", "1k"] {
            verify(&["--rw=randwrite", "--size=4M", &format!("--bs={block}"), &format!("--iodepth={depth}")]);
        }
    }
}

#[test]
fn fio_verifies_writes_between_reads() {
    for direct in ["0", "1"] {
        verify(&["--rw=randrw", "--size=8M", "--iodepth=16", &format!("--direct={direct}")]);
    }
}

#[test]
fn fio_verifies_while_it_writes() {
    verify(&["--rw=randwrite", "--size=8M", "--iodepth=32", "--verify_backlog=64"]);
}

#[test]
fn fio_verifies_what_it_synchronises() {
    for sync in ["--fsync=16", "--fdatasync=16"] {
        for depth in ["1", "32"] {
            verify(&["--rw=randwrite", "--size=2M", sync, &format!("--iodepth={depth}")]);
        }
    }
}

#[test]
fn fio_verifies_jobs_that_are_threads_of_one_process() {
    for direct in ["0", "1"] {
        let direct = format!("--direct={direct}");
        verify(&["--thread", "--numjobs=4", "--rw=randwrite", "--size=4M", "--iodepth=16", &direct]);
    }
}

#[test]
fn fio_verifies_jobs_that_are_processes() {
    verify(&["--numjobs=4", "--rw=randwrite", "--size=4M", "--iodepth=16"]);
}

#[test]
fn fio_verifies_blocks_of_many_sizes() {
    verify(&["--rw=randwrite", "--size=8M", "--iodepth=32", "--bsrange=512-256k", "--bs_unaligned=1"]);
}

/// Else all of the above would prove nothing.
#[test]
fn fio_finds_a_wrong_block_through_onewait() {
    for driver in drivers("fio") {
        let disk = Disk::new();
        let file = disk.0.join("file");
        let name = format!("--filename={}", file.display());
        let wish = ["--rw=randwrite", "--size=1M", "--iodepth=32", &name];
        let (done, _) = fio(&driver, &disk, &wish);
        assert!(done.status.success(), "{}", told(&done));
        fs::File::options().write(true).open(&file).unwrap().write_all_at(&[0x5a; 100], 33 * 4096 + 1000).unwrap();
        let (done, _) = fio(&driver, &disk, &[&wish[..], &["--verify_only"]].concat());
        assert!(!done.status.success(), "fio on {driver} finds nothing wrong: {}", told(&done));
        assert!(told(&done).contains("verify"), "{}", told(&done));
    }
}

#[test]
fn stress_ng_verifies_its_requests() {
    for driver in drivers("stress-ng") {
        for requests in ["1", "16", "128"] {
            let (disk, stats) = (Disk::new(), Disk::new());
            let arguments = ["--aio", "4", "--aio-ops", "8000", "--aio-requests", requests, "--verify", "--temp-path"];
            let path = disk.0.to_str().unwrap();
            let (done, report) = watched(&driver, &stats, &disk, &[&["stress-ng"], &arguments[..], &[path]].concat());
            assert!(done.status.success(), "stress-ng on {driver}: {}", told(&done));
            assert_clean(&driver, &report, &done);
        }
    }
}

/// Runs fio's verification on every driver; its files and its statistics must be right.
#[track_caller]
fn verify(wish: &[&str]) {
    for driver in drivers("fio") {
        let disk = Disk::new();
        let place = format!("--directory={}", disk.0.display());
        let (done, report) = fio(&driver, &disk, &[wish, &[&place]].concat());
        assert!(done.status.success(), "fio {wish:?} on {driver}: {}", told(&done));
        assert_clean(&driver, &report, &done);
    }
}

fn fio(driver: &str, disk: &Disk, wish: &[&str]) -> (Output, Value) {
    let fixed = ["--name=job", "--ioengine=posixaio", "--bs=4k", "--verify=crc32c", "--verify_fatal=1"];
    let quiet = ["--verify_state_save=0", "--randrepeat=1", "--output-format=terse"];
    let stats = Disk::new();
    watched(driver, &stats, disk, &[&["fio"], &fixed[..], &quiet, wish].concat())
}

/// Runs a program with the library in front of it, in the directory `disk`: what it said, and what its AIO did.
fn watched(driver: &str, stats: &Disk, disk: &Disk, program: &[&str]) -> (Output, Value) {
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
fn assert_clean(driver: &str, report: &Value, done: &Output) {
    let kinds = report["requests"].as_object().unwrap_or_else(|| panic!("no requests: {report:#}"));
    let sum = |field: &str| kinds.values().filter_map(|kind| kind[field].as_u64()).sum::<u64>();
    assert!(sum("submitted") > 0, "no request came through: {report:#}\n{}", told(done));
    assert_eq!(sum("completed"), sum("submitted"), "{report:#}");
    // What can be done in the call itself needs no driver.
    let has_queued = report["routes"]["inline"] != sum("submitted");
    for one in ["uring", "epoll"] {
        assert_eq!(report["driver"][one], driver == one && has_queued, "{report:#}");
    }
    assert_eq!(report["events"]["cancelled"], sum("failed"), "{report:#}");
}

fn told(output: &Output) -> String {
    format!("{}\n{}{}", output.status, stdout(output), stderr(output))
}

/// The drivers to test: none, with a word about it, if `program` is missing.
fn drivers(program: &str) -> Vec<String> {
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
struct Disk(PathBuf);

impl Disk {
    fn new() -> Disk {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("programs-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
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
