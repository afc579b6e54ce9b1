//! The example of `<onewait.h>` does its job.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, io, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::face::Face;
use super::library::scratch;

/// No run takes that long that does not hang.
const LIMIT: Duration = Duration::from_secs(20);

const CLIENTS: usize = 10;

/// Serves some clients, one of which is slow, and ends.
pub(crate) fn echo(program: &Path, library: &Path, face: Face) -> Result<(), String> {
    let log = scratch().join(format!("echo-{}-{face}.log", std::process::id()));
    let result = serve(program, library, face, &log);
    // Written by the program, if it came so far.
    let text = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    result.map_err(|error| error.to_string())?;
    let count = |line: &str| text.lines().filter(|found| found.starts_with(line)).count();
    let counts = [count("connection "), count("left, "), count("signal 15"), count("said at the console")];
    if counts == [CLIENTS, CLIENTS, 1, 1] { Ok(()) } else { Err(format!("{counts:?} lines in the log:\n{text}")) }
}

fn serve(program: &Path, library: &Path, face: Face, log: &Path) -> io::Result<()> {
    let mut command = Command::new(program);
    command.arg("0").arg(log).stdin(Stdio::piped()).stdout(Stdio::piped());
    face.apply(library, &mut command);
    let mut running = Running::new(command.spawn()?);
    let mut lines = BufReader::new(running.child.stdout.take().ok_or_else(|| wrong("no output"))?).lines();
    let mut line = move || lines.next().unwrap_or_else(|| Err(wrong("it has ended")));

    let first = line()?;
    let address = first.strip_prefix("listening on ").ok_or_else(|| wrong(&first))?.to_owned();
    let mut clients = (0..CLIENTS).map(|_| TcpStream::connect(&address)).collect::<io::Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        let sent = [number as u8; 100];
        client.write_all(&sent)?;
        let mut answer = [0; 100];
        client.read_exact(&mut answer)?;
        is(answer == sent, "an answer is wrong")?;
    }
    writeln!(running.child.stdin.take().ok_or_else(|| wrong("no input"))?, "said at the console")?;
    // More than the sockets hold: it has to wait until this client reads.
    let message = vec![b'x'; 4 << 20];
    let slow = clients.pop().ok_or_else(|| wrong("no client"))?;
    let (mut writer, sent) = (slow.try_clone()?, message.clone());
    let writes = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut answer = Vec::new();
    (&slow).read_to_end(&mut answer)?;
    is(answer == message, "the long answer is wrong")?;
    writes.join().map_err(|_| wrong("the writer panicked"))??;
    // The statistics of a whole second after that.
    while !line()?.starts_with(&format!("{} connections, {} bytes", CLIENTS - 1, (4 << 20) + 100 * CLIENTS)) {}
    running.signal(Signal::TERM)?;
    while line()? != format!("served {CLIENTS} connections") {}
    for client in &mut clients {
        is(client.read(&mut [0])? == 0, "a connection is still open")?;
    }
    let status = running.wait()?;
    is(status.success(), &status.to_string())
}

fn is(condition: bool, what: &str) -> io::Result<()> {
    if condition { Ok(()) } else { Err(wrong(what)) }
}

fn wrong(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

/// Ended when the test ends, however that is, and when its time is over.
struct Running {
    child: Child,
    /// Dropped, it calls the watchdog off.
    _is_over: Sender<()>,
}

impl Running {
    fn new(child: Child) -> Running {
        let (is_over, watch) = channel::<()>();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if watch.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // It is not waited for before the watchdog is called off, so the number is still its own.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Running { child, _is_over: is_over }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
