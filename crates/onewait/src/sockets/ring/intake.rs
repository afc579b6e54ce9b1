//! What comes to sockets in a ring: connections, and what is received.

use super::ENTRIES;
use super::{GROUP, INTAKE, KIND_SHIFT, NOTHING, RingSockets, user_data};
use crate::driver::uring::Completion;
use crate::driver::uring::sockets::Staged;
use crate::errno::Errno;
use crate::sockets::Received;
use crate::sockets::common::{Common, is_of_one_connection};
use crate::sockets::completion::SocketOutcome;
use crate::sockets::id::{Intake, SocketId};
use crate::sockets::loan::Loan;
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
                self.receives = true;
                Staged::receive(fd, again, GROUP, user_data)
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
        let loan = completion.buffer.and_then(|number| {
            self.free_numbers.push(number);
            self.given.get_mut(usize::from(number))?.take()
        });
        let Some(slot) = common.table.at(id) else { return };
        if completion.is_last {
            slot.is_armed = false;
        }
        let goes_on = match slot.intake {
            Intake::Accept { .. } => self.accepted(common, id, completion.result),
            Intake::Receive { .. } => Self::received(common, id, completion.result, loan, &mut self.target),
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

    /// Whether it goes on.
    fn received(common: &mut Common, id: SocketId, result: i32, loan: Option<Box<Loan>>, target: &mut usize) -> bool {
        let has_end = common.table.at(id).is_some_and(|slot| slot.kind != SocketKind::Datagrams);
        match (usize::try_from(result), loan) {
            (Ok(0), loan) if has_end => {
                if let Some(loan) = loan {
                    common.pool.give(loan);
                }
                common.bring_end(id);
                false
            }
            (Ok(count), Some(mut loan)) => {
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(count) };
                let received = common.pool.lend(loan);
                common.bring(id, SocketOutcome::Received(Ok(received)), false)
            }
            // An empty message; the kernel gives no buffer for it.
            (Ok(_), None) => common.bring(id, SocketOutcome::Received(Ok(Received::nothing())), false),
            (Err(_), loan) => {
                if let Some(loan) = loan {
                    common.pool.give(loan);
                }
                match -result {
                    libc::ENOBUFS => {
                        *target = (*target * 2).min(usize::from(ENTRIES));
                        common.starve(id);
                        false
                    }
                    libc::EINTR | libc::EAGAIN => true,
                    errno => {
                        common.end_intake(id, Errno(errno));
                        false
                    }
                }
            }
        }
    }
}
