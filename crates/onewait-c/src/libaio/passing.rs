//! When the kernel serves a program's contexts, and not we: where a program reads the kernel's completion ring itself.
//!
//! Such a program takes events past all functions, and would wait for ever for those of a context of ours. It is known by an
//! object that imports `io_submit` but nothing that takes events. What was passed through stays so: a value that is no
//! context of ours goes to the kernel, whichever function it comes by.

use super::imports;
use crate::faces;
use crate::process;
use onewait::counters::{Counters, Event};
use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// What takes events, or asks libaio to.
const TAKERS: [&CStr; 4] = [c"io_getevents", c"io_pgetevents", c"io_queue_run", c"io_queue_wait"];

/// Why contexts are passed through, if they are; null until it is known. Never freed, and good for children, too.
static REASON: AtomicPtr<Option<String>> = AtomicPtr::new(ptr::null_mut());
/// The process that looks for a reason.
static SEEKER: AtomicI32 = AtomicI32::new(0);

/// Whether a new context is the kernel's. Counts it.
pub(super) fn is_passed_through() -> bool {
    let reason = if faces::serves_libaio() { reason() } else { Some("libaio was to be left alone (ONEWAIT_ONLY)") };
    // So that what a watcher shares with us is known.
    process::current();
    let counters = Counters::current();
    match reason {
        Some(reason) => {
            counters.event(Event::PassedContext);
            counters.passed(reason);
        }
        None => counters.event(Event::Context),
    }
    reason.is_some()
}

/// Why this program's contexts are passed through, if they are: looked for once.
fn reason() -> Option<&'static str> {
    let known = REASON.load(Ordering::Acquire);
    // SAFETY: null, or published below and never freed.
    if let Some(known) = unsafe { known.as_ref() } {
        return known.as_deref();
    }
    // SAFETY: no preconditions.
    let process = unsafe { libc::getpid() };
    let seeker = SEEKER.swap(process, Ordering::Relaxed);
    if seeker != 0 && seeker != process {
        // Our parent was forked while another thread of its looked, and the loader's lock with it: we would wait for ever.
        SEEKER.store(seeker, Ordering::Relaxed);
        return None;
    }
    let reader = imports::find_object(&mut |imports| imports.any(&[c"io_submit"]) && !imports.any(&TAKERS));
    let fresh = Box::new(reader.map(|name| format!("{name} takes completions from the kernel's ring itself")));
    let fresh = Box::into_raw(fresh);
    let known = match REASON.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(known) => {
            // SAFETY: ours, and not published.
            drop(unsafe { Box::from_raw(fresh) });
            known
        }
    };
    // SAFETY: published, and never freed.
    unsafe { &*known }.as_deref()
}
