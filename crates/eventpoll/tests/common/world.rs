//! One side of a comparison: an event poll, and the sources that it can watch.
//!
//! Bits are raw numbers and errors are errno, so that both sides can be compared without converting. No call here
//! blocks, but a `wait` with a timeout.

use std::fmt;
use std::time::Duration;

use super::bits::Named;

/// The error number of a call.
pub(crate) type Errno = i32;

/// What a wait reports.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// A wait of these tests asks for no more.
pub(crate) const MOST_EVENTS: usize = 64;

/// What is done to an interest list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Modify,
    Delete,
}

/// A side of the comparison. Dropping what it makes closes it, for the last time.
pub(crate) trait World: Sized + 'static {
    /// What a control call names a source by.
    type Source<'a>: Copy;
    type Poll: Poll<Self>;
    type Counter: Counter<Self>;
    type Reader: Reader<Self>;
    type Writer: Writer<Self>;
    type Timer: Timer<Self>;

    fn poll() -> Self::Poll;
    /// An eventfd, or ours.
    fn counter(initial: u32) -> Self::Counter;
    /// A counter whose reads take one.
    fn semaphore(initial: u32) -> Self::Counter;
    /// A pipe of 16 slots.
    fn pipe() -> (Self::Reader, Self::Writer);
    fn timer() -> Self::Timer;
}

/// Anything that can be watched.
pub(crate) trait Watched<W: World>: Send + Sync + 'static {
    fn source(&self) -> W::Source<'_>;
}

pub(crate) trait Poll<W: World>: Watched<W> {
    fn control(&self, op: Op, source: W::Source<'_>, bits: u32, data: u64) -> Result<(), Errno>;

    /// How many events were stored; no timeout waits for ever. Allocates nothing, so that a waiter sleeps nowhere else.
    fn wait_into(&self, events: &mut [Event], timeout: Option<Duration>) -> Result<usize, Errno>;

    fn wait(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        let mut events = vec![Event::default(); max];
        let stored = self.wait_into(&mut events, timeout)?;
        events.truncate(stored);
        Ok(events)
    }

    /// A wait of no time whose buffer has room for `max` events, but of whose memory only the first `writable` hold.
    fn wait_where_stores_fail(&self, max: usize, writable: usize) -> Result<usize, Errno>;

    /// A wait of no time that runs `hook` while it stores the first event; nothing where the system does not let us do that.
    fn wait_with_hook(&self, max: usize, hook: impl FnOnce() + Send) -> Option<Result<Vec<Event>, Errno>>;

    /// A wait that is interrupted already as it begins.
    fn wait_interrupted(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno>;

    /// Interrupts the only waiter, which is this thread.
    fn interrupt(&self, task: i32);

    /// What this event poll is as a source.
    fn level(&self) -> u32;

    fn add(&self, source: W::Source<'_>, bits: u32, data: u64) -> Result<(), Errno> {
        self.control(Op::Add, source, bits, data)
    }

    fn modify(&self, source: W::Source<'_>, bits: u32, data: u64) -> Result<(), Errno> {
        self.control(Op::Modify, source, bits, data)
    }

    fn delete(&self, source: W::Source<'_>) -> Result<(), Errno> {
        self.control(Op::Delete, source, 0, 0)
    }

    /// What a wait of no time reports.
    fn now(&self, max: usize) -> Vec<Event> {
        self.wait(max, Some(Duration::ZERO)).expect("a wait that does not block")
    }
}

pub(crate) trait Counter<W: World>: Watched<W> {
    fn write(&self, n: u64) -> Result<(), Errno>;
    fn read(&self) -> Result<u64, Errno>;
}

pub(crate) trait Reader<W: World>: Watched<W> {
    /// How many of `n` bytes were there.
    fn read(&self, n: usize) -> Result<usize, Errno>;
}

pub(crate) trait Writer<W: World>: Watched<W> {
    /// How many of `n` bytes were taken.
    fn write(&self, n: usize) -> Result<usize, Errno>;
}

pub(crate) trait Timer<W: World>: Watched<W> {
    /// Expires after each period, from now on.
    fn start(&self);
    /// Comes back when at least so many periods are over.
    fn pass(&self, periods: u32);
    /// Arms it for a far day.
    fn postpone(&self);
    /// How often it expired since the last read.
    fn read(&self) -> Result<u64, Errno>;
}
