//! Sockets by completion: what is asked for is done when something comes, and told by the reactor's one wait.
//!
//! ```text
//!    accept, connect, receive, send, stop, close          take → SocketCompletion { token, socket, outcome }
//!                     │                                                     ▲
//!   ┌─────────────────┴─────────────────────────────────────────────────────┴──────────┐
//!   │ Sockets     sockets in slots · sends in their order · a small pool of buffers     │
//!   ├─────────────────────────────────────────┬────────────────────────────────────────┤
//!   │ ring/       multishot operations in a   │ readiness.rs   one edge-triggered epoll, │
//!   │             ring, which sleeps as well  │                plain calls that never    │
//!   │                                         │                wait                      │
//!   └─────────────────────────────────────────┴────────────────────────────────────────┘
//! ```
//!
//! Both do the same; which one it is, the driver says. See [`Sockets`].

mod address;
mod common;
mod completion;
mod id;
mod in_loop;
mod loan;
mod outgoing;
mod pool;
mod readiness;
mod ring;
mod spare;
mod supply;

pub use address::Address;
pub use completion::{SocketCompletion, SocketOutcome, Unsent};
pub use id::SocketId;
pub(crate) use in_loop::Slept;
pub use loan::Received;
pub use outgoing::Outgoing;

use crate::driver::{Choice, DriverKind, is_refusal};
use crate::errno::Errno;
use crate::sys::fork;
use common::Common;
use eventpoll::Waker;
use id::{Intake, Slot};
use in_loop::Bell;
use outgoing::Sending;
use readiness::Readiness;
use ring::RingSockets;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::slice;
use supply::Content;

/// So many sends may be in flight or not taken.
const MOST_SENDS: usize = 1 << 16;
/// A program that sends again for each send that has ended, which may be in that very call, is to come back to its loop.
const TAKEN_A_TURN: usize = 4096;

/// The sockets that a [`Reactor`](crate::reactor::Reactor) owns, and does things with: from
/// [`Reactor::sockets`](crate::reactor::Reactor::sockets).
///
/// A socket is given away ([`attach`](Sockets::attach)), and has a [`SocketId`] from then on. What is asked for ends in
/// completions: when there are some, the reactor's wait reports the token
/// [`ReactorBuilder::sockets_token`](crate::reactor::ReactorBuilder::sockets_token), and [`take`](Sockets::take) gives them
/// one after the other. A socket does one of accepting, connecting and receiving at a time, and sends besides. The reactor's
/// next wait hands everything to the kernel, if the call did not.
///
/// ```
/// use onewait::reactor::{Reactor, Ready};
/// use onewait::sockets::SocketOutcome;
/// use std::os::unix::net::UnixStream;
///
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let mut reactor = Reactor::new()?;
/// let socket = reactor.sockets()?.attach(ours)?;
/// reactor.sockets()?.receive(socket, 1)?;
/// std::io::Write::write_all(&mut theirs, b"hello")?;
///
/// let mut echoed = 0;
/// while echoed < 5 {
///     reactor.wait(&mut [Ready::default()], None)?;
///     let sockets = reactor.sockets()?;
///     while let Some(done) = sockets.take() {
///         match done.outcome {
///             SocketOutcome::Received(bytes) => sockets.send(socket, bytes?, 2)?,
///             SocketOutcome::Sent(result, bytes) => {
///                 result?;
///                 echoed += bytes.len();
///             }
///             _ => unreachable!(),
///         }
///     }
/// }
/// # std::io::Result::Ok(())
/// ```
///
/// # Drivers
/// With io_uring what is asked for lies in a ring, accepting and receiving once for all that comes, and a turn of the loop is
/// one system call. Without, sockets are watched by an epoll, and each receive and send is a system call that does not wait.
/// The calls and what they mean are the same.
///
/// # Threads and forks
/// A ring belongs to the thread that made it by the first call of `Reactor::sockets`: on others all calls, and the reactor's
/// waits, fail with EEXIST. In the child of a fork all calls fail with ECHILD, and there is nothing to take; the sockets are
/// the parent's.
///
/// # The end
/// Dropping the reactor cancels what is in flight, and closes all sockets. With io_uring only their own thread can do that:
/// after a drop on another one, what is in flight goes on until their thread ends, the other sides see no end before, and
/// its memory is never freed.
pub struct Sockets {
    driver: Driver,
    common: Common,
    /// So many completions may still be taken in this turn.
    left: usize,
    /// Somebody polls the reactor.
    bell: Option<Bell>,
    /// Of the process that made it.
    generation: u32,
}

