//! Events: counters like eventfds.

use super::handle::{end, made, place, status};
use super::source::{Source, as_source, kind};
use eventpoll::sources::Event;
use onewait::Errno;
use std::ffi::c_int;

/// `OW_SEMAPHORE`.
const SEMAPHORE: u32 = 1;

/// `ow_event_create`.
#[unsafe(no_mangle)]
pub extern "C" fn ow_event_create(initial: u64, flags: u32) -> *mut Source {
    made(|| match flags {
        _ if initial == u64::MAX => Err(Errno::INVAL),
        0 => Ok(Source::Event(Event::new(initial))),
        SEMAPHORE => Ok(Source::Event(Event::semaphore(initial))),
        _ => Err(Errno::INVAL),
    })
}

/// `ow_event_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_event_destroy(event: *mut Source) {
    // SAFETY: passed on to the caller.
    unsafe { end(event, drop) };
}

/// `ow_event_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_event_source(event: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<Event>(event) }
}

/// `ow_event_write`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_event_write(event: *mut Source, number: u64) -> c_int {
    // SAFETY: passed on to the caller.
    status(|| Ok(unsafe { kind::<Event>(event) }?.write(number)?))
}

/// `ow_event_read`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_event_read(event: *mut Source, number: *mut u64) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let (event, number) = unsafe { (kind::<Event>(event)?, place(number)?) };
        *number = event.read()?;
        Ok(())
    })
}
