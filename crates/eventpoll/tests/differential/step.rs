//! What can be done in a sequence.
//!
//! Steps name things by their places, which always exist; what is at a place may have been closed. So any part of a
//! sequence is a sequence.

use std::fmt;

use crate::common::bits::Named;
use crate::common::world::Op;

pub(super) const POLLS: usize = 7;
/// The last one is a semaphore.
pub(super) const COUNTERS: usize = 3;
pub(super) const PIPES: usize = 2;

/// Where something is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Poll(usize),
    Counter(usize),
    Reader(usize),
    Writer(usize),
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    Control {
        poll: usize,
        op: Op,
        source: Place,
        bits: u32,
        data: u64,
    },
    Wait {
        poll: usize,
        max: usize,
    },
    /// The event poll's own level.
    Look {
        poll: usize,
    },
    /// As a wait, into memory of which only a part can be written.
    Fault {
        poll: usize,
        max: usize,
        writable: usize,
    },
    Write {
        counter: usize,
        n: u64,
    },
    Read {
        counter: usize,
    },
    WritePipe {
        pipe: usize,
        n: usize,
    },
    ReadPipe {
        pipe: usize,
        n: usize,
    },
    Close {
        place: Place,
    },
    /// A new one at this place (of a pipe: both ends); what was there is closed.
    Renew {
        place: Place,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Poll(place) => write!(f, "poll{place}"),
            Place::Counter(place) if *place == COUNTERS - 1 => write!(f, "semaphore"),
            Place::Counter(place) => write!(f, "counter{place}"),
            Place::Reader(place) => write!(f, "reader{place}"),
            Place::Writer(place) => write!(f, "writer{place}"),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Control { poll, op: Op::Delete, source, .. } => write!(f, "poll{poll}.delete({source:?})"),
            Step::Control { poll, op: Op::Add, source, bits, data } => {
                write!(f, "poll{poll}.add({source:?}, {:?}, #{data})", Named(bits))
            }
            Step::Control { poll, op: Op::Modify, source, bits, data } => {
                write!(f, "poll{poll}.modify({source:?}, {:?}, #{data})", Named(bits))
            }
            Step::Wait { poll, max } => write!(f, "poll{poll}.wait({max}, 0)"),
            Step::Look { poll } => write!(f, "poll{poll}.poll()"),
            Step::Fault { poll, max, writable } => {
                write!(f, "poll{poll}.wait({max} of which {writable} can be stored)")
            }
            Step::Write { counter, n } => write!(f, "{:?}.write({n})", Place::Counter(counter)),
            Step::Read { counter } => write!(f, "{:?}.read()", Place::Counter(counter)),
            Step::WritePipe { pipe, n } => write!(f, "{:?}.write({n} bytes)", Place::Writer(pipe)),
            Step::ReadPipe { pipe, n } => write!(f, "{:?}.read({n} bytes)", Place::Reader(pipe)),
            Step::Close { place } => write!(f, "close({place:?})"),
            Step::Renew { place } => write!(f, "renew({place:?})"),
        }
    }
}