enum Driver {
    Uring(Box<RingSockets>),
    Epoll(Readiness),
}

/// What the reactor gives.
pub(crate) struct Setting {
    pub(crate) choice: Choice,
    /// For buffers, in bytes.
    pub(crate) memory: usize,
    pub(crate) waker: Waker,
    /// An eventfd that ends a sleep.
    pub(crate) doorbell: RawFd,
}

impl Sockets {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, ENOSPC; and what io_uring is refused with, if nothing else may be used.
    pub(crate) fn new(setting: Setting) -> Result<Sockets, Errno> {
        let Setting { choice, memory, waker, doorbell } = setting;
        fork::watch();
        let driver = match choice {
            Choice::Strict(DriverKind::Epoll) => Driver::Epoll(Readiness::new(doorbell)?),
            _ => match RingSockets::new() {
                Ok(ring) => Driver::Uring(Box::new(ring)),
                Err(errno) if choice.allows(DriverKind::Epoll) && is_refusal(errno) => {
                    Driver::Epoll(Readiness::new(doorbell)?)
                }
                Err(errno) => return Err(errno),
            },
        };
        let (common, generation) = (Common::new(memory, waker), fork::generation());
        Ok(Sockets { driver, common, left: TAKEN_A_TURN, bell: None, generation })
    }

    /// Which driver it is.
    pub fn driver(&self) -> DriverKind {
        match self.driver {
            Driver::Uring(_) => DriverKind::Uring,
            Driver::Epoll(_) => DriverKind::Epoll,
        }
    }

    /// How many sockets there are, those included that are about to end.
    pub fn len(&self) -> usize {
        self.common.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a socket over: a listener, a connection, one that is to be connected, one for datagrams. It is made
    /// non-blocking, and is closed by [`Sockets::close`], or with the reactor.
    ///
    /// # Errors
    /// ENOTSOCK; ENOSPC (`/proc/sys/fs/epoll/max_user_watches` is reached), ENOMEM, EPERM and EEXIST as `epoll_ctl(2)`;
    /// EEXIST, ECHILD.
    pub fn attach(&mut self, socket: impl Into<OwnedFd>) -> Result<SocketId, Errno> {
        self.take_over(socket.into()).map_err(|(errno, _closed)| errno)
    }

    /// The same, but for faces whose callers keep the socket if that fails, as C's do.
    ///
    /// # Errors
    /// As [`Sockets::attach`], with the socket, which may be non-blocking now.
    pub fn take_over(&mut self, socket: OwnedFd) -> Result<SocketId, (Errno, OwnedFd)> {
        let prepared = self.check_owner().and_then(|()| common::prepare(&socket)).and_then(|kind| {
            if let Driver::Epoll(epoll) = &mut self.driver {
                epoll.watch(socket.as_raw_fd(), self.common.table.next())?;
            }
            Ok(kind)
        });
        match prepared {
            Ok(kind) => Ok(self.common.table.insert(socket, kind)),
            Err(errno) => Err((errno, socket)),
        }
    }

    /// The descriptor of a socket, for options and addresses. `None` if there is no such socket.
    pub fn descriptor(&self, socket: SocketId) -> Option<BorrowedFd<'_>> {
        self.common.table.peek(socket).and_then(|slot| slot.fd.as_ref()).map(AsFd::as_fd)
    }

    /// Takes each connection that comes to a listener, until it is stopped: each is a completion, and a socket here. It is
    /// non-blocking and closed by exec.
    ///
    /// # Errors
    /// EBADF (no such socket), EOPNOTSUPP (it is for messages without connections, as datagrams are), EALREADY (it accepts,
    /// connects, or receives already, or the last completion of that was not taken), EEXIST, ECHILD. Whether it listens, the
    /// completion says: with EINVAL if not, which without io_uring comes once there is something to receive.
    pub fn accept(&mut self, listener: SocketId, token: u64) -> Result<(), Errno> {
        self.begin_to_accept(listener, true, token)
    }

