//! MariaDB with native AIO, on a data directory of its own, without a network: loaded, killed, recovered, checked.

use crate::common::watched::{Disk, drivers};
use crate::common::{onewait, skip, stderr, stdout};
use crate::{assert_all_ended, assert_left_to_the_kernel, assert_served};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing that works takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of one transaction, and how many of these are made before the server is killed.
const ROWS: u64 = 500;
const TRANSACTIONS: u64 = 40;

#[test]
fn mariadb_recovers_what_it_had_committed() {
    for driver in drivers("mariadbd") {
        let Some(version) = has_linux_aio() else { return };
        let disk = Disk::new();
        install(&disk.0);
        // Through the page cache first, then past it.
        let mut server = Server::start(&driver, &disk.0, "fsync");
        assert!(server.log().contains("Using Linux native AIO"), "{version}: {}", server.log());
        let setup = "CREATE DATABASE test; CREATE TABLE test.rows (id INT PRIMARY KEY, batch INT, text VARCHAR(700), \
                     crc INT UNSIGNED, KEY (batch), KEY (crc)) ENGINE=InnoDB";
        server.sql(setup);
        let mut client = server.load();
        let committed = server.wait_for_transactions(TRANSACTIONS);
        server.kill();
        let _ = client.wait();
        assert_all_ended_or_killed(&server.report());

        let mut server = Server::start(&driver, &disk.0, "O_DIRECT");
        assert!(server.log().contains("crash recovery"), "there was nothing to recover: {}", server.log());
        let checked = server.sql("CHECK TABLE test.rows EXTENDED");
        assert!(checked.contains("OK"), "{checked}");
        assert_eq!(server.number("SELECT COUNT(*) FROM test.rows WHERE CRC32(text) <> crc"), 0);
        let part =
            format!("SELECT COUNT(*) FROM (SELECT COUNT(*) n FROM test.rows GROUP BY batch HAVING n <> {ROWS}) x");
        assert_eq!(server.number(&part), 0, "a transaction is there in part");
        let batches = server.number("SELECT COUNT(DISTINCT batch) FROM test.rows");
        assert!(batches >= committed, "{committed} transactions were acknowledged, {batches} are there");
        assert_eq!(server.number("SELECT COALESCE(MAX(batch), 0) FROM test.rows"), batches);
        server.sql("UPDATE test.rows SET text = REVERSE(text), crc = CRC32(text) WHERE batch % 2");
        server.sql("SHUTDOWN");
        let report = server.ended();
        assert_told(&report);

        let mut server = Server::start(&driver, &disk.0, "fsync");
        assert!(!server.log().contains("crash recovery"), "{}", server.log());
        assert_eq!(server.number("SELECT COUNT(*) FROM test.rows"), batches * ROWS);
        assert_eq!(server.number("SELECT COUNT(*) FROM test.rows WHERE CRC32(text) <> crc"), 0);
        server.sql("SHUTDOWN");
        server.ended();
    }
}

/// It submits by libaio and takes completions by `syscall`: as likely as not it is left to the kernel, which must be told.
fn assert_told(report: &Value) {
    if report["libaio"]["contexts"] == 0 { assert_left_to_the_kernel(report) } else { assert_served(report) }
}

/// What was submitted when the server was killed had no time to end.
fn assert_all_ended_or_killed(report: &Value) {
    assert_eq!(report["signal"], libc::SIGKILL, "{report:#}");
    if report["requests"]["write"]["submitted"] == report["requests"]["write"]["completed"] {
        assert_all_ended(report);
    }
}

/// The server's version, if it has the option that chooses libaio: else it may take io_uring, and prove nothing.
fn has_linux_aio() -> Option<String> {
    let help = Command::new("mariadbd").args(["--no-defaults", "--verbose", "--help"]).output().unwrap();
    if !stdout(&help).contains("innodb-linux-aio") {
        return skip("this mariadbd cannot be told to use libaio (--innodb-linux-aio)");
    }
    let version = Command::new("mariadbd").arg("--version").output().unwrap();
    Some(stdout(&version))
}

fn install(place: &Path) {
    let done = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"])
        .arg(format!("--datadir={}", place.join("data").display()))
        .arg(format!("--user={}", user()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}{}", stdout(&done), stderr(&done));
}

fn user() -> String {
    let done = Command::new("id").arg("-un").output().unwrap();
    stdout(&done).trim().into()
}

struct Server<'a> {
    /// `onewait run --stats`, which stays beside the server.
    onewait: Child,
    place: &'a Path,
}

