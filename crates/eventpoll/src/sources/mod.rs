//! Sources in the box.

mod event;
mod pipe;

pub use event::Event;
pub use pipe::{PipeReader, PipeWriter, pipe};
