//! Waking a thread that sleeps, on another processor.
use crate::report::Report;
pub fn rows(_: &mut Report) {}
