//! A server of the test's own: on a free port of 127.0.0.1, in a directory of its own, with an end.

use crate::common::watched::Disk;
use crate::common::{onewait, skip};
use serde_json::Value;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nothing that works takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    /// `onewait run --stats`, which stays beside the server, and passes on signals.
    onewait: Child,
    pub(crate) place: Disk,
    pub(crate) port: u16,
}

/// Whether the program is there; says so if not.
pub(crate) fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("-v").stdin(Stdio::null()).output().is_ok();
    is_there || skip::<()>(&format!("{program} is not installed")).is_some()
}

pub(crate) fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts a server, which `command` makes of its directory and port, and waits until it takes connections.
    #[track_caller]
    pub(crate) fn start(mode: &[&str], command: impl Fn(&Disk, u16) -> Vec<String>) -> Server {
        let mut story = String::new();
        // Somebody else may be faster at taking the port.
        for _ in 0..3 {
            match Server::try_start(mode, &command) {
                Ok(server) => return server,
                Err(said) => story += &said,
            }
        }
        panic!("it does not start: {story}");
    }

    fn try_start(mode: &[&str], command: impl Fn(&Disk, u16) -> Vec<String>) -> Result<Server, String> {
        let (place, port) = (Disk::new(), free_port());
        let program = command(&place, port);
        let stats = format!("--stats-file={}", place.0.join("stats.json").display());
        let log = fs::File::create(place.0.join("log")).unwrap();
        let onewait = onewait(&["run", "--stats=json", &stats])
            .args(mode)
            .arg("--")
            .args(program)
            .current_dir(&place.0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Server { onewait, place, port };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if server.onewait.try_wait().unwrap().is_some() || Instant::now() > end {
                return Err(server.log());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.0.join("log")).unwrap()).into_owned()
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        Connection::new(self.port)
    }

    /// Sends a signal to onewait, which passes it on.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved; the child was not waited for, so the number still is its own.
        assert_eq!(unsafe { libc::kill(self.onewait.id() as i32, signal) }, 0);
    }

    /// The server ends, with status 0: the statistics.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Value {
        self.wait_until("it ends", |server| server.onewait.try_wait().unwrap().is_some());
        let report: Value = serde_json::from_slice(&fs::read(self.place.0.join("stats.json")).unwrap()).unwrap();
        assert_eq!(report["exit_status"], 0, "{report:#}: {}", self.log());
        report
    }

    #[track_caller]
    pub(crate) fn wait_until(&mut self, what: &str, mut holds: impl FnMut(&mut Server) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}: {}", self.log());
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.onewait.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(libc::SIGTERM);
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end && self.onewait.try_wait().is_ok_and(|status| status.is_none()) {
                sleep(Duration::from_millis(10));
            }
            // What does not heed it is ended with its directory.
            let _ = self.onewait.kill();
            let _ = self.onewait.wait();
        }
    }
}

/// A connection whose reads do not last for ever.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    #[track_caller]
    pub(crate) fn new(port: u16) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// What comes next is this.
    #[track_caller]
    pub(crate) fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let mut got = vec![0; bytes.as_ref().len()];
        self.0.read_exact(&mut got).unwrap();
        let (got, wanted) = (String::from_utf8_lossy(&got), String::from_utf8_lossy(bytes.as_ref()));
        assert!(got == wanted, "{got:?} came, and not {wanted:?}");
    }

    /// Up to and with these bytes.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &[u8]) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
        String::from_utf8(got).unwrap()
    }

    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut got = vec![0; count];
        self.0.read_exact(&mut got).unwrap();
        got
    }

    /// The other side has closed, and nothing more comes.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        assert_eq!(self.0.read(&mut [0]).unwrap(), 0);
    }
}
