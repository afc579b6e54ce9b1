//! Requests on files in a loop's own ring: what is asked for goes to the kernel with the call that also waits.
//!
//! ```text
//!       reactor.files()?.submit(request)                 take → Completion
//!                 │                                        ▲
//!   ┌─────────────┴────────────────────────────────────────┴─────────────┐
//!   │ Files       the requests and completions of the crate's queues     │
//!   ├──────────────────────────────────┬─────────────────────────────────┤
//!   │ uring: the ring that the sockets │ epoll: a completion queue with  │
//!   │ are in and the loop sleeps in    │ an engine and threads of its own│
//!   └──────────────────────────────────┴─────────────────────────────────┘
//! ```
//!
//! A [`CompletionQueue`] serves any thread, and so its requests go through an engine's thread: a wake-up there, and one back.
//! A loop that has a ring needs neither.

use crate::aio::LoopRing;
use crate::driver::{Choice, DriverKind};
use crate::errno::Errno;
use crate::face::{
    Aio, CancelVerdict, Completion, CompletionQueue, Descriptor, Refused, Request, RequestHandle, RingQueue,
};
use crate::sockets::Sockets;
use eventpoll::{AsSource, SourceRef};
use std::fmt;

/// The requests on files of a [`Reactor`](crate::reactor::Reactor)'s own: from
/// [`Reactor::files`](crate::reactor::Reactor::files).
///
/// They are the same [`Request`]s as those of a [`CompletionQueue`], with the same results and the same order among
/// themselves; towards the requests of queues there is none. They belong to the thread of the loop: what is submitted is on
/// its way from the next [`wait`](crate::reactor::Reactor::wait) on at the latest, and when something has ended, the wait
/// reports the token [`ReactorBuilder::files_token`](crate::reactor::ReactorBuilder::files_token).
///
/// On the `uring` driver a read of a file takes no thread, no wake-up and no system call of its own; nor does anything else
/// that a ring does well, but for a look at what its descriptor is. What a ring does badly is done as
/// [`CompletionQueue::submit`] does it: short writes of whole pages into the page cache in the call itself, other writes into
/// the page cache and `fsync` by threads. In a reactor that [other loops poll](crate::reactor::ReactorBuilder::embeddable)
/// each call hands over at once what it has submitted. On the `epoll` driver all is as with a queue.
///
/// No request raises a signal, but for a limit on the size of files (`RLIMIT_FSIZE`) that is set between submitting a write
/// and the wait that follows.
///
/// ```
/// use onewait::reactor::{Reactor, Ready};
/// use onewait::{Buffer, Descriptor, Request};
///
/// let mut reactor = Reactor::new()?;
/// let file = Descriptor::from(std::fs::File::open("Cargo.toml")?);
/// for block in 0..4 {
///     reactor.files()?.submit(Request::read(&file, Buffer::with_capacity(4096), block * 4096).token(block))?;
/// }
/// let mut events = [Ready::default(); 8];
/// while reactor.files()?.outstanding() > 0 {
///     for event in reactor.wait(&mut events, None)? {
///         assert_eq!(event.token, Reactor::FILES);
///     }
///     while let Some(done) = reactor.files()?.take() {
///         println!("block {}: {} bytes", done.token, done.result?);
///     }
/// }
/// # std::io::Result::Ok(())
/// ```
///
/// # The end
/// Dropping the reactor cancels what can be cancelled, and waits for what the disk is in the middle of. Writes that had not
/// begun are lost then. On the `uring` driver only the thread that the requests belong to can do that: after a drop on
/// another one, what is in flight goes on until their thread ends, and its memory is never freed.
pub struct Files<'r> {
    own: &'r mut OwnFiles,
    sockets: &'r mut Sockets,
}

/// What a reactor keeps of them.
pub(crate) struct OwnFiles {
    carrier: Carrier,
    /// So many completions may still be taken in this turn.
    left: usize,
}

/// A program that submits a request for each completion, which then ends in that very call, is to come back to its loop.
const TAKEN_A_TURN: usize = 256;

/// Who carries requests out.
enum Carrier {
    /// The ring of the reactor's sockets.
    Ring(Box<RingQueue>),
    Engine(CompletionQueue),
}

