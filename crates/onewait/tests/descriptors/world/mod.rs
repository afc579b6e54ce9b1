//! One side of a comparison: something that watches descriptors.
//!
//! Bits are raw numbers and errors are errno, so that both sides can be compared without converting.

mod kernel;
mod ours;
mod sides;

pub(crate) use kernel::{Epoll, Kernel, last};
pub(crate) use ours::Ours;
pub(crate) use sides::{alone, both, both_alone, both_in_process, both_under, childless, in_process};

use crate::bits::Named;
use std::fmt;
use std::os::fd::AsFd;
use std::time::Duration;

/// The error number of a call.
pub(crate) type Errno = i32;

/// What a wait reports.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) bits: u32,
    pub(crate) data: u64,
}

/// The event with these bits and this data.
pub(crate) fn event(bits: u32, data: u64) -> Event {
    Event { bits, data }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} #{}", Named(self.bits), self.data)
    }
}

/// What is done to an interest list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Modify,
    Delete,
}

pub(crate) const OPS: [Op; 3] = [Op::Add, Op::Modify, Op::Delete];

/// A wait that ends before anything else does: what takes longer hangs, and the watchdog says so.
pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

/// The interest list alone, which other threads may change while one waits.
pub(crate) trait List {
    fn control(&self, op: Op, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno>;

    fn add(&self, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        self.control(Op::Add, fd, bits, data)
    }

    fn modify(&self, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        self.control(Op::Modify, fd, bits, data)
    }

    fn delete(&self, fd: &impl AsFd) -> Result<(), Errno> {
        self.control(Op::Delete, fd, 0, 0)
    }
}

/// A side of the comparison.
pub(crate) trait World: Sized + Send + 'static {
    type List: List + Clone + Send + 'static;

    /// One that watches nothing yet, or why there is none.
    fn try_new() -> Result<Self, Errno>;

    /// One that refuses files without a poll of their own; with a reactor that is an option.
    fn strict() -> Self;

    fn list(&self) -> &Self::List;

    /// No timeout waits for ever.
    fn wait(&mut self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno>;

    fn new() -> Self {
        Self::try_new().expect("a side can be made")
    }

    /// What a wait of no time reports.
    fn now(&mut self, max: usize) -> Vec<Event> {
        self.wait(max, NOW).expect("a wait that does not block")
    }

    /// What a wait reports that is sure to have something in the end.
    fn next(&mut self, max: usize) -> Vec<Event> {
        self.wait(max, None).expect("a wait that nobody interrupts")
    }

    fn add(&self, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        self.list().add(fd, bits, data)
    }

    fn modify(&self, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        self.list().modify(fd, bits, data)
    }

    fn delete(&self, fd: &impl AsFd) -> Result<(), Errno> {
        self.list().delete(fd)
    }
}
