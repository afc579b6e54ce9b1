//! Child processes as events.

use super::handle::{end, made};
use super::source::{Source, as_source};
use onewait::source::Pidfd;

/// `ow_child_create`.
#[unsafe(no_mangle)]
pub extern "C" fn ow_child_create(pid: libc::pid_t) -> *mut Source {
    made(|| Ok(Source::Child(Pidfd::open(pid)?)))
}

/// `ow_child_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_child_destroy(child: *mut Source) {
    // SAFETY: passed on to the caller.
    unsafe { end(child, drop) };
}

/// `ow_child_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_child_source(child: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<Pidfd>(child) }
}
