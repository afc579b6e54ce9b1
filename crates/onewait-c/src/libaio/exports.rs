//! libaio's functions, each under the symbol version that libaio has it under.
//!
//! Two generations of `io_getevents`, `io_cancel` and `io_queue_wait` have one name each: they differ in their arguments, and
//! only the version tells which one a program means. A jump stands before each function, because the assembler can name
//! only what is in the same object file. The versions themselves are made by `libaio.map`.

use super::abi::{IoEvent, Iocb, SignalSet};
use super::{calls, queue_run};
use onewait::Errno;
use std::arch::global_asm;
use std::ffi::{c_int, c_long};
use std::ptr;

/// libaio returns what the kernel does: a value, or a negative error number.
fn returned(result: Result<usize, Errno>) -> c_int {
    result.map_or_else(|errno| -errno.0, |value| value as c_int)
}

/// Takes events the way that libaio does: it looks before it asks.
#[inline]
unsafe fn reap(
    context: usize,
    range: (isize, isize),
    events: *mut IoEvent,
    timeout: *const libc::timespec,
    mask: *const SignalSet,
) -> Result<usize, Errno> {
    if !timeout.is_null() && calls::is_empty_and_urgent(context, timeout) {
        return Ok(0);
    }
    // SAFETY: passed on to the caller.
    unsafe { calls::reap(context, range, events, timeout, mask) }
}

macro_rules! export {
    ($function:ident as $versioned:literal) => {
        #[cfg(target_arch = "x86_64")]
        export!($function as $versioned, "jmp");
        #[cfg(target_arch = "aarch64")]
        export!($function as $versioned, "b");
    };
    ($function:ident as $versioned:literal, $jump:literal) => {
        global_asm!(
            concat!(".pushsection .text.onewait.", stringify!($function), ",\"ax\",@progbits"),
            concat!(".globl onewait_", stringify!($function)),
            concat!(".type onewait_", stringify!($function), ",@function"),
            concat!("onewait_", stringify!($function), ":"),
            concat!($jump, " {function}"),
            concat!(".size onewait_", stringify!($function), ", .-onewait_", stringify!($function)),
            concat!(".symver onewait_", stringify!($function), ",", $versioned, ",remove"),
            ".popsection",
            function = sym $function,
        );
    };
}

export!(setup as "io_setup@@LIBAIO_0.4");
export!(destroy as "io_destroy@@LIBAIO_0.4");
export!(submit as "io_submit@@LIBAIO_0.1");
export!(cancel as "io_cancel@@LIBAIO_0.4");
export!(cancel_0_1 as "io_cancel@LIBAIO_0.1");
export!(getevents as "io_getevents@@LIBAIO_0.4");
export!(getevents_0_1 as "io_getevents@LIBAIO_0.1");
export!(pgetevents as "io_pgetevents@@LIBAIO_0.5");
export!(queue_init as "io_queue_init@@LIBAIO_0.1");
export!(queue_run as "io_queue_run@@LIBAIO_0.1");
export!(queue_wait as "io_queue_wait@@LIBAIO_0.4");
export!(queue_wait_0_1 as "io_queue_wait@LIBAIO_0.1");
export!(queue_release as "io_queue_release@@LIBAIO_0.1");

/// `io_setup(3)`: 0, or -EFAULT, -EINVAL, -EAGAIN, -ENOMEM.
unsafe extern "C" fn setup(requests: c_int, context: *mut usize) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { calls::setup(requests as u32, context) })
}

/// `io_destroy(3)`: 0, or -EINVAL.
unsafe extern "C" fn destroy(context: usize) -> c_int {
    returned(calls::destroy(context))
}

/// `io_submit(3)`: how many, or the error of the first.
unsafe extern "C" fn submit(context: usize, count: c_long, list: *const *mut Iocb) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { calls::submit(context, count as isize, list) })
}

/// `io_cancel(3)`: -EINPROGRESS (the event is still to come), -EINVAL, -EFAULT.
unsafe extern "C" fn cancel(context: usize, block: *mut Iocb, event: *mut IoEvent) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { calls::cancel(context, block, event) })
}

/// The first generation of `io_cancel`.
unsafe extern "C" fn cancel_0_1(context: usize, block: *mut Iocb) -> c_int {
    let mut event = IoEvent::default();
    // SAFETY: passed on to the caller.
    returned(unsafe { calls::cancel(context, block, &raw mut event) })
}

/// `io_getevents(3)`: how many, or -EINVAL, -EINTR, -EFAULT.
unsafe extern "C" fn getevents(
    context: usize,
    min: c_long,
    max: c_long,
    events: *mut IoEvent,
    timeout: *const libc::timespec,
) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { reap(context, (min as isize, max as isize), events, timeout, ptr::null()) })
}

/// The first generation of `io_getevents`: it waits for one event at least.
unsafe extern "C" fn getevents_0_1(
    context: usize,
    max: c_long,
    events: *mut IoEvent,
    timeout: *const libc::timespec,
) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { reap(context, (1, max as isize), events, timeout, ptr::null()) })
}

/// `io_pgetevents(2)` as libaio has it: as `io_getevents`, with another signal mask meanwhile.
unsafe extern "C" fn pgetevents(
    context: usize,
    min: c_long,
    max: c_long,
    events: *mut IoEvent,
    timeout: *const libc::timespec,
    mask: *const libc::sigset_t,
) -> c_int {
    let set = SignalSet { mask, size: SignalSet::SIZE };
    // SAFETY: passed on to the caller.
    returned(unsafe { reap(context, (min as isize, max as isize), events, timeout, &raw const set) })
}

/// `io_queue_init(3)`: as `io_setup`, whatever the context is before.
unsafe extern "C" fn queue_init(requests: c_int, context: *mut usize) -> c_int {
    if requests <= 0 {
        return -libc::EINVAL;
    }
    // SAFETY: the caller says that a context can be written here.
    unsafe {
        if let Some(context) = context.as_mut() {
            *context = 0;
        }
        setup(requests, context)
    }
}

/// `io_queue_run(3)`: calls back for each event that is there; 0, or an error.
unsafe extern "C" fn queue_run(context: usize) -> c_int {
    // SAFETY: passed on to the caller.
    returned(unsafe { queue_run::run(context) })
}

/// `io_queue_wait(3)`: as `io_getevents` for no events at all.
unsafe extern "C" fn queue_wait(context: usize, timeout: *const libc::timespec) -> c_int {
    // SAFETY: no events are written.
    returned(unsafe { reap(context, (0, 0), ptr::null_mut(), timeout, ptr::null()) })
}

/// The first generation of `io_queue_wait`.
unsafe extern "C" fn queue_wait_0_1(context: usize, timeout: *const libc::timespec) -> c_int {
    // SAFETY: as above.
    unsafe { queue_wait(context, timeout) }
}

/// `io_queue_release(3)`: as `io_destroy`.
unsafe extern "C" fn queue_release(context: usize) -> c_int {
    returned(calls::destroy(context))
}