    /// Takes one connection.
    ///
    /// # Errors
    /// As [`Sockets::accept`].
    pub fn accept_once(&mut self, listener: SocketId, token: u64) -> Result<(), Errno> {
        self.begin_to_accept(listener, false, token)
    }

    /// Connects to an address.
    ///
    /// # Errors
    /// EBADF, EALREADY, EEXIST, ECHILD as [`Sockets::accept`]; whether there is a connection, the completion says.
    pub fn connect(&mut self, socket: SocketId, address: impl Into<Address>, token: u64) -> Result<(), Errno> {
        self.claim(socket, Intake::Connect, token)?;
        let Address(address) = address.into();
        match &mut self.driver {
            Driver::Uring(ring) => ring.connect(&mut self.common, socket, address),
            Driver::Epoll(epoll) => epoll.connect(&mut self.common, socket, &address),
        }
        self.tell_of_news();
        Ok(())
    }

    /// Receives whatever comes, until the other side has sent its last or it is stopped: each part, or message, is a
    /// completion. No buffer is used while nothing comes.
    ///
    /// A message (of a socket for datagrams, or SOCK_SEQPACKET) of up to 64 KiB comes whole. A longer one is lost, which a
    /// completion with EMSGSIZE tells; then receiving goes on. Buffers for messages have at most half of
    /// [`socket_memory`](crate::reactor::ReactorBuilder::socket_memory), but 1 MiB in any case.
    ///
    /// # Errors
    /// EBADF, EALREADY, EEXIST, ECHILD as [`Sockets::accept`]; ENOMEM of the first receive of messages, with io_uring.
    pub fn receive(&mut self, socket: SocketId, token: u64) -> Result<(), Errno> {
        self.begin_to_receive(socket, true, token)
    }

    /// Receives once, a message as [`Sockets::receive`] says.
    ///
    /// # Errors
    /// As [`Sockets::receive`].
    pub fn receive_once(&mut self, socket: SocketId, token: u64) -> Result<(), Errno> {
        self.begin_to_receive(socket, false, token)
    }

    /// Sends all of the bytes, after those of earlier sends of the same socket. A send has one completion, which gives the
    /// bytes back. There is no SIGPIPE.
    ///
    /// # Errors
    /// [`Unsent`], with the bytes: EBADF, EAGAIN, EEXIST, ECHILD.
    pub fn send(&mut self, socket: SocketId, bytes: impl Into<Outgoing>, token: u64) -> Result<(), Unsent> {
        let bytes = bytes.into();
        let refused = |errno, bytes| Err(Unsent { errno, bytes });
        if let Err(errno) = self.check_owner() {
            return refused(errno, bytes);
        }
        let Common { table, sends, done, .. } = &mut self.common;
        if table.named(socket).is_none() {
            return refused(Errno::BADF, bytes);
        }
        if sends.len() + done.len() >= MOST_SENDS {
            return refused(Errno::AGAIN, bytes);
        }
        let sending = Sending { bytes, sent: 0, token };
        match &mut self.driver {
            Driver::Uring(ring) => ring.send(&mut self.common, socket, sending),
            Driver::Epoll(epoll) => epoll.send(&mut self.common, socket, sending),
        }
        self.tell_of_news();
        Ok(())
    }

    /// Sends bytes that are the caller's: for faces whose callers own them, as C's do. The completion has them as
    /// [`Outgoing::Static`].
    ///
    /// # Errors
    /// As [`Sockets::send`].
    ///
    /// # Safety
    /// So many bytes stay valid and unchanged until the completion was taken, or the reactor was dropped by the thread that its
    /// sockets belong to. Whoever takes the completion uses them as `'static` no longer than they are valid.
    pub unsafe fn send_borrowed(
        &mut self,
        socket: SocketId,
        bytes: *const u8,
        length: usize,
        token: u64,
    ) -> Result<(), Errno> {
        // SAFETY: passed on to the caller. Nothing here uses the bytes of a send once it was taken; dropped by their thread, the
        // sockets end first what the kernel is at.
        let bytes: &'static [u8] = unsafe { slice::from_raw_parts(bytes, length) };
        self.send(socket, bytes, token).map_err(|unsent| unsent.errno)
    }

