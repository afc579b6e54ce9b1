//! Sends of sockets in a ring: one after the other, since several would overtake each other when the socket is full.

use super::{RingSockets, SEND, user_data};
use crate::driver::operation::MAX_LENGTH;
use crate::driver::uring::sockets::Staged;
use crate::errno::Errno;
use crate::sockets::common::Common;
use crate::sockets::id::SocketId;
use crate::sockets::outgoing::Sending;
use std::os::fd::AsRawFd;

impl RingSockets {
    /// There is a send more.
    #[inline]
    pub(in crate::sockets) fn send(&mut self, common: &mut Common, id: SocketId, sending: Sending) {
        let Some(slot) = common.table.at(id) else { return };
        common.sends.push(&mut slot.sends, sending);
        self.send_next(common, id);
    }

    /// The first of the sends goes on its way, unless it is.
    #[inline]
    fn send_next(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if slot.is_sending || slot.is_closing {
            return;
        }
        let (Some(fd), Some(sending)) = (&slot.fd, common.sends.first(slot.sends)) else { return };
        let rest = &sending.bytes[sending.sent..];
        let length = rest.len().min(MAX_LENGTH) as u32;
        let staged = Staged::send(fd.as_raw_fd(), rest.as_ptr(), length, user_data(SEND, id));
        slot.is_sending = true;
        self.stage(common, staged);
    }

    pub(super) fn sent(&mut self, common: &mut Common, id: SocketId, result: i32) {
        let Some(slot) = common.table.at(id) else { return };
        slot.is_sending = false;
        match usize::try_from(result) {
            Ok(count) => {
                let Some(sending) = common.sends.first(slot.sends) else { return };
                sending.sent += count;
                if sending.sent >= sending.bytes.len() {
                    common.end_send(id, Ok(()));
                }
            }
            Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN) => {}
            Err(_) => common.end_send(id, Err(Errno(-result))),
        }
        self.send_next(common, id);
        self.close_if_idle(common, id);
    }
}
