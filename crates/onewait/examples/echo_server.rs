//! An echo server that logs each connection to a file with AIO, and ends at SIGTERM when what is in flight is done:
//! `cargo run --release -p onewait --example echo_server -- 127.0.0.1:7000 echo.log`
//!
//! The Reactor pattern: each source has its handler, and one loop calls them. The log is written by requests whose
//! completions end in the same loop, so that a slow disk keeps nobody waiting.

use onewait::reactor::{Dispatcher, Events, Interest, Next, Target, Watchable};
use onewait::source::Signals;
use onewait::{Aio, CompletionQueue, Descriptor, Request};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::rc::Rc;

/// What all handlers share.
struct Server {
    log: Descriptor,
    queue: CompletionQueue,
    /// Where the next line of the log goes.
    end: u64,
    /// The connections there are, by their number.
    open: HashMap<u64, Rc<Connection>>,
    served: u64,
    is_ending: bool,
    buffer: Vec<u8>,
    /// Given up when there is no other descriptor left, so that whoever knocks can be let in, and sent away.
    spare: Option<File>,
}

struct Connection {
    number: u64,
    stream: TcpStream,
    /// What the other side has not taken yet. Nothing more is read before it has.
    unsent: RefCell<Vec<u8>>,
}

impl Watchable for Connection {
    fn target(&self) -> Target<'_> {
        self.stream.target()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, log] = &arguments[..] else {
        eprintln!("usage: echo_server ADDRESS:PORT LOG");
        return ExitCode::from(2);
    };
    match serve(address, log) {
        Ok(count) => {
            println!("served {count} connections");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(address: &str, log: &str) -> io::Result<u64> {
    // Before anything makes a thread, so that no thread takes the signal.
    let signals = Signals::new(&[libc::SIGTERM, libc::SIGINT])?;
    let queue = Aio::new()?.queue();
    let log = Descriptor::from(File::create(log)?);
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);

    let mut dispatcher = Dispatcher::new()?;
    dispatcher.watch(queue.clone(), Interest::IN, log_written)?;
    let listening = dispatcher.watch(listener, Interest::IN, accept)?;
    dispatcher.watch(signals, Interest::IN, move |dispatcher, server: &mut Server, signals, _| {
        let number = signals.read()?.map_or(0, |info| info.signal);
        // Nobody new comes in, and those who are here are read no further: what they sent is still answered. The loop ends
        // when the last handler is gone.
        server.is_ending = true;
        dispatcher.remove(listening);
        for connection in server.open.values() {
            // It fails where the other side is gone, which is about to be seen.
            let _ = connection.stream.shutdown(Shutdown::Read);
        }
        server.write_log(&format!("signal {number}, {} connections\n", server.open.len()))?;
        Ok(Next::Remove)
    })?;

    let mut server = Server {
        log,
        queue,
        end: 0,
        open: HashMap::new(),
        served: 0,
        is_ending: false,
        buffer: vec![0; 64 * 1024],
        spare: File::open("/dev/null").ok(),
    };
    dispatcher.run(&mut server)?;
    server.queue.submit(Request::fsync(&server.log))?;
    server.queue.reap(None).map_or(Ok(0), |done| done.result)?;
    Ok(server.served)
}

impl Server {
    fn write_log(&mut self, line: &str) -> io::Result<()> {
        self.queue.submit(Request::write(&self.log, line.as_bytes().to_vec(), self.end))?;
        self.end += line.len() as u64;
        Ok(())
    }
}

/// Lines of the log are on their way to the disk, or have failed.
fn log_written(
    _: &mut Dispatcher<Server>,
    server: &mut Server,
    queue: &mut CompletionQueue,
    _: Events,
) -> io::Result<Next> {
    while let Some(done) = queue.try_reap() {
        done.result?;
    }
    let is_last = server.is_ending && server.open.is_empty() && queue.outstanding() == 0;
    Ok(if is_last { Next::Remove } else { Next::Keep })
}

fn accept(
    dispatcher: &mut Dispatcher<Server>,
    server: &mut Server,
    listener: &mut TcpListener,
    _: Events,
) -> io::Result<Next> {
    match listener.accept() {
        Ok((stream, peer)) => {
            if server.spare.is_none() {
                // Another thread had its number for a moment. If this one has it now, it has to give it back.
                server.spare = File::open("/dev/null").ok();
                if server.spare.is_none() {
                    drop(stream);
                    server.spare = File::open("/dev/null").ok();
                    return Ok(Next::Keep);
                }
            }
            stream.set_nonblocking(true)?;
            server.served += 1;
            let connection = Connection { number: server.served, stream, unsent: RefCell::default() };
            server.write_log(&format!("{} from {peer}\n", connection.number))?;
            let connection = Rc::new(connection);
            server.open.insert(connection.number, Rc::clone(&connection));
            dispatcher.watch(connection, Interest::IN, echo)?;
        }
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            drop(server.spare.take());
            drop(listener.accept());
            server.spare = File::open("/dev/null").ok();
        }
        // Whoever knocked is gone again.
        Err(_) => {}
    }
    Ok(Next::Keep)
}

fn echo(
    _: &mut Dispatcher<Server>,
    server: &mut Server,
    connection: &mut Rc<Connection>,
    _: Events,
) -> io::Result<Next> {
    match answer(connection, &mut server.buffer) {
        Ok(Some(interest)) => Ok(Next::Watch(interest)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Next::Keep),
        // The end, or the other side's.
        Ok(None) | Err(_) => {
            server.open.remove(&connection.number);
            server.write_log(&format!("{} left\n", connection.number))?;
            Ok(Next::Remove)
        }
    }
}

/// Sends what is unsent, or else what it reads. Returns what to wait for next, or nothing if this was the end.
fn answer(connection: &Connection, buffer: &mut [u8]) -> io::Result<Option<Interest>> {
    let (mut stream, mut unsent) = (&connection.stream, connection.unsent.borrow_mut());
    if unsent.is_empty() {
        let count = stream.read(buffer)?;
        if count == 0 {
            return Ok(None);
        }
        unsent.extend_from_slice(&buffer[..count]);
    }
    match stream.write(&unsent) {
        Ok(count) => drop(unsent.drain(..count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(Some(if unsent.is_empty() { Interest::IN } else { Interest::OUT }))
}
