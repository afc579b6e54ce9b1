//! Random calls, on both drivers: what each socket is told has to be what its other end did.

use crate::common::{PATIENCE, pattern};
use fastrand::Rng;
use onewait::reactor::{Reactor, Ready};
use onewait::sockets::{SocketCompletion, SocketId, SocketOutcome};
use onewait::{Choice, DriverKind, Errno};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// What is known of one socket.
struct Peer {
    theirs: Option<UnixStream>,
    /// Bytes that the other end has written, and that were received.
    written: usize,
    received: usize,
    /// Bytes that were asked to be sent, and that the other end has read.
    sent: usize,
    read: usize,
    sends_in_flight: usize,
    is_receiving: bool,
    is_closed: bool,
}

/// Every stream, in each direction, has these bytes, again and again.
const LONG: usize = 1 << 20;

struct Play {
    reactor: Reactor,
    random: Rng,
    bytes: Vec<u8>,
    peers: HashMap<SocketId, Peer>,
    kept: Vec<onewait::sockets::Received>,
}

impl Play {
    fn part(&self, from: usize, length: usize) -> Vec<u8> {
        (from..from + length).map(|place| self.bytes[place % LONG]).collect()
    }

    fn any(&mut self) -> Option<SocketId> {
        let mut ids: Vec<_> = self.peers.iter().filter(|(_, peer)| !peer.is_closed).map(|(id, _)| *id).collect();
        ids.sort_by_key(|id| format!("{id:?}"));
        self.random.choice(ids)
    }

