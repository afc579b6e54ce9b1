//! Random sequences. The odds are chosen so that most calls succeed, and each error is met often.

use fastrand::Rng;

use super::step::{COUNTERS, PIPES, POLLS, Place, Step};
use crate::common::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP, RDNORM, WAKEUP, WRNORM};
use crate::common::world::Op;

/// A short sequence without what needs a thread of its own, for one that has some: sleepers come between the steps.
pub(super) fn steps_beside_sleepers(random: Rng, polls: usize, length: usize) -> Vec<Step> {
    let mut generator = Generator { random, polls, data: 0 };
    let steps = std::iter::repeat_with(|| generator.step());
    // An event poll in which a thread sleeps is not closed by its last owner here.
    let closes =
        |step: &Step| matches!(step, Step::Close { place: Place::Poll(_) } | Step::Renew { place: Place::Poll(_) });
    steps.filter(|step| !closes(step)).take(length).collect()
}

/// The sequence of a seed.
pub(super) fn sequence(seed: u64) -> Vec<Step> {
    let mut random = Rng::with_seed(seed);
    let length = random.usize(20..400);
    // Some sequences are about few things, so that these meet more often.
    let polls = random.usize(1..=POLLS);
    let mut generator = Generator { random, polls, data: 0 };
    (0..length).map(|_| generator.step()).collect()
}

struct Generator {
    random: Rng,
    polls: usize,
    /// No two registrations have the same, so that a report says whose it is.
    data: u64,
}

impl Generator {
    fn step(&mut self) -> Step {
        let poll = self.poll();
        match self.random.u32(0..1000) {
            0..220 => self.control(poll, Op::Add),
            220..290 => self.control(poll, Op::Modify),
            290..330 => self.control(poll, Op::Delete),
            330..560 => Step::Wait { poll, max: self.max() },
            560..620 => Step::Look { poll },
            620..625 => Step::Fault { poll, max: self.random.usize(1..8), writable: self.random.usize(0..4) },
            625..760 => Step::Write { counter: self.random.usize(..COUNTERS), n: self.number() },
            760..850 => Step::Read { counter: self.random.usize(..COUNTERS) },
            850..920 => Step::WritePipe { pipe: self.random.usize(..PIPES), n: self.size() },
            920..980 => Step::ReadPipe { pipe: self.random.usize(..PIPES), n: self.size() },
            980..990 => Step::Close { place: self.place() },
            _ => Step::Renew { place: self.place() },
        }
    }

    fn poll(&mut self) -> usize {
        self.random.usize(..self.polls)
    }

    fn place(&mut self) -> Place {
        match self.random.u32(0..10) {
            0..4 => Place::Counter(self.random.usize(..COUNTERS)),
            4..6 => Place::Reader(self.random.usize(..PIPES)),
            6..8 => Place::Writer(self.random.usize(..PIPES)),
            _ => Place::Poll(self.poll()),
        }
    }

    fn control(&mut self, poll: usize, op: Op) -> Step {
        self.data += 1;
        Step::Control { poll, op, source: self.place(), bits: self.bits(), data: self.data }
    }

    fn bits(&mut self) -> u32 {
        if self.random.u32(0..40) == 0 {
            return self.random.u32(..);
        }
        const USUAL: [u32; 12] =
            [IN, IN, IN, OUT, OUT, IN | OUT, IN | OUT, 0, RDNORM, WRNORM | IN, PRI | RDHUP, ERR | HUP];
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

    fn number(&mut self) -> u64 {
        match self.random.u32(0..20) {
            0 => u64::MAX - self.random.u64(0..4),
            1..3 => 0,
            _ => self.random.u64(1..4),
        }
    }

    /// Of bytes: often about the size of a slot, or of all slots.
    fn size(&mut self) -> usize {
        const SLOT: usize = 4096;
        match self.random.u32(0..10) {
            0..3 => self.random.usize(0..4),
            3..5 => self.random.usize(0..SLOT),
            5..7 => SLOT,
            7 => SLOT * self.random.usize(1..5),
            8 => (SLOT * 16 - 2) + self.random.usize(0..4),
            _ => self.random.usize(0..20 * SLOT),
        }
    }
}
