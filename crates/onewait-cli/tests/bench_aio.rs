//! `onewait bench aio` through the real binary, with settings so small that the figures mean nothing.

mod common;

use common::skip;
use nix::sys::statvfs::statvfs;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// A directory of its own for each test.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: &str, name: &str) -> Directory {
        let path = Path::new(parent).join(format!("onewait-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory for the test file");
        Directory(path)
    }

    fn on_disk(name: &str) -> Directory {
        Directory::new(env!("CARGO_TARGET_TMPDIR"), name)
    }

    fn bench(&self, options: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_onewait"));
        command.args(["bench", "aio", "--file"]).arg(&self.0).args(options.split_whitespace()).stdin(Stdio::null());
        command
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).expect("the directory").next().is_none()
    }

    /// Whether some process still holds a file of this directory open, named or not.
    fn is_held(&self) -> bool {
        let descriptors = fs::read_dir("/proc").into_iter().flatten().flatten();
        let files = descriptors.flat_map(|process| fs::read_dir(process.path().join("fd")).into_iter().flatten());
        files.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(&self.0)))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", text(&output.stdout), text(&output.stderr)))
}

/// Waits, and panics rather than for ever.
fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_result_that_nobody_gets_is_a_failure() {
    let directory = Directory::on_disk("unread");
    for form in ["", "--json"] {
        let options = format!("--size 1M --runs 1 --seconds 0.01 --only cached,reads,1 {form}");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = directory.bench(&options).stdout(writer).output().expect("onewait");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "nothing but the announcement: {said}");
        let full = || fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let output = directory.bench(&options).stdout(full()).stderr(full()).output().expect("onewait");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn an_unknown_driver_is_refused_before_anything_is_measured() {
    let output = Directory::on_disk("driver").bench("").env("ONEWAIT_DRIVER", "kqueue").output().expect("onewait");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("kqueue"), "{}", text(&output.stderr));
}

#[test]
fn every_row_is_measured_or_named_with_its_reason() {
    let directory = Directory::on_disk("rows");
    let output = directory.bench("--size 4M --runs 2 --seconds 0.02 --json").output().expect("onewait");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = json(&output);
    let rows = report["rows"].as_array().expect("rows");
    let skipped = report["skipped"].as_array().expect("skipped rows");
    assert_eq!(rows.len() + skipped.len(), 36, "{report}");
    assert_eq!(report["failed"], serde_json::json!([]));
    for row in rows {
        let original = if row["calls"] == "libaio" { "native" } else { "glibc" };
        for side in [original, "onewait"] {
            let side = &row[side];
            let [low, middle, high] = ["iops_min", "iops", "iops_max"].map(|name| side[name].as_f64().expect(name));
            assert!(0.0 < low && low <= middle && middle <= high, "{row}");
            assert!(side["cpu_us"].as_f64().is_some_and(|cpu| cpu > 0.0), "{row}");
        }
        let [ours, theirs] = ["onewait", original].map(|side| row[side]["iops"].as_f64().expect("requests a second"));
        // Those are rounded to tenths, the ratio of what they were before is to thousandths.
        let (ratio, rounding) = (ours / theirs, 0.001 + ours / theirs * (0.05 / ours + 0.05 / theirs));
        let reported = row[format!("onewait_over_{original}")].as_f64().expect("a ratio");
        assert!((reported - ratio).abs() < rounding, "{row}");
        assert_eq!(row["io_uring"].is_null(), report["io_uring_refused"].is_string(), "{row}");
    }
    assert!(skipped.iter().all(|row| row["reason"].is_string()), "{report}");
    assert_eq!(report["setting"]["file_bytes"], 4 << 20);
    assert!(directory.is_empty());
}

#[test]
fn a_file_system_in_memory_has_its_impossible_rows_named() {
    // Containers have 64 MiB there, which is what is left free beside the test file.
    if !statvfs("/dev/shm").is_ok_and(|room| room.blocks_available() * room.fragment_size() >= (4 + 64) << 20) {
        return skip("/dev/shm has no room for the test file").unwrap_or_default();
    }
    let directory = Directory::new("/dev/shm", "memory");
    let output = directory.bench("--size 4M --runs 1 --seconds 0.02").output().expect("onewait");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("cached read") && table.contains("cached write"), "{table}");
    assert!(table.contains("Not possible here: aio.h: O_DIRECT read, depth 1, 32, 128"), "{table}");
    assert!(table.contains("tmpfs has no O_DIRECT"), "{table}");
    assert!(table.contains("Not possible here: aio.h: uncached read, depth 1, 32, 128"), "{table}");
    assert!(directory.is_empty());
}

#[test]
fn only_the_rows_asked_for_are_measured() {
    let directory = Directory::on_disk("only");
    let mut bench = directory.bench("--size 4M --runs 1 --seconds 0.02 --json --only libaio,reads,cached,1,depth=32");
    let report = json(&bench.output().expect("onewait"));
    let depths: Vec<_> = report["rows"].as_array().expect("rows").iter().map(|row| row["depth"].clone()).collect();
    assert_eq!(depths, [1, 32]);
}

