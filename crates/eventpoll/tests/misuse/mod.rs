//! What a program should not do, and does: it gets an error value, and never a panic or a deadlock.
//!
//! These are promises of ours; the kernel has none of these calls, but for `links`, which plays on both. Each test is
//! bounded by the watchdog.

mod closing;
mod dropping;
mod in_level;
mod in_parking;
mod in_store;
mod links;
mod panics;
mod signals;
mod under_no_lock;
