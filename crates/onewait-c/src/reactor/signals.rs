//! Signals as events.

use super::handle::{end, made, place, status};
use super::source::{Source, as_source, kind};
use onewait::Errno;
use onewait::source::Signals;
use std::ffi::c_int;
use std::mem::offset_of;
use std::slice;

/// `struct ow_signal`.
#[repr(C)]
pub struct OwSignal {
    number: i32,
    code: i32,
    pid: u32,
    uid: u32,
    status: i32,
    reserved: [u32; 3],
}

const _: () = assert!(size_of::<OwSignal>() == 32 && offset_of!(OwSignal, status) == 16);

/// `ow_signals_create`.
///
/// # Safety
/// There are so many numbers, or the pointer is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_signals_create(numbers: *const c_int, count: usize) -> *mut Source {
    made(|| {
        if numbers.is_null() || count > MOST {
            return Err(Errno::INVAL);
        }
        // SAFETY: by contract.
        Ok(Source::Signals(Signals::new(unsafe { slice::from_raw_parts(numbers, count) })?))
    })
}

/// More signals there are not.
const MOST: usize = 64;

/// `ow_signals_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_signals_destroy(signals: *mut Source) {
    // SAFETY: passed on to the caller.
    unsafe { end(signals, drop) };
}

/// `ow_signals_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_signals_source(signals: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<Signals>(signals) }
}

/// `ow_signals_read`.
///
/// # Safety
/// The pointers are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_signals_read(signals: *mut Source, signal: *mut OwSignal) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let (signals, signal) = unsafe { (kind::<Signals>(signals)?, place(signal)?) };
        let info = signals.read()?.ok_or(Errno::AGAIN)?;
        *signal = OwSignal {
            number: info.signal,
            code: info.code,
            pid: info.process,
            uid: info.user,
            status: info.status,
            reserved: [0; 3],
        };
        Ok(())
    })
}
