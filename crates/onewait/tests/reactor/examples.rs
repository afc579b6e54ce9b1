//! The examples do their jobs.

use crate::common::{PATIENCE, Scratch, examples};
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// Ended when the test ends, however that is.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn example(name: &str) -> PathBuf {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLES.get_or_init(|| examples::build(["echo_server", "tail"])).join(name)
}

fn start(name: &str, arguments: &[&Path]) -> (Running, BufReader<ChildStdout>) {
    let mut command = Command::new(example(name));
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (Running(child), output)
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}

#[test]
fn the_echo_server_finishes_what_is_in_flight_at_sigterm() {
    let log = Scratch::new();
    let (server, mut output) = start("echo_server", &[Path::new("127.0.0.1:0"), log.path()]);
    let first = line(&mut output);
    let address = first.trim().strip_prefix("listening on ").expect("it says where").to_owned();
    let mut clients: Vec<_> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let message = vec![b'x'; 1 << 20];
    for (place, client) in clients.iter_mut().enumerate() {
        client.write_all(&[place as u8; 100]).unwrap();
        let mut answer = [0; 100];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [place as u8; 100]);
    }
    // More than the sockets hold: it has to wait until the client reads.
    let mut slow = clients.pop().unwrap();
    let mut writer = slow.try_clone().unwrap();
    let sent = message.clone();
    let writes = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer == message);
    writes.join().unwrap();
    // SAFETY: no pointers; the process is our child, which nobody has waited for.
    assert_eq!(unsafe { libc::kill(server.0.id().cast_signed(), libc::SIGTERM) }, 0);
    assert_eq!(line(&mut output), "served 20 connections\n");
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "it is closed");
    }
    let mut server = server;
    assert!(server.0.wait().unwrap().success());
    let log = fs::read_to_string(log.path()).unwrap();
    assert_eq!(log.lines().filter(|line| line.contains(" from 127.0.0.1:")).count(), 20);
    assert_eq!(log.lines().filter(|line| line.ends_with(" left")).count(), 20);
    assert_eq!(log.lines().filter(|line| line.starts_with("signal 15")).count(), 1);
}

/// Whether the server has answered; otherwise it has sent the client away.
fn is_answered(client: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    client.set_read_timeout(PATIENCE).unwrap();
    // What was sent to whoever is sent away may come back as a reset.
    let exchanged = client.write_all(b"ping").and_then(|()| client.read_exact(&mut answer));
    assert!(!exchanged.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "it does nothing");
    exchanged.is_ok() && answer == *b"ping"
}

#[test]
fn the_echo_server_sends_away_whom_it_has_no_descriptor_for_and_recovers() {
    const DESCRIPTORS: usize = 40;
    let log = Scratch::new();
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={DESCRIPTORS}")).arg(example("echo_server")).arg("127.0.0.1:0").arg(log.path());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("prlimit (util-linux) is there");
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut server = Running(child);
    let first = line(&mut output);
    let address = first.trim().strip_prefix("listening on ").expect("it says where").to_owned();
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..3 * DESCRIPTORS).map(|_| TcpStream::connect(&address).unwrap()).collect();
        // One after the other: who is sent away is so before the next is served.
        let answered: Vec<_> = clients.iter_mut().map(is_answered).collect();
        let served = answered.iter().filter(|is_served| **is_served).count();
        assert!((5..DESCRIPTORS).contains(&served), "{served} served");
        assert!(answered[0] && !answered[3 * DESCRIPTORS - 1], "{answered:?}");
        for (client, is_served) in clients.iter_mut().zip(&answered) {
            assert_eq!(is_answered(client), *is_served, "who was let in is served on");
        }
        drop(clients);
        // It may take a moment until it has seen that they are gone.
        let patient = (0..1_000).any(|_| is_answered(&mut TcpStream::connect(&address).unwrap()));
        assert!(patient, "there are descriptors again");
    }
    // SAFETY: no pointers; the process is our child, which nobody has waited for.
    assert_eq!(unsafe { libc::kill(server.0.id().cast_signed(), libc::SIGTERM) }, 0);
    assert!(line(&mut output).starts_with("served "));
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn tail_shows_what_is_appended_to_many_files() {
    let files = [Scratch::new(), Scratch::new()];
    for file in &files {
        fs::write(file.path(), "before\n").unwrap();
    }
    let (mut tail, mut output) = start("tail", &[files[0].path()]);
    let append = |place: usize, text: &str| {
        OpenOptions::new().append(true).open(files[place].path()).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let mut commands = tail.0.stdin.take().unwrap();
    // Appended again and again, since nobody says when it has begun to follow.
    let seen = |output: &mut BufReader<ChildStdout>, place: usize| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let receiver = receiver;
                while receiver.recv_timeout(std::time::Duration::from_millis(50)).is_err() {
                    append(place, "after\n");
                }
            });
            assert_eq!(line(output), format!("==> {} <==\n", files[place].path().display()));
            assert_eq!(line(output), "after\n");
            sender.send(()).unwrap();
        });
    };
    seen(&mut output, 0);
    writeln!(commands, "+{}", files[1].path().display()).unwrap();
    writeln!(commands, "-{}", files[0].path().display()).unwrap();
    // What was appended to the first before that is still shown.
    let header = format!("==> {} <==\n", files[1].path().display());
    std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while receiver.recv_timeout(std::time::Duration::from_millis(50)).is_err() {
                append(1, "after\n");
            }
        });
        while line(&mut output) != header {}
        assert_eq!(line(&mut output), "after\n");
        sender.send(()).unwrap();
    });
    writeln!(commands, "q").unwrap();
    assert!(tail.0.wait().unwrap().success());
}
