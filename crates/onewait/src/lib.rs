//! The engine of onewait.

pub mod aio;
pub mod counters;
pub mod driver;
mod errno;
pub mod sys;

pub use errno::Errno;
