//! Sockets by completion: what comes of what they were asked for.

use super::handle::{behind, count, room};
use super::sockets::existing;
use super::waiting::ReactorHandle;
use crate::errno::guarded;
use onewait::Errno;
use onewait::sockets::{Outgoing, Received, SocketCompletion, SocketId, SocketOutcome};
use onewait::sys::Uncancellable;
use std::ffi::{c_int, c_void};
use std::mem::offset_of;
use std::ptr;

/// `struct ow_socket_completion`.
#[repr(C)]
pub struct OwSocketCompletion {
    token: u64,
    socket: u64,
    kind: u32,
    is_last: u32,
    result: i64,
    accepted: u64,
    data: *mut c_void,
    length: usize,
    received: *mut c_void,
    reserved: [u64; 2],
}

const _: () = assert!(size_of::<OwSocketCompletion>() == 80 && offset_of!(OwSocketCompletion, received) == 56);

/// `OW_ACCEPTED`.
const ACCEPTED: u32 = 1;
/// `OW_CONNECTED`.
const CONNECTED: u32 = 2;
/// `OW_RECEIVED`.
const RECEIVED: u32 = 3;
/// `OW_SENT`.
const SENT: u32 = 4;

/// `ow_sockets_take`.
///
/// # Safety
/// The handle is null or valid; so many completions can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_sockets_take(
    reactor: *mut ReactorHandle,
    completions: *mut OwSocketCompletion,
    max: c_int,
) -> c_int {
    // What is taken may be accepted in this call, and closed if there are too many descriptors.
    let _uncancellable = Uncancellable::new();
    let taken = count(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        let room = room(max)?;
        if completions.is_null() {
            return Err(Errno::INVAL);
        }
        let Some(sockets) = existing(&mut waiting)? else { return Ok(0) };
        let mut count = 0;
        while count < room
            && let Some(done) = sockets.take()
        {
            // SAFETY: by contract: there is room for `max`.
            unsafe { completions.add(count).write(OwSocketCompletion::from(done)) };
            count += 1;
        }
        Ok(count)
    });
    taken as c_int
}

/// `ow_received_destroy`. From any thread.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_received_destroy(received: *mut c_void) {
    // There is nobody to tell of a panic.
    let _ = guarded(|| {
        // SAFETY: passed on to the caller.
        drop(unsafe { Received::from_raw(received) });
        Ok(())
    });
}

impl From<SocketCompletion> for OwSocketCompletion {
    #[inline]
    fn from(done: SocketCompletion) -> OwSocketCompletion {
        let mut completion = OwSocketCompletion {
            token: done.token,
            socket: done.socket.to_bits(),
            kind: 0,
            is_last: done.is_last.into(),
            result: 0,
            accepted: 0,
            data: ptr::null_mut(),
            length: 0,
            received: ptr::null_mut(),
            reserved: [0; 2],
        };
        match done.outcome {
            SocketOutcome::Accepted(accepted) => {
                completion.kind = ACCEPTED;
                completion.accepted = accepted.map_or(0, SocketId::to_bits);
                completion.result = result(accepted.map(|_| 0));
            }
            SocketOutcome::Connected(connected) => {
                completion.kind = CONNECTED;
                completion.result = result(connected.map(|()| 0));
            }
            SocketOutcome::Received(received) => {
                completion.kind = RECEIVED;
                completion.result = result(received.as_ref().map(|bytes| bytes.len()).map_err(|errno| *errno));
                // A buffer without bytes goes back by itself.
                if let Ok(mut bytes) = received
                    && !bytes.is_empty()
                {
                    completion.tell_of(bytes.as_mut_ptr(), bytes.len());
                    completion.received = bytes.into_raw();
                }
            }
            SocketOutcome::Sent(sent, bytes) => {
                completion.kind = SENT;
                completion.result = result(sent.map(|()| bytes.len()));
                // What was received has gone back to where it came from when this is over.
                if let Outgoing::Static(bytes) = bytes {
                    completion.tell_of(bytes.as_ptr().cast_mut(), bytes.len());
                }
            }
        }
        completion
    }
}

impl OwSocketCompletion {
    /// Of these bytes; null for none.
    fn tell_of(&mut self, data: *mut u8, length: usize) {
        self.length = length;
        self.data = if length == 0 { ptr::null_mut() } else { data.cast() };
    }
}

/// A count, or an error as the kernel has it.
fn result(result: Result<usize, Errno>) -> i64 {
    result.map_or_else(|errno| -i64::from(errno.0), |count| count as i64)
}