impl Server<'_> {
    fn start<'a>(driver: &str, place: &'a Path, flush: &str) -> Server<'a> {
        let stats = format!("--stats-file={}", place.join("stats.json").display());
        let _ = fs::remove_file(place.join("stats.json"));
        let path = |name: &str| place.join(name).display().to_string();
        let log = fs::File::create(place.join("log")).unwrap();
        let child = onewait(&["run", "--driver", driver, "--stats=json", &stats, "--", "mariadbd", "--no-defaults"])
            .args(["--skip-networking", "--innodb-use-native-aio=1", "--innodb-linux-aio=aio"])
            .args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M", "--skip-log-bin"])
            .arg(format!("--innodb-flush-method={flush}"))
            .arg(format!("--user={}", user()))
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server { onewait: child, place };
        server.wait_until("the server is ready", |server| server.log().contains("ready for connections"));
        server
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.join("log")).unwrap()).into_owned()
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(self.onewait.try_wait().unwrap().is_none(), "the server has ended before {what}: {}", self.log());
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    fn client(&self) -> Command {
        let mut client = Command::new("timeout");
        client.args([
            "60",
            "mariadb",
            "--no-defaults",
            "--user=root",
            "--batch",
            "--skip-column-names",
            "--unbuffered",
        ]);
        client.arg(format!("--socket={}", self.place.join("socket").display())).current_dir(self.place);
        client
    }

    #[track_caller]
    fn sql(&self, statement: &str) -> String {
        let done: Output = self.client().arg("--execute").arg(statement).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{statement}: {}{}", stderr(&done), self.log());
        stdout(&done)
    }

    #[track_caller]
    fn number(&self, query: &str) -> u64 {
        let said = self.sql(query);
        said.trim().parse().unwrap_or_else(|_| panic!("{query}: {said}"))
    }

    /// A client that makes transaction after transaction, and says of each that it was committed.
    fn load(&self) -> Child {
        let mut script = String::new();
        for batch in 1..=1000 {
            let first = batch * ROWS;
            let last = first + ROWS - 1;
            script += &format!(
                "BEGIN; INSERT INTO test.rows SELECT seq, {batch}, REPEAT(MD5(seq), 20), CRC32(REPEAT(MD5(seq), 20)) \
                 FROM seq_{first}_to_{last}; COMMIT; SELECT 'committed';\n"
            );
        }
        // The tables seq_1_to_2 are virtual, and of every database.
        fs::write(self.place.join("script"), format!("USE test;\n{script}")).unwrap();
        self.client()
            .stdin(fs::File::open(self.place.join("script")).unwrap())
            .stdout(fs::File::create(self.place.join("committed")).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait_for_transactions(&mut self, count: u64) -> u64 {
        let committed = |server: &Server<'_>| {
            fs::read_to_string(server.place.join("committed")).unwrap().matches("committed\n").count() as u64
        };
        self.wait_until("enough transactions", |server| committed(server) >= count);
        committed(self)
    }

    fn pid(&self) -> i32 {
        fs::read_to_string(self.place.join("pid")).unwrap().trim().parse().unwrap()
    }

    /// In the middle of everything.
    fn kill(&mut self) {
        // SAFETY: no memory is involved. The process is ours, and not yet waited for by its parent, which we have not.
        assert_eq!(unsafe { libc::kill(self.pid(), libc::SIGKILL) }, 0);
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.onewait.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the server does not end: {}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// After its shutdown: the statistics.
    #[track_caller]
    fn ended(&mut self) -> Value {
        self.wait();
        let report = self.report();
        assert_eq!(report["exit_status"], 0, "{}", self.log());
        report
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.place.join("stats.json")).unwrap()).unwrap()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // Passed on to the server; what does not heed it is ended with its directory.
        // SAFETY: no memory is involved, and the child is not waited for yet if this is true.
        if self.onewait.try_wait().is_ok_and(|status| status.is_none()) {
            // SAFETY: no memory is involved; the child was not waited for, so the number still is its own.
            unsafe { libc::kill(self.onewait.id() as i32, libc::SIGTERM) };
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end && self.onewait.try_wait().is_ok_and(|status| status.is_none()) {
                sleep(Duration::from_millis(20));
            }
            let _ = self.onewait.kill();
            let _ = self.onewait.wait();
        }
    }
}
