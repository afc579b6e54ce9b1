//! All clients, in one process and one thread: each sends a message, waits until it has come back, compares it, and sends
//! the next. They begin when all are connected and the standard input is at its end. Some may only be there, and say nothing.

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

/// For how long nothing may come back from a server.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// What the clients do.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    /// Messages of a connection.
    rounds: usize,
    /// Bytes of a message.
    pub(super) size: usize,
    /// How many of the connections send something.
    pub(super) active: usize,
}

impl Load {
    /// Of up to four arguments; `None` if they are wrong.
    pub(super) fn parse(arguments: &[String]) -> Option<Load> {
        // The limit keeps products of them from overflowing.
        let number = |argument: &String| argument.parse().ok().filter(|number| (1..=1 << 20).contains(number));
        let numbers: Vec<usize> = arguments.iter().map(number).collect::<Option<_>>()?;
        let get = |index: usize, otherwise| numbers.get(index).copied().unwrap_or(otherwise);
        let connections = get(0, 64);
        let load = Load { connections, rounds: get(1, 100), size: get(2, 64), active: get(3, connections) };
        (numbers.len() <= 4 && load.active <= connections).then_some(load)
    }

    /// For `main`, in another process.
    pub(super) fn arguments(self, port: u16) -> [String; 5] {
        let Load { connections, rounds, size, active } = self;
        [port as usize, connections, rounds, size, active].map(|number| number.to_string())
    }

    pub(super) fn messages(self) -> u64 {
        (self.active * self.rounds) as u64
    }

    pub(super) fn bytes(self) -> u64 {
        self.messages() * self.size as u64
    }
}

pub(super) fn main(arguments: &[String]) -> io::Result<()> {
    let port = arguments.first().and_then(|port| port.parse::<u16>().ok());
    let (Some(port), Some(load)) = (port, arguments.get(1..).and_then(Load::parse)) else {
        return Err(Error::new(ErrorKind::InvalidInput, "started by the server only"));
    };
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut clients = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        let client = Client::connect(number, port, load)?;
        if number < load.active {
            let interest = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &client.stream, epoll::EventData::new_u64(number as u64), interest)?;
        }
        clients.push(Some(client));
    }
    io::stdin().read_to_end(&mut Vec::new())?;

    let mut buffer = vec![0; load.size];
    let mut events = Vec::with_capacity(1024);
    let mut left = load.active;
    while left > 0 {
        // The first time, each is reported for its room to write.
        let wait = || epoll::wait(&epoll, spare_capacity(&mut events), Some(&PATIENCE));
        if rustix::io::retry_on_intr(wait)? == 0 {
            return Err(Error::new(ErrorKind::TimedOut, "the server does not answer"));
        }
        for event in events.drain(..) {
            let place = &mut clients[event.data.u64() as usize];
            if let Some(client) = place
                && client.go_on(&mut buffer)?
            {
                // Which hangs up.
                *place = None;
                left -= 1;
            }
        }
    }
    // The silent ones hang up here.
    Ok(())
}

struct Client {
    stream: TcpStream,
    number: usize,
    load: Load,
    round: usize,
    /// That of this round.
    message: Vec<u8>,
    /// Bytes of it that were sent, and that came back.
    sent: usize,
    received: usize,
}

impl Client {
    fn connect(number: usize, port: u16, load: Load) -> io::Result<Client> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut client = Client { stream, number, load, round: 0, message: vec![0; load.size], sent: 0, received: 0 };
        client.write_message();
        Ok(client)
    }

    /// No two neighbours in place, connection or round are the same, so that bytes of another do not pass.
    fn write_message(&mut self) {
        let start = self.number * 31 + self.round * 7;
        for (index, byte) in self.message.iter_mut().enumerate() {
            *byte = (start + index) as u8;
        }
    }

    /// Sends and receives what goes without waiting. Whether all rounds are over.
    ///
    /// The epoll is edge-triggered, so this ends only when the socket would block, or when nothing can have come.
    fn go_on(&mut self, buffer: &mut [u8]) -> io::Result<bool> {
        loop {
            while self.sent < self.load.size {
                match self.stream.write(&self.message[self.sent..]) {
                    Ok(count) => self.sent += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            let rest = &self.message[self.received..];
            let count = match self.stream.read(&mut buffer[..rest.len()]) {
                Ok(0) => return Err(Error::new(ErrorKind::UnexpectedEof, "the server has hung up")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if buffer[..count] != rest[..count] {
                let (number, round) = (self.number, self.round);
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    format!("client {number}, round {round}: a wrong echo"),
                ));
            }
            self.received += count;
            if self.received == self.load.size {
                self.round += 1;
                if self.round == self.load.rounds {
                    return Ok(true);
                }
                (self.sent, self.received) = (0, 0);
                self.write_message();
            }
        }
    }
}
