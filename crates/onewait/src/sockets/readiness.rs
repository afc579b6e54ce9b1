//! Sockets on the epoll driver: what has to wait waits in an epoll, all else is a plain system call.
//!
//! A socket is registered once, edge-triggered, for everything; what the kernel said last is kept with it. A receive is
//! made when its completion is taken, into the buffer that was used last, and stops at a short one: the next edge tells of
//! more. A send is made in the call itself.

use super::common::{Common, TOO_LONG, is_of_one_connection};
use super::completion::SocketOutcome;
use super::id::{GENERATION_BITS, Intake, SocketId};
use super::loan::Received;
use super::outgoing::Sending;
use super::pool::Pool;
use super::supply::Content;
use crate::errno::Errno;
use crate::sys::socket;
use crate::sys::{Control, Epoll};
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

const ALL: u32 = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const WRITABLE: u32 = (libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR) as u32;
const ENDING: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;
/// The doorbell's: no socket has such a generation.
const DOORBELL: u64 = u64::MAX;
/// Events that are taken from the kernel at a time.
const MOST: usize = 1024;

#[derive(Debug)]
pub(super) struct Readiness {
    epoll: Epoll,
    buffer: Vec<libc::epoll_event>,
    /// Sockets with an intake that may bring something.
    ready: VecDeque<SocketId>,
    /// So many of them may be looked at in this turn: those that come again meanwhile are for the next.
    budget: usize,
}

impl Readiness {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, ENOSPC.
    pub(super) fn new(doorbell: RawFd) -> Result<Readiness, Errno> {
        let epoll = Epoll::new()?;
        epoll.control(Control::Add, doorbell, (libc::EPOLLIN | libc::EPOLLET) as u32, DOORBELL)?;
        let buffer = vec![libc::epoll_event { events: 0, u64: 0 }; MOST];
        Ok(Readiness { epoll, buffer, ready: VecDeque::new(), budget: 0 })
    }

    /// Readable when a turn would find something that is the kernel's.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// What comes to a descriptor is this socket's.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`.
    pub(super) fn watch(&mut self, fd: RawFd, id: SocketId) -> Result<(), Errno> {
        self.epoll.control(Control::Add, fd, ALL, data(id))
    }

    /// Something may be taken.
    pub(super) fn has_news(&mut self, common: &mut Common) -> bool {
        Content::ALL.into_iter().for_each(|content| self.feed(common, content));
        !self.ready.is_empty()
    }

    /// Asks the kernel, and lets those that are ready have their turn.
    ///
    /// # Errors
    /// EINTR.
    pub(super) fn turn(&mut self, common: &mut Common, timeout: Option<Duration>) -> Result<(), Errno> {
        let asked = self.epoll.wait(&mut self.buffer, timeout);
        let buffer = std::mem::take(&mut self.buffer);
        for event in buffer.iter().take(*asked.as_ref().unwrap_or(&0)) {
            if event.u64 != DOORBELL {
                self.was_told(common, id_of(event.u64), event.events);
            }
        }
        self.buffer = buffer;
        self.budget = self.ready.len();
        asked.map(drop)
    }

    /// Buffers have come back, perhaps: those that wait for one try again.
    fn feed(&mut self, common: &mut Common, content: Content) {
        while !common.supplies.of(content).starved.is_empty() {
            let Some(loan) = common.supplies.take(content) else { return };
            common.supplies.of(content).pool.give(loan);
            let Some(id) = common.next_starved(content) else { return };
            self.enlist(common, id);
            // One buffer is known to be there: the others may be tried as well, and wait again if there are no more. Not all
            // of a crowd for each buffer; but never none.
            if common.supplies.of(content).starved.len() > MOST && !self.ready.is_empty() {
                return;
            }
        }
    }

    fn was_told(&mut self, common: &mut Common, id: SocketId, events: u32) {
        let Some(slot) = common.table.at(id) else { return };
        slot.is_readable |= events & READABLE != 0;
        slot.is_ending |= events & ENDING != 0;
        let may_send = events & WRITABLE != 0 && slot.is_sending;
        if slot.intake == Intake::Connect {
            if events & WRITABLE != 0 {
                self.connected(common, id);
            }
        } else {
            self.enlist(common, id);
        }
        if may_send {
            self.send_all(common, id);
        }
    }

