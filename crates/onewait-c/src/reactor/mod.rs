//! The reactor for C: the functions of `include/onewait.h`, which says what they do.
//!
//! A handle is the address of a box. A reactor (`waiting.rs`) has its timers (`timers.rs`), which are its waiting thread's,
//! and what it watches (`watching.rs`): descriptors, and [`source::Source`]s, which are events (`event.rs`), the ends of
//! channels (`channel.rs`), signals (`signals.rs`), children (`child.rs`) and queues (`queue.rs`), to which requests are submitted
//! (`requests.rs`). It owns sockets, which are asked for things (`sockets.rs`) that end in completions
//! (`socket_completions.rs`). How all of it is to be, `options.rs` reads.
//!
//! Nothing here exists before a program asks for it. A queue has an engine of its own: cancelling by descriptor and `fsync`
//! of the other faces do not concern it.

mod channel;
mod child;
mod event;
mod handle;
mod options;
mod queue;
mod requests;
mod signals;
mod socket_completions;
mod sockets;
mod source;
mod timers;
mod waiting;
mod watching;

use std::ffi::c_int;

/// `ow_version`: the library's version, as `OW_VERSION` of the header has it.
#[unsafe(no_mangle)]
pub extern "C" fn ow_version() -> c_int {
    const {
        number(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
            + number(env!("CARGO_PKG_VERSION_MINOR")) * 1000
            + number(env!("CARGO_PKG_VERSION_PATCH"))
    }
}

const fn number(digits: &str) -> c_int {
    match c_int::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo's versions are numbers"),
    }
}
