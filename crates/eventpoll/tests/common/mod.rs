//! What all comparisons share. A test is written once, against the traits of `world`, and runs on each side.

pub(crate) mod bits;
mod bytes;
pub(crate) mod histogram;
pub(crate) mod kernel;
mod kernel_memory;
pub(crate) mod kernel_signal;
pub(crate) mod ours;
pub(crate) mod own_source;
mod sides;
pub(crate) mod tasks;
pub(crate) mod waiters;
pub(crate) mod watchdog;
pub(crate) mod world;

pub(crate) use sides::{both, ours_alone};
