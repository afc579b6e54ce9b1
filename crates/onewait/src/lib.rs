//! The engine of onewait.
pub mod counters;