#[test]
fn each_driver_can_be_asked_for() {
    let directory = Directory::on_disk("driver");
    for driver in ["uring", "epoll"] {
        let options =
            format!("--size 4M --runs 1 --seconds 0.02 --json --only posix,reads,cached,32 --driver {driver}");
        let output = directory.bench(&options).output().expect("onewait");
        let report = json(&output);
        // A driver that this machine does not have is an error, which names the row: no other one stands in for it.
        if report["io_uring_refused"].is_null() || driver == "epoll" {
            assert_eq!(report["rows"].as_array().map(Vec::len), Some(1), "{report}");
        }
        assert_eq!(report["setting"]["driver"], driver);
    }
}

#[test]
fn a_library_in_the_users_environment_is_not_in_front_of_the_original() {
    let directory = Directory::on_disk("preload");
    let library = Command::new(env!("CARGO_BIN_EXE_onewait")).arg("library").output().expect("onewait library");
    let mut bench = directory.bench("--size 4M --runs 1 --seconds 0.02 --json --only libaio,reads,cached,1");
    // A child that finds the library where it must not be ends with an error, and so does the row.
    let output = bench.env("LD_PRELOAD", text(&library.stdout).trim()).output().expect("onewait");
    assert!(output.status.success(), "{} {}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn no_room_is_refused_with_the_numbers() {
    let directory = Directory::on_disk("room");
    let output = directory.bench("--size 1000000T").output().expect("onewait");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("no room") && said.contains("GiB") && said.contains("--size"), "{said}");
    assert!(output.stdout.is_empty());
    assert!(directory.is_empty());
}

#[test]
fn wrong_arguments_are_refused_without_a_trace() {
    let directory = Directory::on_disk("usage");
    for wrong in
        ["--size 4K", "--size many", "--runs 0", "--seconds 0", "--seconds nan", "--only sideways", "--driver x"]
    {
        let output = directory.bench(wrong).output().expect("onewait");
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", text(&output.stderr));
    }
    let nowhere = Directory(directory.0.join("nowhere"));
    let output = nowhere.bench("--size 4M").output().expect("onewait");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nowhere"), "{}", text(&output.stderr));
    assert!(directory.is_empty());
}

/// Starts a long benchmark, and sends `signal` to it while it measures.
fn stopped_by(directory: &Directory, signal: nix::sys::signal::Signal) -> ExitStatus {
    let mut bench = directory.bench("--size 4M --runs 1000 --seconds 5 --only reads");
    let mut child: Child = bench.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("onewait");
    let mut line = String::new();
    let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
    said.read_line(&mut line).expect("the announcement");
    assert!(line.contains("runs"), "{line}");
    std::thread::sleep(Duration::from_millis(100));
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().expect("a process id"));
    nix::sys::signal::kill(pid, signal).expect("a living process");
    child.wait().expect("onewait")
}

#[test]
fn ctrl_c_ends_with_130_and_leaves_no_file_and_no_process() {
    let directory = Directory::on_disk("interrupt");
    let status = stopped_by(&directory, nix::sys::signal::Signal::SIGINT);
    assert_eq!(status.code(), Some(130), "{status}");
    assert!(directory.is_empty());
    eventually("letting go of the file", || !directory.is_held());
}

#[test]
fn kill_9_leaves_no_file_and_no_process_either() {
    let directory = Directory::on_disk("kill");
    let status = stopped_by(&directory, nix::sys::signal::Signal::SIGKILL);
    assert_eq!(status.signal(), Some(9), "{status}");
    assert!(directory.is_empty());
    eventually("letting go of the file", || !directory.is_held());
}

#[test]
fn a_full_disk_in_the_middle_is_an_error_and_leaves_nothing() {
    let directory = Directory::on_disk("full");
    // The library is in its place already: only the test file grows too large.
    assert!(Command::new(env!("CARGO_BIN_EXE_onewait")).arg("library").output().expect("onewait").status.success());
    let mut bench = directory.bench("--size 8M");
    let limit = || {
        use nix::sys::resource::{Resource, setrlimit};
        use nix::sys::signal::{SigHandler, Signal, signal};
        // The nearest thing to a disk that fills up after it was asked: a write gives EFBIG.
        setrlimit(Resource::RLIMIT_FSIZE, 1 << 20, 1 << 20)?;
        // SAFETY: no handler of ours is replaced.
        unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made.
    let output = unsafe { bench.pre_exec(limit) }.output().expect("onewait");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("cannot write the test file"), "{}", text(&output.stderr));
    assert!(directory.is_empty());
}

#[test]
fn a_refused_io_uring_is_said_in_place_of_the_limit() {
    let directory = Directory::on_disk("refused");
    let mut bench = directory.bench("--size 4M --runs 1 --seconds 0.02 --only reads,cached,32");
    // Falling back is for those who asked for no driver.
    bench.env_remove("ONEWAIT_DRIVER");
    // SAFETY: between fork and exec only system calls are made.
    let output = unsafe { bench.pre_exec(forbid_io_uring) }.output().expect("onewait");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("io_uring is refused here") && table.contains("cached read"), "{table}");
}

/// A seccomp filter under which io_uring_setup gives EPERM, as in most containers.
fn forbid_io_uring() -> std::io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD, 0, 0, 0),
        step(IF_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    nix::sys::prctl::set_no_new_privs()?;
    // SAFETY: the kernel copies the program that `filter` points at before it returns.
    match unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
