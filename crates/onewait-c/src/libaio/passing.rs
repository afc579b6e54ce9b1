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

/// What takes events, or asks libaio to.
const TAKERS: [&CStr; 4] = [c"io_getevents", c"io_pgetevents", c"io_queue_run", c"io_queue_wait"];

/// Whether a new context is the kernel's. Counts it.
pub(super) fn is_passed_through() -> bool {
    let reason = if !faces::serves_libaio() {
        Some("onewait was asked to leave libaio alone (--only posix)".into())
    } else {
        ring_reader().map(|name| format!("{name} takes completions in a way of its own"))
    };
    // So that what a watcher shares with us is known.
    process::current();
    let counters = Counters::current();
    match reason {
        Some(reason) => {
            counters.event(Event::PassedContext);
            counters.passed(&reason);
            true
        }
        None => {
            counters.event(Event::Context);
            false
        }
    }
}

/// The loaded object that reads the kernel's ring itself, if there seems to be one.
fn ring_reader() -> Option<String> {
    imports::find_object(&mut |imports| imports.any(&[c"io_submit"]) && !imports.any(&TAKERS))
}
