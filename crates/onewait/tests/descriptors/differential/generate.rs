//! Random sequences. The odds are chosen so that most calls succeed, and each error is met often.

use super::step::{Control, Kind, PLACES, Place, Poll, Step};
use crate::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, RDNORM, WAKEUP, WRNORM};
use crate::world::Op;
use fastrand::Rng;

pub(super) struct Sequence {
    /// Whether files without a poll of their own are refused. Otherwise there are none, since the kernel does refuse them.
    pub(super) strict: bool,
    pub(super) steps: Vec<Step>,
}

impl Sequence {
    /// The same with other steps.
    pub(super) fn with(&self, steps: &[Step]) -> Sequence {
        Sequence { strict: self.strict, steps: steps.to_vec() }
    }
}

/// The sequence of a seed.
pub(super) fn sequence(seed: u64) -> Sequence {
    let mut random = Rng::with_seed(seed);
    let (strict, length) = (random.bool(), random.usize(20..300));
    // Some sequences are about few things, so that these meet more often; and most do without forks, which take long.
    let places = random.usize(4..=PLACES);
    let forks = random.u32(0..8) == 0;
    let mut generator = Generator { random, strict, places, forks, data: 0 };
    Sequence { strict, steps: (0..length).map(|_| generator.step()).collect() }
}

struct Generator {
    random: Rng,
    strict: bool,
    places: usize,
    forks: bool,
    /// No two registrations have the same, so that a report says whose it is.
    data: u64,
}

impl Generator {
    fn step(&mut self) -> Step {
        if self.forks && self.random.u32(0..12) == 0 {
            return self.fork();
        }
        match self.random.u32(0..1000) {
            0..230 => Step::Control(self.control(Op::Add)),
            230..310 => Step::Control(self.control(Op::Modify)),
            310..350 => Step::Control(self.control(Op::Delete)),
            350..560 => Step::Wait { poll: self.poll(), max: self.max() },
            560..590 => Step::Look { place: self.place() },
            590..740 => Step::Write { place: self.place(), n: self.size() },
            740..850 => Step::Read { place: self.place(), n: self.size() },
            850..885 => Step::Dup { place: self.place() },
            885..925 => Step::Dup2 { from: self.place(), to: self.place() },
            925..965 => Step::Close { place: self.place() },
            _ => Step::Renew { kind: self.kind(), first: self.place(), second: self.place() },
        }
    }

    fn fork(&mut self) -> Step {
        match self.random.u32(0..8) {
            0 => Step::ChildControls(self.control(Op::Add)),
            1 => Step::ChildControls(self.control(Op::Modify)),
            2 => Step::ChildControls(self.control(Op::Delete)),
            3 => Step::ChildCloses { place: self.place() },
            4 | 5 => Step::Hold,
            _ => Step::Release,
        }
    }

    fn place(&mut self) -> Place {
        self.random.usize(..self.places)
    }

    fn poll(&mut self) -> Poll {
        if self.random.u32(0..10) < 7 { Poll::Side } else { Poll::Inner(self.place()) }
    }

    fn kind(&mut self) -> Kind {
        match self.random.u32(0..20) {
            0..5 => Kind::Pipe,
            5..9 => Kind::Stream,
            9..11 => Kind::Datagram,
            11..14 => Kind::Counter,
            14 => Kind::Semaphore,
            15 if self.strict => Kind::Null,
            _ => Kind::Epoll,
        }
    }

    fn control(&mut self, op: Op) -> Control {
        self.data += 1;
        Control { poll: self.poll(), op, place: self.place(), bits: self.bits(), data: self.data }
    }

    fn bits(&mut self) -> u32 {
        if self.random.u32(0..40) == 0 {
            return self.random.u32(..);
        }
        const USUAL: [u32; 12] =
            [IN, IN, IN, OUT, OUT, IN | OUT, IN | OUT, 0, RDNORM, WRNORM | IN, PRI | RDHUP, ERR | HUP | RDHUP];
        let mut bits = USUAL[self.random.usize(..USUAL.len())];
        for (bit, percent) in [(ET, 40), (ONESHOT, 15), (EXCLUSIVE, 12), (WAKEUP, 4)] {
            if self.random.u32(0..100) < percent {
                bits |= bit;
            }
        }
        bits
    }

    fn max(&mut self) -> usize {
        match self.random.u32(0..100) {
            0 => 0,
            1..50 => self.random.usize(1..4),
            _ => 16,
        }
    }

    /// Of bytes: a counter takes eight. Few enough that the system never runs out of room for sockets.
    fn size(&mut self) -> usize {
        match self.random.u32(0..10) {
            0..6 => 8,
            6 => self.random.usize(0..8),
            7 => 4096,
            _ => self.random.usize(0..4097),
        }
    }
}
