//! Sources that are descriptors of the kernel's, and need more than a number: signals, children, and other processes.
//!
//! Sources of the process itself (events, channels, pipes, timers on a clock of one's own, event polls) are in
//! [`eventpoll::sources`]; a [`CompletionQueue`](crate::CompletionQueue) is one as well.

mod child;
mod pidfd;
mod signals;

pub use child::Child;
pub use pidfd::Pidfd;
pub use signals::{SignalInfo, Signals};