    fn enlist(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        let wants = match slot.intake {
            Intake::Accept { .. } => true,
            // Its turn comes with a buffer.
            Intake::Receive { .. } => !slot.is_starved,
            Intake::Nothing | Intake::Connect => false,
        };
        if wants && (slot.is_readable || slot.is_ending) && !slot.is_armed {
            slot.is_armed = true;
            self.ready.push_back(id);
        }
    }

    fn connected(&mut self, common: &mut Common, id: SocketId) {
        let Some(fd) = common.fd(id) else { return };
        match socket::pending_error(fd) {
            Ok(()) => _ = common.bring(id, SocketOutcome::Connected(Ok(())), true),
            Err(errno) => common.end_intake(id, errno),
        }
    }

    /// The intake is new.
    pub(super) fn start(&mut self, common: &mut Common, id: SocketId) {
        self.enlist(common, id);
    }

    pub(super) fn connect(&mut self, common: &mut Common, id: SocketId, address: &socket::RawAddress) {
        let Some(fd) = common.fd(id) else { return };
        match socket::connect(fd, address) {
            Ok(()) => _ = common.bring(id, SocketOutcome::Connected(Ok(())), true),
            Err(Errno(libc::EINPROGRESS)) => {}
            Err(errno) => common.end_intake(id, errno),
        }
    }

    pub(super) fn stop(&mut self, common: &mut Common, id: SocketId) {
        common.end_intake(id, Errno::CANCELED);
    }

    /// The socket's end: nothing is in flight here.
    pub(super) fn close(&mut self, common: &mut Common, id: SocketId) {
        common.end_intake(id, Errno::CANCELED);
        common.end_sends(id, Errno::CANCELED);
        // The last descriptor of a file takes its registration along; if there are others, this does.
        if let Some(fd) = common.fd(id) {
            let _ = self.epoll.control(Control::Delete, fd, 0, 0);
        }
        drop(common.table.remove(id.index));
    }

    /// There is a send more: the first is tried at once, and what the socket does not take then waits in line.
    #[inline]
    pub(super) fn send(&mut self, common: &mut Common, id: SocketId, mut sending: Sending) {
        let Some(slot) = common.table.at(id) else { return };
        if let (Some(fd), true) = (&slot.fd, slot.sends.is_empty()) {
            let (length, token) = (sending.bytes.len(), sending.token);
            match socket::send(fd.as_raw_fd(), &sending.bytes) {
                Ok(sent) if sent >= length => {
                    return common.report(id, token, SocketOutcome::Sent(Ok(()), sending.bytes), true);
                }
                Ok(sent) => sending.sent = sent,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return common.report(id, token, SocketOutcome::Sent(Err(errno), sending.bytes), true),
            }
        }
        common.sends.push(&mut slot.sends, sending);
        if !slot.is_sending {
            // To the point where it has to wait.
            self.send_all(common, id);
        }
    }

    /// Sends as much as the socket takes.
    fn send_all(&mut self, common: &mut Common, id: SocketId) {
        while let Some(slot) = common.table.at(id) {
            let (Some(fd), Some(sending)) = (&slot.fd, common.sends.first(slot.sends)) else { return };
            match socket::send(fd.as_raw_fd(), &sending.bytes[sending.sent..]) {
                Ok(count) => {
                    sending.sent += count;
                    if sending.sent >= sending.bytes.len() {
                        common.end_send(id, Ok(()));
                    }
                }
                Err(Errno::AGAIN) => {
                    slot.is_sending = true;
                    return;
                }
                Err(Errno::INTR) => {}
                Err(errno) => common.end_send(id, Err(errno)),
            }
        }
    }

    /// Lets sockets that are ready bring something, until one does.
    #[inline]
    pub(super) fn look(&mut self, common: &mut Common) {
        while self.budget > 0 && common.done.is_empty() {
            self.budget -= 1;
            let Some(id) = self.ready.pop_front() else { return };
            let Some(slot) = common.table.at(id) else { continue };
            slot.is_armed = false;
            match slot.intake {
                Intake::Accept { .. } => self.accept(common, id),
                Intake::Receive { .. } => match Content::of(slot.kind) {
                    Content::Bytes => self.receive(common, id),
                    Content::Messages => self.receive_message(common, id),
                },
                Intake::Nothing | Intake::Connect => {}
            }
        }
    }

