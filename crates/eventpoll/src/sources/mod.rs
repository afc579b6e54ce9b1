//! Sources in the box. All of them may be used from any thread; none waits.
//!
//! | source | is like | `IN` | `OUT` | `HUP` | `ERR` |
//! |---|---|---|---|---|---|
//! | [`Event`] | an eventfd | the count is not 0 | 1 can be added | | |
//! | [`PipeReader`] | a pipe | there are bytes | | the writer is gone | |
//! | [`PipeWriter`] | a pipe | | a slot is free | | the reader is gone |
//! | [`Receiver`] | | there is a value | | the senders are gone | |
//! | [`Sender`] | | | there is room | | the receiver is gone |
//! | [`Timer`] | a timerfd | it expired | | | |
//! | [`EventPoll`](crate::EventPoll) | an epoll | a wait would report something | | | |

mod channel;
mod clock;
mod event;
mod pipe;
mod timer;

pub use channel::{Receiver, Sender, TryRecvError, TrySendError, bounded, channel, unbounded};
pub use clock::Clock;
pub use event::Event;
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use timer::Timer;
