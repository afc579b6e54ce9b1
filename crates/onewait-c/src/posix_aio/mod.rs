//! POSIX AIO: the functions of `<aio.h>`, each under its two names.
//!
//! A control block (`aiocb.rs`) is checked and becomes a request (`submit.rs`), which the engine carries out and which at
//! its end publishes the result in the block, wakes waiters (`request.rs`) and tells the program (`notify.rs`,
//! `notifier.rs`). Waiting is in `suspend.rs`, lists are in `listio.rs` and `group.rs`, cancelling is in `cancel.rs`.

mod aiocb;
mod cancel;
mod group;
mod listio;
mod notifier;
mod notify;
mod request;
mod submit;
mod suspend;

pub(crate) use notifier::Notifier;
pub(crate) use request::PosixRequest;

use crate::errno;
use crate::faces;
use crate::process;
use crate::real::call_real;
use aiocb::{Aiocb, IN_PROGRESS, Sigevent};
use onewait::Errno;
use onewait::driver::operation::Code;
use std::ffi::{c_int, c_void};

/// Defines a function under its name and under its name with 64 at the end, which on 64 bits are one (rule 21). Where this
/// face does not serve, the next library's function does; without one, `$missing` is the value.
macro_rules! exported {
    (
        $(#[$meta:meta])* $name:ident, $name64:ident, ($($argument:ident: $type:ty),*) -> $result:ty,
        $missing:expr, $body:expr
    ) => {
        exported! { @one $(#[$meta])* $name, ($($argument: $type),*) -> $result, $missing, $body }
        exported! { @one $(#[$meta])* $name64, ($($argument: $type),*) -> $result, $missing, $body }
    };
    (
        @one $(#[$meta:meta])* $name:ident, ($($argument:ident: $type:ty),*) -> $result:ty,
        $missing:expr, $body:expr
    ) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// Pointers are valid, as the manual page says, or null where it says so.
        #[unsafe(no_mangle)]
        pub unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $result {
            if !faces::serves_posix() {
                return call_real!(
                    $name as unsafe extern "C-unwind" fn($($type),*) -> $result,
                    ($($argument),*),
                    $missing
                );
            }
            $body
        }
    };
}

/// There is no such function in the next library.
fn missing() -> c_int {
    errno::status(Err(Errno(libc::ENOSYS)))
}

/// The block at an address that a program gave; EINVAL for null.
fn block<'a>(address: *const Aiocb) -> Result<&'a Aiocb, Errno> {
    // SAFETY: the program says that a block is there; what changes behind our back in it are atomics.
    unsafe { address.as_ref() }.ok_or(Errno::INVAL)
}

exported! {
    /// `aio_read(3)`: 0, or -1 with EAGAIN (no resources) or EINVAL (the priority).
    aio_read, aio_read64, (cb: *mut Aiocb) -> c_int, missing(),
    errno::status(errno::guarded(|| submit::transfer(block(cb)?, Code::Read)))
}

exported! {
    /// `aio_write(3)`: 0, or -1 with EAGAIN (no resources) or EINVAL (the priority).
    aio_write, aio_write64, (cb: *mut Aiocb) -> c_int, missing(),
    errno::status(errno::guarded(|| submit::transfer(block(cb)?, Code::Write)))
}

exported! {
    /// `aio_fsync(3)`: 0, or -1 with EINVAL (`op`), EBADF or EAGAIN.
    aio_fsync, aio_fsync64, (op: c_int, cb: *mut Aiocb) -> c_int, missing(),
    errno::status(errno::guarded(|| submit::sync(block(cb)?, op)))
}

exported! {
    /// `aio_error(3)`: EINPROGRESS, or how the request ended: 0 or an error number. Async-signal-safe, takes no lock.
    aio_error, aio_error64, (cb: *const Aiocb) -> c_int, missing(),
    match block(cb) {
        Ok(block) => error_of(block),
        Err(errno) => errno::status(Err(errno)),
    }
}

#[inline]
fn error_of(block: &Aiocb) -> c_int {
    let error = block.error();
    if error != IN_PROGRESS {
        return error as c_int;
    }
    if let Some(process) = process::existing() {
        process.engine.poll();
    }
    block.error() as c_int
}

exported! {
    /// `aio_return(3)`: what `read`, `write` or `fsync` would have returned. Async-signal-safe.
    aio_return, aio_return64, (cb: *mut Aiocb) -> isize, missing() as isize,
    match block(cb) {
        Ok(block) => block.value(),
        Err(errno) => errno::status(Err(errno)) as isize,
    }
}

exported! {
    /// `aio_suspend(3)`: 0, or -1 with EAGAIN (time over), EINTR (a signal) or EINVAL. Async-signal-safe; a
    /// cancellation point.
    aio_suspend, aio_suspend64,
    (list: *const *const Aiocb, count: c_int, timeout: *const libc::timespec) -> c_int, missing(),
    suspend::suspend(list, count, timeout)
}

exported! {
    /// `aio_cancel(3)`: AIO_CANCELED, AIO_NOTCANCELED or AIO_ALLDONE, or -1 with EBADF or EINVAL.
    aio_cancel, aio_cancel64, (fd: c_int, cb: *mut Aiocb) -> c_int, missing(),
    // SAFETY: null is allowed here; otherwise a block is there.
    match errno::guarded(|| cancel::cancel(fd, unsafe { cb.as_ref() })) {
        Ok(verdict) => verdict,
        Err(errno) => errno::status(Err(errno)),
    }
}

exported! {
    /// `lio_listio(3)`: 0, or -1 with EINVAL, EAGAIN, EIO (a request of the list failed) or EINTR. With LIO_WAIT a
    /// cancellation point.
    lio_listio, lio_listio64,
    (mode: c_int, list: *const *mut Aiocb, count: c_int, event: *mut Sigevent) -> c_int, missing(),
    listio::listio(mode, list, count, event)
}

/// `aio_init(3)`: hints about the number of threads and requests. Nothing here has to be told in advance.
///
/// # Safety
/// The hints are valid, as the manual page says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aio_init(init: *const c_void) {
    if !faces::serves_posix() {
        call_real!(c"aio_init" as unsafe extern "C" fn(*const c_void), (init), ());
    }
}
