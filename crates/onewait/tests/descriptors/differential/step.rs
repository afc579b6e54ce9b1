//! What can be done in a sequence.
//!
//! Steps name descriptors by their places, which always exist; there may be none at a place. So any part of a sequence is
//! a sequence.

use crate::bits::Named;
use crate::world::Op;
use std::fmt;

/// Each is a number of a descriptor, counted from where the side's begin.
pub(super) const PLACES: usize = 14;

pub(super) type Place = usize;

/// Where interests are registered, and waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Poll {
    /// The side under test.
    Side,
    /// An epoll of the kernel's, if that is at this place. The side may watch it.
    Inner(Place),
}

/// What is made anew at a place, or at two.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Pipe,
    Stream,
    Datagram,
    Counter,
    Semaphore,
    Epoll,
    /// A file without a poll of its own.
    Null,
}

/// What is registered.
#[derive(Clone, Copy)]
pub(super) struct Control {
    pub(super) poll: Poll,
    pub(super) op: Op,
    pub(super) place: Place,
    pub(super) bits: u32,
    pub(super) data: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Step {
    Control(Control),
    Wait {
        poll: Poll,
        max: usize,
    },
    /// What `poll(2)` says.
    Look {
        place: Place,
    },
    Write {
        place: Place,
        n: usize,
    },
    Read {
        place: Place,
        n: usize,
    },
    /// To the first place that is free.
    Dup {
        place: Place,
    },
    /// What was at `to` is closed.
    Dup2 {
        from: Place,
        to: Place,
    },
    Close {
        place: Place,
    },
    /// What was at the places is closed; `second` is for the other end, if there is one.
    Renew {
        kind: Kind,
        first: Place,
        second: Place,
    },
    /// A child does this, and ends.
    ChildControls(Control),
    /// A child closes this, and ends.
    ChildCloses {
        place: Place,
    },
    /// A child has all descriptors open from now on, until `Release`.
    Hold,
    Release,
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Poll::Side => write!(f, "side"),
            Poll::Inner(place) => write!(f, "fd{place}"),
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Control { poll, op, place, bits, data } = *self;
        match op {
            Op::Delete => write!(f, "{poll:?}.delete(fd{place})"),
            Op::Add => write!(f, "{poll:?}.add(fd{place}, {:?}, #{data})", Named(bits)),
            Op::Modify => write!(f, "{poll:?}.modify(fd{place}, {:?}, #{data})", Named(bits)),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Control(control) => control.fmt(f),
            Step::Wait { poll, max } => write!(f, "{poll:?}.wait({max}, 0)"),
            Step::Look { place } => write!(f, "poll(fd{place})"),
            Step::Write { place, n } => write!(f, "write(fd{place}, {n} bytes)"),
            Step::Read { place, n } => write!(f, "read(fd{place}, {n} bytes)"),
            Step::Dup { place } => write!(f, "dup(fd{place})"),
            Step::Dup2 { from, to } => write!(f, "dup2(fd{from}, fd{to})"),
            Step::Close { place } => write!(f, "close(fd{place})"),
            Step::Renew { kind: kind @ (Kind::Pipe | Kind::Stream | Kind::Datagram), first, second } => {
                write!(f, "fd{first}, fd{second} = new {kind:?}")
            }
            Step::Renew { kind, first, .. } => write!(f, "fd{first} = new {kind:?}"),
            Step::ChildControls(control) => write!(f, "child: {control:?}"),
            Step::ChildCloses { place } => write!(f, "child: close(fd{place})"),
            Step::Hold => write!(f, "a child holds everything"),
            Step::Release => write!(f, "that child ends"),
        }
    }
}
