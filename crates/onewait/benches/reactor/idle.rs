//! Descriptors that never have anything.

use std::io::{PipeReader, PipeWriter, Write};
use std::os::fd::AsFd;

use onewait::reactor::{Fd, Interest, Reactor, Ready};
use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::counting;
use crate::report::{Figure, Report, Required};

const MANY: usize = 10_000;

pub(crate) fn rows(report: &mut Report) {
    let wants_turns = report.wants("turn: 10,000 idle descriptors against none");
    let wants_memory = report.wants("user memory an idle descriptor");
    if !(wants_turns || wants_memory) {
        return;
    }
    if let Err(error) = allow_descriptors() {
        eprintln!("left out, rows with 10,000 idle descriptors: {error}");
        return;
    }
    let mut few = Crowd::new(0);
    let mut many = Crowd::new(MANY);
    if wants_memory {
        let bytes = Figure::exactly(many.bytes as f64 / MANY as f64);
        report.add("user memory an idle descriptor", bytes, None, "bytes", Required::Below(64.0));
    }
    if wants_turns {
        report.race(
            "turn: 10,000 idle descriptors against none",
            Required::Within(0.1),
            "none idle",
            |count| many.go(count),
            |count| few.go(count),
        );
    }
}

/// As many descriptors as the system lets this process have.
fn allow_descriptors() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = MANY as u64 + 64;
    if limit.maximum.is_some_and(|maximum| maximum < wanted) {
        return Err(format!("RLIMIT_NOFILE is {:?}", limit.maximum));
    }
    let more = Rlimit { current: Some(limit.current.map_or(wanted, |current| current.max(wanted))), ..limit };
    setrlimit(Resource::Nofile, more).map_err(|error| error.to_string())
}

/// A reactor with one pipe that is ready, and many descriptors that are not.
struct Crowd {
    reactor: Reactor,
    /// What the idle ones took from the allocator.
    bytes: usize,
    _pipe: (PipeReader, PipeWriter),
    _idle: Vec<Box<dyn AsFd>>,
}

impl Crowd {
    fn new(idle: usize) -> Self {
        let (mut reactor, (reader, mut writer)) = (Reactor::new().unwrap(), std::io::pipe().unwrap());
        writer.write_all(b"x").unwrap();
        reactor.registry().add(&reader, Interest::IN, 1).unwrap();
        let idle: Vec<Box<dyn AsFd>> =
            (0..idle).map(|_| Box::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()) as Box<dyn AsFd>).collect();
        let before = counting::bytes();
        for descriptor in &idle {
            reactor.registry().add(Fd(&**descriptor), Interest::IN, 2).unwrap();
        }
        // What a turn allocates counts, too.
        assert_eq!(reactor.wait(&mut [Ready::default(); 64], None).unwrap().len(), 1);
        let bytes = counting::bytes() - before;
        Self { reactor, bytes, _pipe: (reader, writer), _idle: idle }
    }

    fn go(&mut self, turns: usize) {
        let mut out = [Ready::default(); 64];
        for _ in 0..turns {
            assert_eq!(self.reactor.wait(&mut out, None).unwrap().len(), 1);
        }
    }
}