    /// Ends accepting, connecting or receiving: a last completion with ECANCELED follows, unless another one was the last
    /// already. Nothing if it does none of them.
    ///
    /// # Errors
    /// EBADF, EEXIST, ECHILD.
    pub fn stop(&mut self, socket: SocketId) -> Result<(), Errno> {
        self.slot(socket)?;
        match &mut self.driver {
            Driver::Uring(ring) => ring.stop(&mut self.common, socket),
            Driver::Epoll(epoll) => epoll.stop(&mut self.common, socket),
        }
        self.tell_of_news();
        Ok(())
    }

    /// Closes a socket. What it was asked for and has not ended has a last completion with ECANCELED each, sends too: to be
    /// sure that bytes are on their way, wait for their completion.
    ///
    /// # Errors
    /// EBADF, EEXIST, ECHILD.
    pub fn close(&mut self, socket: SocketId) -> Result<(), Errno> {
        self.slot(socket)?;
        match &mut self.driver {
            Driver::Uring(ring) => ring.close(&mut self.common, socket),
            Driver::Epoll(epoll) => epoll.close(&mut self.common, socket),
        }
        self.tell_of_news();
        Ok(())
    }

    /// The next completion. `None`: there is none in this turn, or there were many; wait for more. In the child of a fork
    /// there never is one.
    #[inline]
    pub fn take(&mut self) -> Option<SocketCompletion> {
        if self.left == 0 || self.is_inherited() {
            return None;
        }
        if self.common.done.is_empty()
            && let Driver::Epoll(epoll) = &mut self.driver
        {
            epoll.look(&mut self.common);
        }
        let taken = self.common.take();
        self.left -= usize::from(taken.is_some());
        taken
    }

    fn slot(&mut self, socket: SocketId) -> Result<&mut Slot, Errno> {
        self.check_owner()?;
        self.common.table.named(socket).ok_or(Errno::BADF)
    }

    fn begin_to_accept(&mut self, listener: SocketId, again: bool, token: u64) -> Result<(), Errno> {
        // The kernel says so, too, but only once there is something, on the epoll driver.
        if !self.slot(listener)?.kind.has_connections() {
            return Err(Errno(libc::EOPNOTSUPP));
        }
        self.begin(listener, Intake::Accept { again }, token)
    }

    fn begin_to_receive(&mut self, socket: SocketId, again: bool, token: u64) -> Result<(), Errno> {
        let content = Content::of(self.slot(socket)?.kind);
        if let Driver::Uring(ring) = &mut self.driver {
            ring.use_buffers(content)?;
        }
        self.begin(socket, Intake::Receive { again }, token)
    }

    /// An intake, which begins.
    fn begin(&mut self, socket: SocketId, intake: Intake, token: u64) -> Result<(), Errno> {
        self.claim(socket, intake, token)?;
        match &mut self.driver {
            Driver::Uring(ring) => ring.start(&mut self.common, socket),
            Driver::Epoll(epoll) => epoll.start(&mut self.common, socket),
        }
        self.tell_of_news();
        Ok(())
    }

    /// It is the socket's only intake.
    fn claim(&mut self, socket: SocketId, intake: Intake, token: u64) -> Result<(), Errno> {
        let slot = self.slot(socket)?;
        if slot.intake != Intake::Nothing || slot.is_untaken {
            return Err(Errno(libc::EALREADY));
        }
        (slot.intake, slot.token) = (intake, token);
        Ok(())
    }

    /// Whether the sockets are this process's own, and this thread's, where that matters.
    ///
    /// # Errors
    /// EEXIST, ECHILD.
    #[inline]
    pub fn check_owner(&self) -> Result<(), Errno> {
        match &self.driver {
            _ if self.is_inherited() => Err(Errno(libc::ECHILD)),
            Driver::Uring(ring) if !ring.is_ours() => Err(Errno(libc::EEXIST)),
            _ => Ok(()),
        }
    }

    /// Whether this is the child of a fork.
    #[inline]
    fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // In the child of a fork the kernel works on the parent's memory only.
        if self.is_inherited() {
            return;
        }
        if let Driver::Uring(ring) = &mut self.driver
            && !(ring.is_ours() && ring.drain(&mut self.common))
        {
            ring.leak();
            std::mem::forget(std::mem::take(&mut self.common.sends));
        }
    }
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sockets").field("driver", &self.driver()).field("len", &self.len()).finish_non_exhaustive()
    }
}
