//! Queues of completions, each with an engine of its own.

use super::handle::{count, end, made, room, timeout};
use super::source::{Source, as_source, kind};
use crate::process;
use onewait::{Aio, CancelVerdict, Completion, CompletionQueue, Errno, RequestHandle};
use std::ffi::c_int;
use std::mem::{self, offset_of};

/// `struct ow_completion`.
#[repr(C)]
pub struct OwCompletion {
    token: u64,
    result: i64,
}

const _: () = assert!(size_of::<OwCompletion>() == 16 && offset_of!(OwCompletion, result) == 8);

/// `ow_queue_create`.
#[unsafe(no_mangle)]
pub extern "C" fn ow_queue_create(limit: usize) -> *mut Source {
    made(|| {
        // Its start forgets what a parent process has left in static memory: that must not be ours. Then closes are seen, too.
        process::current();
        let aio = Aio::new().map_err(|error| error.raw_os_error().map_or(Errno::INVAL, Errno))?;
        Ok(Source::Queue(if limit == 0 { aio.queue() } else { aio.bounded_queue(limit) }))
    })
}

/// `ow_queue_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_queue_destroy(queue: *mut Source) {
    // The last queue of its engine ends that, and waits for the kernel.
    let drop_it = |queue: Box<Source>| match &*queue {
        // Threads of the parent's may have had locks of it, which stay locked here.
        Source::Queue(inner) if inner.aio().is_inherited() => mem::forget(queue),
        _ => drop(queue),
    };
    // SAFETY: passed on to the caller.
    unsafe { end(queue, drop_it) };
}

/// `ow_queue_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_queue_source(queue: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<CompletionQueue>(queue) }
}

/// The queue behind a handle, if it is this process's own.
///
/// # Errors
/// EINVAL for what is no queue; ECHILD in the child of a fork.
///
/// # Safety
/// The handle is null, or valid for as long as the reference is used.
#[inline]
pub(super) unsafe fn own<'a>(queue: *const Source) -> Result<&'a CompletionQueue, Errno> {
    // SAFETY: passed on to the caller.
    let queue = unsafe { kind::<CompletionQueue>(queue) }?;
    if queue.aio().is_inherited() { Err(Errno(libc::ECHILD)) } else { Ok(queue) }
}

/// `ow_cancel`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_cancel(queue: *mut Source, request: u64) -> c_int {
    let verdict = count(|| {
        // SAFETY: passed on to the caller.
        let queue = unsafe { own(queue) }?;
        Ok(match queue.cancel(RequestHandle::from_bits(queue.aio(), request))? {
            CancelVerdict::Cancelled => libc::AIO_CANCELED,
            CancelVerdict::NotCancelled => libc::AIO_NOTCANCELED,
            CancelVerdict::AllDone => libc::AIO_ALLDONE,
        } as usize)
    });
    verdict as c_int
}

/// `ow_reap`.
///
/// # Safety
/// The handle is null or valid; so many completions can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reap(
    queue: *mut Source,
    completions: *mut OwCompletion,
    max: c_int,
    timeout_ns: i64,
) -> c_int {
    let reaped = count(|| {
        // SAFETY: passed on to the caller.
        let (queue, room) = (unsafe { own(queue) }?, room(max)?);
        if completions.is_null() {
            return Err(Errno::INVAL);
        }
        Ok(queue.wait_into(&mut Places { next: completions }, room, timeout(timeout_ns)))
    });
    reaped as c_int
}

/// `ow_queue_outstanding`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_queue_outstanding(queue: *mut Source) -> c_int {
    // SAFETY: passed on to the caller.
    count(|| Ok(unsafe { own(queue) }?.outstanding())) as c_int
}

/// Where a program wants its completions: there is room for all that it asks for.
struct Places {
    next: *mut OwCompletion,
}

impl Extend<Completion> for Places {
    fn extend<T: IntoIterator<Item = Completion>>(&mut self, completions: T) {
        for completion in completions {
            let result = completion.result.map_or_else(|errno| -i64::from(errno.0), |value| value as i64);
            // SAFETY: the queue hands over no more than it was asked for, and the program has room for so many.
            unsafe {
                self.next.write(OwCompletion { token: completion.token, result });
                self.next = self.next.add(1);
            }
        }
    }
}
