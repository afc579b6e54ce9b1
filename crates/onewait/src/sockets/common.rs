//! What both drivers do alike: sockets, sends, buffers, and what is to be taken.

use super::completion::{SocketCompletion, SocketOutcome};
use super::id::{Intake, SocketId, Table};
use super::loan::Received;
use super::outgoing::{Sending, Sends};
use super::spare::Spare;
use super::supply::{Content, Supplies};
use crate::errno::Errno;
use crate::sys::socket::{self, SocketKind};
use eventpoll::Waker;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

/// The state of all sockets of a reactor.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) table: Table,
    pub(super) sends: Sends,
    pub(super) supplies: Supplies,
    /// What has happened and was not taken.
    pub(super) done: VecDeque<SocketCompletion>,
    pub(super) spare: Spare,
}

impl Common {
    pub(super) fn new(memory: usize, waker: Waker) -> Common {
        Common {
            table: Table::default(),
            sends: Sends::default(),
            supplies: Supplies::new(memory, waker),
            done: VecDeque::new(),
            spare: Spare::new(),
        }
    }

    /// Takes over a connection that came to a listener: it is not blocking, and of the same type.
    ///
    /// # Errors
    /// EMFILE: it was closed, since nothing was in reserve.
    pub(super) fn insert_accepted(&mut self, listener: SocketId, fd: OwnedFd) -> Result<SocketId, Errno> {
        let kind = self.table.at(listener).map_or(SocketKind::Stream, |slot| slot.kind);
        let fd = self.spare.let_in(fd)?;
        Ok(self.table.insert(fd, kind))
    }

    pub(super) fn report(&mut self, socket: SocketId, token: u64, outcome: SocketOutcome, is_last: bool) {
        self.done.push_back(SocketCompletion { token, socket, outcome, is_last });
    }

    /// The intake has ended, for a reason that is no success.
    pub(super) fn end_intake(&mut self, id: SocketId, errno: Errno) {
        let Some(slot) = self.table.at(id) else { return };
        let (token, intake) = (slot.token, std::mem::replace(&mut slot.intake, Intake::Nothing));
        slot.is_stopping = false;
        if let Some(outcome) = failed(intake, errno) {
            slot.is_untaken = true;
            self.report(id, token, outcome, true);
        }
    }

    /// The intake has brought something. Whether it goes on.
    pub(super) fn bring(&mut self, id: SocketId, outcome: SocketOutcome, ends: bool) -> bool {
        let Some(slot) = self.table.at(id) else { return false };
        let goes_on = slot.intake.goes_on() && !ends && !slot.is_stopping && !slot.is_closing;
        let (token, is_closing) = (slot.token, slot.is_closing);
        let is_last = ends || !slot.intake.goes_on();
        if is_last {
            slot.intake = Intake::Nothing;
            slot.is_stopping = false;
            slot.is_untaken = true;
        }
        if is_last || !is_closing {
            self.report(id, token, outcome, is_last);
        }
        goes_on
    }

    /// The next completion is the program's.
    pub(super) fn take(&mut self) -> Option<SocketCompletion> {
        let done = self.done.pop_front()?;
        if done.is_last
            && !matches!(done.outcome, SocketOutcome::Sent(..))
            && let Some(slot) = self.table.at(done.socket)
        {
            slot.is_untaken = false;
        }
        Some(done)
    }

    /// There is no buffer to receive into: it stands in line, at the place that it has.
    pub(super) fn starve(&mut self, id: SocketId) {
        let Some(slot) = self.table.at(id) else { return };
        if !std::mem::replace(&mut slot.is_starved, true) {
            self.supplies.of(Content::of(slot.kind)).starved.push_back(id);
        }
    }

    /// Who has stood in that line longest, and does so no more.
    pub(super) fn next_starved(&mut self, content: Content) -> Option<SocketId> {
        while let Some(id) = self.supplies.of(content).starved.pop_front() {
            let Some(slot) = self.table.at(id) else { continue };
            slot.is_starved = false;
            if matches!(slot.intake, Intake::Receive { .. }) {
                return Some(id);
            }
        }
        None
    }

    /// The end of the other side, as a receive tells it.
    pub(super) fn bring_end(&mut self, id: SocketId) {
        self.bring(id, SocketOutcome::Received(Ok(Received::nothing())), true);
    }

    /// The first send of a socket has ended.
    pub(super) fn end_send(&mut self, id: SocketId, result: Result<(), Errno>) {
        let Some(slot) = self.table.at(id) else { return };
        slot.is_sending = false;
        if let Some(Sending { bytes, token, .. }) = self.sends.pop(&mut slot.sends) {
            self.report(id, token, SocketOutcome::Sent(result, bytes), true);
        }
    }

    /// All sends of a socket end.
    pub(super) fn end_sends(&mut self, id: SocketId, errno: Errno) {
        while self.table.at(id).is_some_and(|slot| !slot.sends.is_empty()) {
            self.end_send(id, Err(errno));
        }
    }
}

/// A message had no room in a buffer.
pub(super) const TOO_LONG: Errno = Errno(libc::EMSGSIZE);

/// What a descriptor receives; it does not wait from now on.
///
/// # Errors
/// ENOTSOCK, EBADF.
pub(super) fn prepare(fd: &OwnedFd) -> Result<SocketKind, Errno> {
    let kind = socket::kind(fd.as_raw_fd())?;
    socket::set_nonblocking(fd.as_raw_fd())?;
    Ok(kind)
}

/// How the failure of an intake is told.
fn failed(intake: Intake, errno: Errno) -> Option<SocketOutcome> {
    match intake {
        Intake::Nothing => None,
        Intake::Accept { .. } => Some(SocketOutcome::Accepted(Err(errno))),
        Intake::Connect => Some(SocketOutcome::Connected(Err(errno))),
        Intake::Receive { .. } => Some(SocketOutcome::Received(Err(errno))),
    }
}

/// Whether a failure to accept is one of a single connection, which is gone (`accept(2)`, “Error handling”). EOPNOTSUPP is
/// not, whatever that page says: Linux has it for sockets that never have connections, and trying again would not end.
pub(super) fn is_of_one_connection(errno: Errno) -> bool {
    matches!(
        errno.0,
        libc::ECONNABORTED
            | libc::EINTR
            | libc::EAGAIN
            | libc::EPERM
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
    )
}