impl OwnFiles {
    /// On the driver that the sockets are on.
    ///
    /// # Errors
    /// Those of [`Aio::with_driver`].
    pub(crate) fn new(sockets: &Sockets) -> Result<OwnFiles, Errno> {
        let carrier = match sockets.driver() {
            DriverKind::Uring => Carrier::Ring(Box::new(RingQueue::new())),
            driver => Carrier::Engine(Aio::with_driver(Choice::Strict(driver))?.queue()),
        };
        Ok(OwnFiles { carrier, left: TAKEN_A_TURN })
    }

    /// With the sockets in whose ring they are.
    pub(crate) fn outstanding(&self, sockets: &Sockets) -> usize {
        match &self.carrier {
            Carrier::Ring(_) => sockets.requests().map_or(0, LoopRing::outstanding),
            Carrier::Engine(queue) => queue.outstanding(),
        }
    }

    /// Requests in the ring may have ended.
    #[inline]
    pub(crate) fn tell(&self, sockets: &Sockets) {
        if let (Carrier::Ring(queue), Some(ring)) = (&self.carrier, sockets.requests()) {
            queue.tell(ring);
        }
    }

    /// A turn begins.
    #[inline]
    pub(crate) fn begin_turn(&mut self) {
        self.left = TAKEN_A_TURN;
    }
}

impl AsSource for OwnFiles {
    fn as_source(&self) -> SourceRef<'_> {
        match &self.carrier {
            Carrier::Ring(queue) => queue.source(),
            Carrier::Engine(queue) => queue.as_source(),
        }
    }
}

impl<'r> Files<'r> {
    pub(crate) fn new(own: &'r mut OwnFiles, sockets: &'r mut Sockets) -> Files<'r> {
        Files { own, sockets }
    }

    /// Which driver it is.
    pub fn driver(&self) -> DriverKind {
        self.sockets.driver()
    }

    /// Submits a request. It is on its way when the loop waits next.
    ///
    /// # Errors
    /// The request is given back, and nothing of it was done: EAGAIN when too many are in flight or were not taken
    /// ([`CAPACITY`](crate::aio::CAPACITY)); ECHILD in the child of a fork; on the `uring` driver EEXIST on another thread
    /// than the one that called [`Reactor::files`](crate::reactor::Reactor::files), or `sockets`, first; on the `epoll`
    /// driver those of [`CompletionQueue::submit`].
    pub fn submit(&mut self, request: Request) -> Result<RequestHandle, Refused> {
        match &self.own.carrier {
            Carrier::Ring(queue) => match self.sockets.loop_ring() {
                Ok(ring) => {
                    let handle = queue.submit(ring, request)?;
                    self.sockets.tell_of_files();
                    // It may have ended already.
                    self.own.tell(self.sockets);
                    Ok(handle)
                }
                Err(errno) => Err(Refused { errno, request }),
            },
            Carrier::Engine(queue) => queue.submit(request),
        }
    }

    /// The completion of the request that has ended first. `None`: there is none, or there were many in this turn; the next
    /// wait tells whether there are more.
    #[inline]
    pub fn take(&mut self) -> Option<Completion> {
        if self.own.left == 0 {
            return None;
        }
        let taken = match &self.own.carrier {
            Carrier::Ring(queue) => self.sockets.requests_mut().and_then(|ring| queue.take(ring)),
            Carrier::Engine(queue) => queue.try_reap(),
        };
        self.own.left -= usize::from(taken.is_some());
        taken
    }

    /// How many requests are in flight or were not taken.
    pub fn outstanding(&self) -> usize {
        self.own.outstanding(self.sockets)
    }

    /// Cancels a request, as [`Aio::cancel`].
    ///
    /// # Errors
    /// EINVAL if the request was submitted elsewhere; ECHILD in the child of a fork; EEXIST as [`Files::submit`].
    pub fn cancel(&mut self, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        match &self.own.carrier {
            Carrier::Ring(queue) => queue.cancel(self.sockets.loop_ring()?, request),
            Carrier::Engine(queue) => queue.cancel(request),
        }
    }

    /// Cancels all requests on a descriptor, as [`Aio::cancel_all`].
    ///
    /// # Errors
    /// ECHILD in the child of a fork; EEXIST as [`Files::submit`].
    pub fn cancel_all(&mut self, descriptor: &Descriptor) -> Result<CancelVerdict, Errno> {
        match &self.own.carrier {
            Carrier::Ring(queue) => Ok(queue.cancel_all(self.sockets.loop_ring()?, descriptor)),
            Carrier::Engine(queue) => queue.cancel_all(descriptor),
        }
    }
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("driver", &self.driver()).field("outstanding", &self.outstanding()).finish()
    }
}
