//! Values from many senders to one receiver.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;

use crate::Events;
use crate::source::{AsSource, Notifier, Source, SourceRef, Watched};
use crate::sync::{AtomicU32, Ordering, ShortLock};

/// A channel that holds up to `bound` values.
#[must_use]
pub fn bounded<T: Send + 'static>(bound: usize) -> (Sender<T>, Receiver<T>) {
    channel(Some(bound))
}

/// A channel that holds as many values as memory does.
#[must_use]
pub fn unbounded<T: Send + 'static>() -> (Sender<T>, Receiver<T>) {
    channel(None)
}

/// A channel that holds up to `bound` values; `None`: as many as memory does.
#[must_use]
pub fn channel<T: Send + 'static>(bound: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(bound));
    let receiving = Watched::new(ReceiveEnd(shared.clone()));
    let sending = Watched::new(SendEnd(shared.clone()));
    let (receiver, senders) = (receiving.notifier(), sending.notifier());
    let end = Arc::new(Senders { end: sending, receiver: receiver.clone() });
    (Sender { shared: shared.clone(), receiver, end }, Receiver { shared, end: receiving, senders })
}

const READABLE: Events = Events::IN.union(Events::RDNORM);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// What both ends share.
struct Shared<T> {
    queue: ShortLock<Queue<T>>,
    /// The levels of both ends, for waits, which need not lock the queue. Written with the queue locked.
    receive_level: AtomicU32,
    send_level: AtomicU32,
}

struct Queue<T> {
    values: VecDeque<T>,
    /// How many values there may be; without a bound, more than memory holds.
    bound: usize,
    receiver_gone: bool,
    senders_gone: bool,
}

impl<T> Queue<T> {
    #[inline]
    fn is_full(&self) -> bool {
        self.values.len() >= self.bound
    }
}

impl<T> Shared<T> {
    fn new(bound: Option<usize>) -> Self {
        let bound = bound.unwrap_or(usize::MAX);
        let queue = Queue { values: VecDeque::new(), bound, receiver_gone: false, senders_gone: false };
        let shared = Self {
            queue: ShortLock::new(queue),
            receive_level: AtomicU32::new(0),
            send_level: AtomicU32::new(WRITABLE.bits()),
        };
        shared.change(|_| ());
        shared
    }

    /// Changes the queue, and then the levels.
    #[inline]
    fn change<R>(&self, f: impl FnOnce(&mut Queue<T>) -> R) -> R {
        let mut queue = self.queue.lock();
        let result = f(&mut queue);
        let receive = match (queue.values.is_empty(), queue.senders_gone) {
            (true, false) => Events::empty(),
            (false, false) => READABLE,
            (true, true) => Events::HUP,
            (false, true) => READABLE.union(Events::HUP),
        };
        self.receive_level.store(receive.bits(), Ordering::Release);
        // Without a bound there is always room.
        if queue.bound != usize::MAX || queue.receiver_gone {
            let mut send = Events::empty();
            send.set(WRITABLE, !queue.is_full());
            send.set(Events::ERR, queue.receiver_gone);
            self.send_level.store(send.bits(), Ordering::Release);
        }
        result
    }
}

struct ReceiveEnd<T>(Arc<Shared<T>>);

impl<T: Send + 'static> Source for ReceiveEnd<T> {
    fn level(&self) -> Events {
        Events::from(self.0.receive_level.load(Ordering::Acquire))
    }
}

struct SendEnd<T>(Arc<Shared<T>>);

impl<T: Send + 'static> Source for SendEnd<T> {
    fn level(&self) -> Events {
        Events::from(self.0.send_level.load(Ordering::Acquire))
    }
}

/// The end to send to; clone it for more senders. As a source, which its clones are too: `OUT | WRNORM` if there is room,
/// `ERR` if the receiver is gone. An edge is when a full channel gets room.
pub struct Sender<T: Send + 'static> {
    // These two are within `end`, too, but further away.
    shared: Arc<Shared<T>>,
    receiver: Notifier,
    end: Arc<Senders<T>>,
}

struct Senders<T: Send + 'static> {
    end: Watched<SendEnd<T>>,
    receiver: Notifier,
}

/// The end to receive from. As a source: `IN | RDNORM` if there is a value, `HUP` if all senders are gone. Every value
/// sent is an edge.
pub struct Receiver<T: Send + 'static> {
    shared: Arc<Shared<T>>,
    end: Watched<ReceiveEnd<T>>,
    senders: Notifier,
}

/// Why a value was not sent; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// The receiver is gone.
    Disconnected(T),
}

/// Why no value was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// There is none yet.
    Empty,
    /// There is none, and all senders are gone.
    Disconnected,
}

impl<T: Send + 'static> Sender<T> {
    /// Sends a value. Does not wait for room.
    ///
    /// Errors: [`TrySendError::Full`], [`TrySendError::Disconnected`], with the value.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.change(|queue| {
            if queue.receiver_gone {
                return Err(TrySendError::Disconnected(value));
            }
            if queue.is_full() {
                return Err(TrySendError::Full(value));
            }
            queue.values.push_back(value);
            Ok(())
        })?;
        self.receiver.notify(READABLE);
        Ok(())
    }
}

impl<T: Send + 'static> Receiver<T> {
    /// Takes the oldest value. Does not wait for one.
    ///
    /// Errors: [`TryRecvError::Empty`], [`TryRecvError::Disconnected`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let (value, was_full) = self.shared.change(|queue| {
            let was_full = queue.is_full();
            match queue.values.pop_front() {
                Some(value) => Ok((value, was_full)),
                None if queue.senders_gone => Err(TryRecvError::Disconnected),
                None => Err(TryRecvError::Empty),
            }
        })?;
        if was_full {
            self.senders.notify(WRITABLE);
        }
        Ok(value)
    }
}

impl<T: Send + 'static> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), receiver: self.receiver.clone(), end: self.end.clone() }
    }
}

impl<T: Send + 'static> Drop for Senders<T> {
    fn drop(&mut self) {
        self.end.0.change(|queue| queue.senders_gone = true);
        self.receiver.notify_all(Events::empty());
    }
}

impl<T: Send + 'static> Drop for Receiver<T> {
    fn drop(&mut self) {
        let values = self.shared.change(|queue| {
            queue.receiver_gone = true;
            core::mem::take(&mut queue.values)
        });
        // The values' own code runs without the lock.
        drop(values);
        self.senders.notify_all(Events::empty());
    }
}

impl<T: Send + 'static> AsSource for Sender<T> {
    fn as_source(&self) -> SourceRef<'_> {
        self.end.end.as_source()
    }
}

impl<T: Send + 'static> AsSource for Receiver<T> {
    fn as_source(&self) -> SourceRef<'_> {
        self.end.as_source()
    }
}

impl<T: Send + 'static> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("id", &self.end.end.id()).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("id", &self.end.id()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the channel is full",
            Self::Disconnected(_) => "the receiver is gone",
        })
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the channel is empty",
            Self::Disconnected => "all senders are gone",
        })
    }
}

impl<T> core::error::Error for TrySendError<T> {}
impl core::error::Error for TryRecvError {}
