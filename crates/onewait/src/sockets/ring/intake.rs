//! What comes to sockets in a ring: connections, and what is received.

use super::group::{self, Group};
use super::{INTAKE, KIND_SHIFT, NOTHING, RingSockets, user_data};
use crate::driver::uring::Completion;
use crate::driver::uring::sockets::Staged;
use crate::errno::Errno;
use crate::sockets::Received;
use crate::sockets::common::{Common, TOO_LONG, is_of_one_connection};
use crate::sockets::completion::SocketOutcome;
use crate::sockets::id::{Intake, SocketId};
use crate::sockets::loan::Loan;
use crate::sockets::pool::Pool;
use crate::sockets::supply::Content;
use crate::sys::socket::{RawAddress, SocketKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

impl RingSockets {
    /// The intake begins, or goes on.
    pub(in crate::sockets) fn start(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        let Some(fd) = slot.fd.as_ref().map(AsRawFd::as_raw_fd) else { return };
        if slot.is_armed {
            return;
        }
        let user_data = user_data(INTAKE, id);
        let staged = match slot.intake {
            Intake::Accept { again } => Staged::accept(fd, again, user_data),
            Intake::Receive { again } => {
                let content = Content::of(slot.kind);
                match content {
                    Content::Bytes => Staged::receive(fd, again, group::number(content), user_data),
                    Content::Messages => Staged::receive_message(fd, again, group::number(content), user_data),
                }
            }
            Intake::Connect => match self.addresses.get(&id.index) {
                Some(address) => Staged::connect(fd, address.as_ptr(), address.len(), user_data),
                None => return,
            },
            Intake::Nothing => return,
        };
        slot.is_armed = true;
        self.stage(common, staged);
    }

    pub(in crate::sockets) fn connect(&mut self, common: &mut Common, id: SocketId, address: RawAddress) {
        self.addresses.insert(id.index, Box::new(address));
        self.start(common, id);
    }

    /// The intake is to end; its last completion says so.
    pub(in crate::sockets) fn stop(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if slot.is_armed {
            slot.is_stopping = true;
            self.stage(common, Staged::cancel(user_data(INTAKE, id), NOTHING << KIND_SHIFT));
        } else {
            common.end_intake(id, Errno::CANCELED);
        }
    }

    pub(super) fn brought(&mut self, common: &mut Common, id: SocketId, completion: Completion) {
        // It is there as long as the kernel is at it.
        let Some(slot) = common.table.at(id) else { return };
        let (kind, content) = (slot.kind, Content::of(slot.kind));
        let loan = completion.buffer.and_then(|number| self.group(content)?.take_back(number));
        if completion.is_last {
            slot.is_armed = false;
        }
        let goes_on = match slot.intake {
            Intake::Accept { .. } => self.accepted(common, id, completion.result),
            Intake::Receive { .. } => match content {
                Content::Bytes => self.received(common, id, completion.result, loan),
                Content::Messages => self.received_message(common, id, completion.result, loan, kind),
            },
            Intake::Connect => {
                self.addresses.remove(&id.index);
                match completion.result {
                    0.. => common.bring(id, SocketOutcome::Connected(Ok(())), true),
                    errno => {
                        common.end_intake(id, Errno(-errno));
                        false
                    }
                }
            }
            Intake::Nothing => false,
        };
        if completion.is_last {
            match common.table.at(id) {
                Some(slot) if slot.is_stopping && slot.intake != Intake::Nothing => {
                    common.end_intake(id, Errno::CANCELED);
                }
                Some(_) if goes_on => self.start(common, id),
                _ => {}
            }
            self.close_if_idle(common, id);
        }
    }

    /// Whether it goes on.
    fn accepted(&mut self, common: &mut Common, id: SocketId, result: i32) -> bool {
        match Errno(-result) {
            Errno(..=0) => {
                // SAFETY: just made by the kernel, owned by nobody else.
                let fd = unsafe { OwnedFd::from_raw_fd(result) };
                if common.table.at(id).is_none_or(|slot| slot.is_closing && slot.intake.goes_on()) {
                    // Nobody would hear of it.
                    return false;
                }
                let accepted = common.insert_accepted(id, fd);
                common.bring(id, SocketOutcome::Accepted(accepted), false)
            }
            errno @ Errno(libc::EMFILE | libc::ENFILE) => {
                let listener = common.table.at(id).and_then(|slot| slot.fd.as_ref()).map_or(-1, AsRawFd::as_raw_fd);
                let goes_on = common.spare.shed(listener);
                common.bring(id, SocketOutcome::Accepted(Err(errno)), !goes_on)
            }
            errno if is_of_one_connection(errno) => true,
            errno => {
                common.end_intake(id, errno);
                false
            }
        }
    }

    /// Bytes of a stream. Whether it goes on.
    #[inline]
    fn received(&mut self, common: &mut Common, id: SocketId, result: i32, loan: Option<Box<Loan>>) -> bool {
        match (usize::try_from(result), loan) {
            (Ok(count @ 1..), Some(mut loan)) => {
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(count) };
                let received = common.supplies.bytes.pool.lend(loan);
                common.bring(id, SocketOutcome::Received(Ok(received)), false)
            }
            (_, loan) => {
                if let Some(loan) = loan {
                    common.supplies.bytes.pool.give(loan);
                }
                match Errno(-result) {
                    Errno(..=0) => {
                        common.bring_end(id);
                        false
                    }
                    errno => self.has_failed(common, id, errno, Content::Bytes),
                }
            }
        }
    }

    /// Whether it goes on.
    fn received_message(
        &mut self,
        common: &mut Common,
        id: SocketId,
        result: i32,
        loan: Option<Box<Loan>>,
        kind: SocketKind,
    ) -> bool {
        let received = match (usize::try_from(result), loan) {
            (Ok(length @ 1..), Some(mut loan)) if length <= loan.buffer.capacity() => {
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(length) };
                Ok(Pool::lend_message(loan))
            }
            // For a message without bytes the kernel may give no buffer.
            (_, loan) => {
                if let Some(loan) = loan {
                    common.supplies.messages.pool.give(loan);
                }
                match Errno(-result) {
                    Errno(0) if kind.has_connections() => {
                        common.bring_end(id);
                        return false;
                    }
                    Errno(0) => Ok(Received::nothing()),
                    Errno(..0) => Err(TOO_LONG),
                    errno => return self.has_failed(common, id, errno, Content::Messages),
                }
            }
        };
        common.bring(id, SocketOutcome::Received(received), false)
    }

    /// A receive has. Whether it goes on.
    fn has_failed(&mut self, common: &mut Common, id: SocketId, errno: Errno, content: Content) -> bool {
        match errno {
            Errno(libc::ENOBUFS) => {
                self.group(content).into_iter().for_each(Group::grow);
                common.starve(id);
                false
            }
            Errno::INTR | Errno::AGAIN => true,
            errno => {
                common.end_intake(id, errno);
                false
            }
        }
    }
}