    fn step(&mut self) {
        let choice = self.random.u32(0..100);
        if self.peers.len() < 4 || choice < 4 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            theirs.set_nonblocking(true).unwrap();
            let id = self.reactor.sockets().unwrap().attach(ours).unwrap();
            let peer = Peer {
                theirs: Some(theirs),
                written: 0,
                received: 0,
                sent: 0,
                read: 0,
                sends_in_flight: 0,
                is_receiving: false,
                is_closed: false,
            };
            assert!(self.peers.insert(id, peer).is_none());
            return;
        }
        let Some(id) = self.any() else { return };
        let length = self.random.usize(0..if choice.is_multiple_of(7) { 200_000 } else { 3000 });
        let sockets = self.reactor.sockets().unwrap();
        let peer = self.peers.get_mut(&id).unwrap();
        match choice {
            0..25 => {
                let again = choice.is_multiple_of(2);
                let asked = if again { sockets.receive(id, 1) } else { sockets.receive_once(id, 1) };
                assert_eq!(asked.is_ok(), !peer.is_receiving, "{asked:?}");
                peer.is_receiving = true;
            }
            25..45 => {
                let bytes = (peer.sent..peer.sent + length).map(|place| self.bytes[place % LONG]).collect::<Vec<_>>();
                peer.sent += length;
                peer.sends_in_flight += 1;
                sockets.send(id, bytes, 2).unwrap();
            }
            45..65 => {
                let bytes = (peer.written..peer.written + length).map(|place| self.bytes[place % LONG]);
                let bytes: Vec<_> = bytes.collect();
                if let Some(theirs) = &mut peer.theirs {
                    match theirs.write(&bytes) {
                        Ok(count) => peer.written += count,
                        Err(error) => assert!(error.kind() == ErrorKind::WouldBlock || peer.is_closed),
                    }
                }
            }
            65..85 => Self::read(&self.bytes, peer, length),
            85..90 => sockets.stop(id).unwrap(),
            90..93 => {
                // What is unread is lost then, so the sends may fail.
                peer.theirs = None;
            }
            93..96 => {
                sockets.close(id).unwrap();
                peer.is_closed = true;
            }
            _ => {
                let keep = self.random.usize(0..=self.kept.len());
                self.kept.truncate(keep);
            }
        }
    }

    fn read(bytes: &[u8], peer: &mut Peer, length: usize) {
        let Some(theirs) = &mut peer.theirs else { return };
        let mut part = vec![0; length];
        match theirs.read(&mut part) {
            Ok(count) => {
                assert!((0..count).all(|place| part[place] == bytes[(peer.read + place) % LONG]));
                peer.read += count;
                assert!(peer.read <= peer.sent);
            }
            // Our end went with bytes of theirs unread.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => assert!(peer.is_closed),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn take(&mut self) {
        self.reactor.wait(&mut [Ready::default(); 4], Some(std::time::Duration::ZERO)).unwrap();
        while let Some(done) = self.reactor.sockets().unwrap().take() {
            self.check(done);
        }
    }

    fn check(&mut self, done: SocketCompletion) {
        let peer = self.peers.get_mut(&done.socket).expect("a socket of ours");
        match done.outcome {
            SocketOutcome::Received(result) => {
                assert_eq!(done.token, 1);
                assert!(peer.is_receiving);
                peer.is_receiving = !done.is_last;
                match result {
                    Ok(part) if part.is_empty() => {
                        assert!(peer.theirs.is_none() && done.is_last);
                        assert_eq!(peer.received, peer.written);
                    }
                    Ok(part) => {
                        let from = peer.received;
                        assert!((0..part.len()).all(|place| part[place] == self.bytes[(from + place) % LONG]));
                        peer.received += part.len();
                        assert!(peer.received <= peer.written);
                        if self.kept.len() < 8 && self.random.u32(0..4) == 0 {
                            self.kept.push(part);
                        }
                    }
                    // The other end went with bytes of ours unread.
                    Err(Errno(libc::ECONNRESET)) => assert!(peer.theirs.is_none()),
                    Err(errno) => assert_eq!(errno, Errno::CANCELED),
                }
            }
            SocketOutcome::Sent(result, _) => {
                assert_eq!((done.token, done.is_last), (2, true));
                peer.sends_in_flight -= 1;
                match result {
                    Ok(()) => {}
                    Err(Errno(libc::EPIPE | libc::ECONNRESET)) => assert!(peer.theirs.is_none()),
                    Err(errno) => assert!(errno == Errno::CANCELED && peer.is_closed, "{errno:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// All that was asked for ends.
    fn end(mut self) {
        self.kept.clear();
        let ids: Vec<_> = self.peers.keys().copied().collect();
        for id in &ids {
            let peer = self.peers.get_mut(id).unwrap();
            // Everything written comes, if there is somebody to receive it.
            if !peer.is_closed && !peer.is_receiving {
                peer.is_receiving = true;
                self.reactor.sockets().unwrap().receive(*id, 1).unwrap();
            }
        }
        let is_done = |peer: &Peer| {
            let has_all = peer.is_closed || peer.theirs.is_none() || peer.received == peer.written;
            let has_sent = peer.sends_in_flight == 0;
            let has_read = peer.is_closed || peer.theirs.is_none() || peer.read == peer.sent;
            has_all && has_sent && has_read
        };
        let mut quiet = 0;
        while !self.peers.values().all(is_done) {
            let before: usize = self.peers.values().map(|peer| peer.received + peer.read + peer.sends_in_flight).sum();
            for peer in self.peers.values_mut() {
                Self::read(&self.bytes, peer, 1 << 16);
            }
            self.take();
            let receiving: Vec<_> = self
                .peers
                .iter()
                .filter(|(_, peer)| !peer.is_closed && !peer.is_receiving)
                .map(|(id, _)| *id)
                .collect();
            for id in receiving {
                let peer = self.peers.get_mut(&id).unwrap();
                if peer.theirs.is_some() {
                    peer.is_receiving = true;
                    self.reactor.sockets().unwrap().receive(id, 1).unwrap();
                }
            }
            let after: usize = self.peers.values().map(|peer| peer.received + peer.read + peer.sends_in_flight).sum();
            quiet = if before == after { quiet + 1 } else { 0 };
            assert!(quiet < 100_000, "nothing happens any more");
        }
        for id in ids {
            if !self.peers[&id].is_closed {
                self.reactor.sockets().unwrap().close(id).unwrap();
                self.peers.get_mut(&id).unwrap().is_closed = true;
            }
        }
        while !self.reactor.sockets().unwrap().is_empty() {
            self.reactor.wait(&mut [Ready::default(); 4], PATIENCE).unwrap();
            while let Some(done) = self.reactor.sockets().unwrap().take() {
                self.check(done);
            }
        }
        while let Some(done) = self.reactor.sockets().unwrap().take() {
            self.check(done);
        }
        assert!(self.peers.values().all(|peer| !peer.is_receiving && peer.sends_in_flight == 0));
    }
}

fn play(kind: DriverKind, seed: u64, steps: u32) {
    // Little memory, so that buffers run out.
    let builder =
        Reactor::builder().driver(Choice::Strict(kind)).socket_memory(if seed.is_multiple_of(2) { 0 } else { 1 << 20 });
    let reactor = builder.build().unwrap();
    let random = Rng::with_seed(seed);
    let mut play = Play { reactor, random, bytes: pattern(seed, LONG), peers: HashMap::new(), kept: Vec::new() };
    for _ in 0..steps {
        play.step();
        if play.random.u32(0..4) == 0 {
            play.take();
        }
    }
    assert_eq!(play.part(0, 4), play.bytes[..4]);
    play.end();
}

/// `ONEWAIT_SEED=N` plays that one; `ONEWAIT_SOAK=MINUTES` fresh ones for so long.
fn play_all(kind: DriverKind) {
    let number = |name| std::env::var(name).ok().and_then(|word: String| word.parse::<u64>().ok());
    if let Some(seed) = number("ONEWAIT_SEED") {
        return play(kind, seed, 3000);
    }
    (1..=20).for_each(|seed| play(kind, seed, 3000));
    if let Some(minutes) = number("ONEWAIT_SOAK") {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60 * minutes);
        let mut random = Rng::new();
        while std::time::Instant::now() < end {
            let seed = random.u64(..);
            println!("seed {seed}");
            play(kind, seed, 3000);
        }
    }
}

#[test]
fn each_stream_has_its_bytes_on_the_driver() {
    let driver = crate::Loop::new().sockets().driver();
    play_all(driver);
}
