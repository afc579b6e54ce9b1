//! Follows many files, as `tail -f` does: `cargo run --release -p onewait --example tail -- FILE…`
//!
//! The loop with tokens: a timer says when to look whether a file has grown, the reads of all files are in flight at once
//! in one completion queue, and a thread that reads commands from standard input (`+FILE` follows one more, `-FILE` one less,
//! `q` ends) sends them through a channel. All three end in one wait.

use eventpoll::sources::{Receiver, TryRecvError, unbounded};
use onewait::reactor::{Interest, Reactor, Ready};
use onewait::{Aio, Buffer, Completion, CompletionQueue, Descriptor, Request};
use std::fs::File;
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const COMPLETIONS: u64 = 1;
const COMMANDS: u64 = 2;
const TICK: u64 = 3;

const PERIOD: Duration = Duration::from_millis(100);
const BLOCK: usize = 64 * 1024;

struct Followed {
    path: String,
    file: Descriptor,
    /// Up to here it was shown.
    end: u64,
    is_reading: bool,
}

/// What came of the commands.
enum Obeyed {
    All,
    /// There will be no more.
    Last,
    /// It is to end.
    End,
}

struct Tail {
    queue: CompletionQueue,
    /// By the token of their reads; what is followed no more leaves an empty place.
    files: Vec<Option<Followed>>,
    last_shown: Option<usize>,
}

fn main() -> ExitCode {
    let paths: Vec<_> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        eprintln!("usage: tail FILE...");
        return ExitCode::from(2);
    }
    match run(paths) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tail: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(paths: Vec<String>) -> io::Result<()> {
    let mut tail = Tail { queue: Aio::new()?.queue(), files: Vec::new(), last_shown: None };
    for path in paths {
        tail.follow(path);
    }
    let commands = read_commands();

    let mut reactor = Reactor::new()?;
    reactor.registry().add(&tail.queue, Interest::IN, COMPLETIONS)?;
    reactor.registry().add(&commands, Interest::IN, COMMANDS)?;
    reactor.arm_timer_in(Duration::ZERO, TICK)?;

    let mut events = [Ready::default(); 16];
    loop {
        for event in reactor.wait(&mut events, None)? {
            match event.token {
                COMPLETIONS => tail.show_what_was_read()?,
                COMMANDS => match tail.obey(&commands) {
                    Obeyed::All => {}
                    // Standard input is closed: it goes on without commands.
                    Obeyed::Last => reactor.registry().delete(&commands)?,
                    Obeyed::End => return Ok(()),
                },
                _ => {
                    tail.read_on()?;
                    reactor.arm_timer_in(PERIOD, TICK)?;
                }
            }
        }
    }
}

/// Lines of standard input, by a thread that may wait for them.
fn read_commands() -> Receiver<String> {
    let (sender, receiver) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.try_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Tail {
    fn follow(&mut self, path: String) {
        let opened = File::open(&path).and_then(|mut file| Ok((file.seek(SeekFrom::End(0))?, file)));
        match opened {
            Ok((end, file)) => {
                self.files.push(Some(Followed { path, file: file.into(), end, is_reading: false }));
            }
            Err(error) => eprintln!("tail: {path}: {error}"),
        }
    }

    fn obey(&mut self, commands: &Receiver<String>) -> Obeyed {
        loop {
            match commands.try_recv().as_deref() {
                Ok("q") => return Obeyed::End,
                Ok(command) => match command.split_at_checked(1) {
                    Some(("+", path)) => self.follow(path.to_owned()),
                    Some(("-", path)) => {
                        for place in &mut self.files {
                            place.take_if(|followed| followed.path == path);
                        }
                    }
                    _ => eprintln!("tail: +FILE follows one more, -FILE one less, q ends"),
                },
                Err(TryRecvError::Empty) => return Obeyed::All,
                Err(TryRecvError::Disconnected) => return Obeyed::Last,
            }
        }
    }

    /// Reads from all files that may have grown and are not being read.
    fn read_on(&mut self) -> io::Result<()> {
        for (token, place) in self.files.iter_mut().enumerate() {
            let Some(followed) = place.as_mut().filter(|followed| !followed.is_reading) else { continue };
            let request = Request::read(&followed.file, Buffer::with_capacity(BLOCK), followed.end);
            self.queue.submit(request.token(token as u64))?;
            followed.is_reading = true;
        }
        Ok(())
    }

    fn show_what_was_read(&mut self) -> io::Result<()> {
        while let Some(done) = self.queue.try_reap() {
            self.show(done)?;
        }
        Ok(())
    }

    fn show(&mut self, done: Completion) -> io::Result<()> {
        let token = done.token as usize;
        let Some(followed) = self.files.get_mut(token).and_then(Option::as_mut) else { return Ok(()) };
        followed.is_reading = false;
        let count = match done.result {
            Ok(count) => count as u64,
            Err(errno) => {
                eprintln!("tail: {}: {errno}", followed.path);
                self.files[token] = None;
                return Ok(());
            }
        };
        if count > 0 {
            let mut out = io::stdout().lock();
            if self.last_shown.replace(token) != Some(token) {
                writeln!(out, "==> {} <==", followed.path)?;
            }
            out.write_all(&done.buffer)?;
            followed.end += count;
        } else if File::from(followed.file.as_fd().try_clone_to_owned()?).metadata()?.len() < followed.end {
            eprintln!("tail: {}: file truncated", followed.path);
            followed.end = 0;
        }
        Ok(())
    }
}
