//! `io_queue_run`: libaio's call-backs.

use super::abi::{IoEvent, Iocb};
use super::calls;
use onewait::Errno;
use std::ffi::c_long;
use std::ptr;

/// `io_callback_t`: what a control block's `data` points to.
type Callback = unsafe extern "C-unwind" fn(usize, *mut Iocb, c_long, c_long);

/// Takes the events that are there, one by one, and calls back for each: 0 when there are none left.
///
/// # Errors
/// As `io_getevents`.
///
/// # Safety
/// The `data` of all requests are call-backs.
pub(super) unsafe fn run(context: usize) -> Result<usize, Errno> {
    const NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let mut event = IoEvent::default();
        // SAFETY: there is room for one event.
        let count = unsafe { calls::reap(context, (0, 1), &raw mut event, &NOW, ptr::null()) }?;
        if count != 1 {
            return Ok(count);
        }
        // SAFETY: by contract; a call-back that is null is the program's fault, as with libaio.
        unsafe {
            let callback = std::mem::transmute::<usize, Option<Callback>>(event.data as usize);
            if let Some(callback) = callback {
                callback(context, event.object as *mut Iocb, event.result as c_long, event.result2 as c_long);
            }
        }
    }
}
