//! The examples of `<onewait.h>` do their job.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, io, thread};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal, kill_process};

use super::face::{Drivers, Face};
use super::library::scratch;
use super::program::{Interface, build_example};

/// No run takes that long that does not hang.
const LIMIT: Duration = Duration::from_secs(20);

const CLIENTS: usize = 10;

/// Bytes that each client sends, and one of them besides.
const SHORT: usize = 100;
const LONG: usize = 4 << 20;

/// That are answered.
const BYTES: usize = CLIENTS * SHORT + LONG;

/// One for each example and face.
///
/// # Errors
/// An example does not compile.
pub(crate) fn trials(library: &Arc<PathBuf>, drivers: Drivers) -> Result<Vec<Trial>, String> {
    type Run = fn(&Path, &Path, Face) -> Result<(), String>;
    let mut trials = Vec::new();
    for (name, run) in [("echo", echo as Run), ("echo_completion", echo_completion)] {
        let program = Arc::new(build_example(name, library)?);
        for face in drivers.faces(Interface::Onewait) {
            let (program, library) = (program.clone(), library.clone());
            let title = format!("{face}::example::{name}_does_its_job_and_finishes_at_sigterm");
            trials.push(Trial::test(title, move || Ok(run(&program, &library, face)?)));
        }
    }
    Ok(trials)
}

/// `echo.c` serves some clients, one of which is slow, and ends.
fn echo(program: &Path, library: &Path, face: Face) -> Result<(), String> {
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
    command.arg("0").arg(log);
    face.apply(library, &mut command);
    let (mut running, mut lines) = Running::new(command)?;
    let mut clients = talk(&lines.address()?)?;
    writeln!(running.child.stdin.take().ok_or_else(|| wrong("no input"))?, "said at the console")?;
    talk_at_length(clients.pop().ok_or_else(|| wrong("no client"))?)?;
    // The statistics of a whole second after that.
    while !lines.next()?.starts_with(&format!("{} connections, {} bytes", CLIENTS - 1, BYTES)) {}
    running.signal(Signal::TERM)?;
    while lines.next()? != format!("served {CLIENTS} connections") {}
    running.ends(clients)
}

/// `echo_completion.c` does so, too.
fn echo_completion(program: &Path, library: &Path, face: Face) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("0");
    face.apply(library, &mut command);
    let serve = || {
        let (mut running, mut lines) = Running::new(command)?;
        let mut clients = talk(&lines.address()?)?;
        talk_at_length(clients.pop().ok_or_else(|| wrong("no client"))?)?;
        running.signal(Signal::TERM)?;
        let last = lines.next()?;
        is(last == format!("served {CLIENTS} connections, {BYTES} bytes"), &last)?;
        running.ends(clients)
    };
    serve().map_err(|error: io::Error| error.to_string())
}

/// Connects, and each is answered.
fn talk(address: &str) -> io::Result<Vec<TcpStream>> {
    let mut clients = (0..CLIENTS).map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>()?;
    for (number, client) in clients.iter_mut().enumerate() {
        let sent = [number as u8; SHORT];
        client.write_all(&sent)?;
        let mut answer = [0; SHORT];
        client.read_exact(&mut answer)?;
        is(answer == sent, "an answer is wrong")?;
    }
    Ok(clients)
}

/// More than the sockets hold: it has to wait until this client reads.
fn talk_at_length(slow: TcpStream) -> io::Result<()> {
    let message = vec![b'x'; LONG];
    let (mut writer, sent) = (slow.try_clone()?, message.clone());
    let writes = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut answer = Vec::new();
    (&slow).read_to_end(&mut answer)?;
    is(answer == message, "the long answer is wrong")?;
    writes.join().map_err(|_| wrong("the writer panicked"))?
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
    fn new(mut command: Command) -> io::Result<(Running, Lines)> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let (is_over, watch) = channel::<()>();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            if watch.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // It is not waited for before the watchdog is called off, so the number is still its own.
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        let running = Running { child, _is_over: is_over };
        Ok((running, Lines(BufReader::new(output.ok_or_else(|| wrong("no output"))?).lines())))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// It leaves no connection open, and has succeeded.
    fn ends(&mut self, clients: Vec<TcpStream>) -> io::Result<()> {
        for mut client in clients {
            is(client.read(&mut [0])? == 0, "a connection is still open")?;
        }
        let status = self.child.wait()?;
        is(status.success(), &status.to_string())
    }
}

/// What it says.
struct Lines(io::Lines<BufReader<ChildStdout>>);

impl Lines {
    fn next(&mut self) -> io::Result<String> {
        self.0.next().unwrap_or_else(|| Err(wrong("it has ended")))
    }

    /// Where it serves, which it says first.
    fn address(&mut self) -> io::Result<String> {
        let first = self.next()?;
        first.strip_prefix("listening on ").map(String::from).ok_or_else(|| wrong(&first))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
