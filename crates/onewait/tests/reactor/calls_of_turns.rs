//! How many system calls a turn makes that has to ask the kernel.

use crate::common::watched::{Watch, watched};
use crate::common::{PATIENCE, Scratch, in_child, pattern};
use onewait::reactor::{Interest, Reactor, Ready};
use onewait::sockets::{SocketId, SocketOutcome};
use onewait::{Buffer, Descriptor, Request};
use std::fs::OpenOptions;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::thread;

const PIPE: u64 = 9;
const ECHOES: usize = 500;

#[test]
fn a_turn_with_sockets_makes_one_besides_receives_and_sends() {
    in_child("calls_of_turns::a_turn_with_sockets_makes_one_besides_receives_and_sends", &[], || {
        assert_eq!(turns([false, false], 1).beyond, 0);
    });
}

#[test]
fn a_turn_with_sockets_and_descriptors_makes_two_besides_receives_and_sends() {
    in_child("calls_of_turns::a_turn_with_sockets_and_descriptors_makes_two_besides_receives_and_sends", &[], || {
        assert_eq!(turns([true, false], 2).beyond, 0);
    });
}

#[test]
fn files_make_it_no_more() {
    in_child("calls_of_turns::files_make_it_no_more", &[], || {
        for (descriptors, most) in [(false, 1), (true, 2)] {
            let found = turns([descriptors, true], most);
            // A thread that has carried out a request, and is interrupted while it rings, ends a later sleep for nothing:
            // on a busy machine in one turn of twenty.
            assert!(found.beyond * 5 <= found.counted, "{} of {} turns", found.beyond, found.counted);
        }
    });
}

/// What was counted.
#[derive(Default)]
struct Found {
    counted: usize,
    /// Turns that made more calls than they may.
    beyond: usize,
}

/// Turns of a reactor that serves a socket, and if wanted a pipe, and reads from a file: with so many calls at most.
fn turns([descriptors, files]: [bool; 2], most: usize) -> Found {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let client = thread::spawn(move || talk(theirs, writer));
    let found = watched(|watch| Server::new(ours, reader, descriptors, files).serve(watch, most));
    client.join().unwrap();
    found
}

/// Says something, also by the pipe, and hears it again.
fn talk(mut socket: TcpStream, mut pipe: PipeWriter) {
    let mut echo = [0; 4];
    for _ in 0..ECHOES {
        socket.write_all(b"word").unwrap();
        pipe.write_all(b"x").unwrap();
        socket.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"word");
    }
}

struct Server {
    reactor: Reactor,
    socket: SocketId,
    pipe: PipeReader,
    file: Descriptor,
    /// To read into. Not while that is under way.
    buffer: Option<Buffer>,
    echoes: usize,
    is_over: bool,
}

impl Server {
    fn new(socket: TcpStream, pipe: PipeReader, descriptors: bool, files: bool) -> Server {
        let scratch = Scratch::new();
        std::fs::write(scratch.path(), pattern(1, 4096)).unwrap();
        // So that each read has to wait.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(scratch.path()).unwrap().into();
        let mut reactor = Reactor::new().unwrap();
        if descriptors {
            reactor.registry().add(&pipe, Interest::IN, PIPE).unwrap();
        }
        let socket = reactor.sockets().unwrap().attach(socket).unwrap();
        reactor.sockets().unwrap().receive(socket, 1).unwrap();
        let buffer = files.then(|| Buffer::aligned(4096, 4096).unwrap());
        Server { reactor, socket, pipe, file, buffer, echoes: 0, is_over: false }
    }

    fn serve(mut self, watch: &Watch, most: usize) -> Found {
        // The first turns make what is kept, threads too.
        while self.echoes < ECHOES / 10 {
            self.turn(watch);
        }
        if !watch.begin() {
            println!("NOT TESTED: the calls of a thread cannot be counted here");
        }
        let (mut found, mut total) = (Found::default(), 0);
        while !self.is_over {
            let calls = self.turn(watch);
            found.counted += 1;
            found.beyond += usize::from(calls > most);
            total += calls;
        }
        assert_eq!(self.echoes, ECHOES);
        assert!(!watch.is_watching() || total * 2 > found.counted, "they are not counted");
        found
    }

    /// How many calls its wait makes.
    fn turn(&mut self, watch: &Watch) -> usize {
        if let Some(buffer) = self.buffer.take() {
            self.reactor.files().unwrap().submit(Request::read(&self.file, buffer, 0)).unwrap();
        }
        let mut events = [Ready::default(); 16];
        let (count, calls) = watch.calls_of(|| self.reactor.wait(&mut events, PATIENCE).unwrap().len());
        assert!(count > 0, "it hangs");
        for event in &events[..count] {
            match event.token {
                PIPE => assert!(self.pipe.read(&mut [0; 64]).is_ok()),
                Reactor::FILES => {
                    let done = self.reactor.files().unwrap().take().unwrap();
                    assert_eq!(done.result, Ok(4096));
                    self.buffer = Some(done.buffer);
                }
                _ => self.take_from_sockets(),
            }
        }
        calls
    }

    fn take_from_sockets(&mut self) {
        let sockets = self.reactor.sockets().unwrap();
        while let Some(done) = sockets.take() {
            match done.outcome {
                SocketOutcome::Received(bytes) => match bytes.unwrap() {
                    end if end.is_empty() => self.is_over = true,
                    bytes => {
                        self.echoes += 1;
                        sockets.send(self.socket, bytes, 2).unwrap();
                    }
                },
                other => assert!(matches!(other, SocketOutcome::Sent(Ok(()), _)), "{other:?}"),
            }
        }
    }
}