    fn accept(&mut self, common: &mut Common, id: SocketId) {
        let Some(fd) = common.fd(id) else { return };
        match socket::accept(fd) {
            Ok(connection) => {
                let accepted = common.insert_accepted(id, connection).and_then(|id| {
                    let watched = self.watch(common.fd(id).unwrap_or(-1), id);
                    watched.map(|()| id).inspect_err(|_| drop(common.table.remove(id.index)))
                });
                common.bring(id, SocketOutcome::Accepted(accepted), false);
            }
            Err(Errno::AGAIN) => return common.quiet(id),
            Err(errno @ Errno(libc::EMFILE | libc::ENFILE)) => {
                let goes_on = common.spare.shed(fd);
                common.bring(id, SocketOutcome::Accepted(Err(errno)), !goes_on);
            }
            Err(errno) if is_of_one_connection(errno) => {}
            Err(errno) => return common.end_intake(id, errno),
        }
        self.enlist(common, id);
    }

    /// Of a stream.
    fn receive(&mut self, common: &mut Common, id: SocketId) {
        let Some(mut loan) = common.supplies.take(Content::Bytes) else { return common.starve(id) };
        let Some(slot) = common.table.at(id) else { return };
        let (Some(fd), room) = (&slot.fd, loan.buffer.capacity()) else { return };
        // SAFETY: the buffer is ours alone, and has so much room.
        match unsafe { socket::receive(fd.as_raw_fd(), loan.buffer.address(), room) } {
            Ok(0) => {
                common.supplies.bytes.pool.give(loan);
                return common.bring_end(id);
            }
            Ok(count) => {
                // After a short receive, more is another edge; but not the end.
                slot.is_readable = count == room;
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(count) };
                let received = common.supplies.bytes.pool.lend(loan);
                common.bring(id, SocketOutcome::Received(Ok(received)), false);
            }
            Err(errno) => {
                common.supplies.bytes.pool.give(loan);
                match errno {
                    Errno::AGAIN => return common.quiet(id),
                    Errno::INTR => {}
                    errno => return common.end_intake(id, errno),
                }
            }
        }
        self.enlist(common, id);
    }

    fn receive_message(&mut self, common: &mut Common, id: SocketId) {
        let Some(mut loan) = common.supplies.take(Content::Messages) else { return common.starve(id) };
        let Some(slot) = common.table.at(id) else { return };
        let (Some(fd), room) = (&slot.fd, loan.buffer.capacity()) else { return };
        // SAFETY: the buffer is ours alone, and has so much room.
        let outcome = match unsafe { socket::receive_message(fd.as_raw_fd(), loan.buffer.address(), room) } {
            Ok(length @ 1..) if length <= room => {
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(length) };
                Ok(Ok(Pool::lend_message(loan)))
            }
            other => {
                common.supplies.messages.pool.give(loan);
                match other {
                    Ok(0) if slot.kind.has_connections() => return common.bring_end(id),
                    Ok(0) => Ok(Ok(Received::nothing())),
                    Ok(_) => Ok(Err(TOO_LONG)),
                    Err(errno) => Err(errno),
                }
            }
        };
        match outcome {
            Ok(received) => _ = common.bring(id, SocketOutcome::Received(received), false),
            Err(Errno::AGAIN) => return common.quiet(id),
            Err(Errno::INTR) => {}
            Err(errno) => return common.end_intake(id, errno),
        }
        self.enlist(common, id);
    }
}

impl Common {
    fn fd(&mut self, id: SocketId) -> Option<RawFd> {
        self.table.at(id)?.fd.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// There is nothing, until the kernel says otherwise.
    fn quiet(&mut self, id: SocketId) {
        if let Some(slot) = self.table.at(id) {
            (slot.is_readable, slot.is_ending) = (false, false);
        }
    }
}

fn data(id: SocketId) -> u64 {
    u64::from(id.generation) << 32 | u64::from(id.index)
}

fn id_of(data: u64) -> SocketId {
    const { assert!(GENERATION_BITS < 32) };
    SocketId { index: data as u32, generation: (data >> 32) as u32 }
}
