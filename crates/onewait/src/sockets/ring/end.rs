//! The end of sockets in a ring, and of all of them: what the kernel is at has to end first.

use super::group::Group;
use super::{INTAKE, KIND_SHIFT, NOTHING, RingSockets, SEND, id_of, user_data};
use crate::driver::uring::Stay;
use crate::driver::uring::sockets::Staged;
use crate::errno::Errno;
use crate::sockets::common::Common;
use crate::sockets::id::{Intake, SocketId};
use std::os::fd::{FromRawFd, OwnedFd};

impl RingSockets {
    /// The socket is to end, once the kernel is done with it.
    pub(in crate::sockets) fn close(&mut self, common: &mut Common, id: SocketId) {
        self.stop(common, id);
        let Some(slot) = common.table.at(id) else { return };
        slot.is_closing = true;
        if slot.is_sending {
            self.stage(common, Staged::cancel(user_data(SEND, id), NOTHING << KIND_SHIFT));
        }
        self.close_if_idle(common, id);
    }

    pub(super) fn close_if_idle(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if !slot.is_closing || slot.is_armed || slot.is_sending {
            return;
        }
        common.end_intake(id, Errno::CANCELED);
        common.end_sends(id, Errno::CANCELED);
        drop(common.table.remove(id.index));
    }

    /// Ends everything that the kernel is at. False if that cannot be, and the kernel goes on with it.
    pub(in crate::sockets) fn drain(&mut self, common: &mut Common) -> bool {
        self.ring.begin_end();
        self.in_flight -= self.backlog.len();
        self.backlog.clear();
        let mut asked = false;
        while self.in_flight > 0 {
            // SAFETY: it points to nothing.
            if !asked && unsafe { self.ring.stage_guest(&Staged::cancel_all(NOTHING << KIND_SHIFT)) } {
                asked = true;
                self.in_flight += 1;
            }
            // Nobody takes it any more.
            common.done.clear();
            self.ring.finish();
            if self.ring.enter(if asked { Stay::UntilCompletion } else { Stay::No }).is_err() {
                return false;
            }
            while let Some(completion) = self.ring.next() {
                self.in_flight -= usize::from(completion.is_last);
                let is_intake = completion.user_data >> KIND_SHIFT == INTAKE;
                let slot = common.table.at(id_of(completion.user_data)).filter(|_| is_intake && completion.result >= 0);
                if let Some(Intake::Accept { .. }) = slot.map(|slot| slot.intake) {
                    // SAFETY: just made by the kernel, owned by nobody else.
                    drop(unsafe { OwnedFd::from_raw_fd(completion.result) });
                }
            }
        }
        self.ring.drain()
    }

    /// The kernel goes on with what it has: that memory is never freed.
    pub(in crate::sockets) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.addresses));
        self.bytes.leak();
        self.messages.iter_mut().for_each(Group::leak);
        self.ring.leak();
    }
}
