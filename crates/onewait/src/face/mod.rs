//! The safe face of the engine: requests that own their buffers.
//!
//! An [`Aio`] is an engine with its driver (`aio.rs`). Of it one makes [`CompletionQueue`]s (`queue.rs`), gives them
//! [`Request`]s (`request.rs`), and reaps [`Completion`]s (`completion.rs`).
//!
//! Why no safe call can make memory unsound: a request takes its [`Buffer`]s (`buffer.rs`) and a clone of its
//! [`Descriptor`] (`descriptor.rs`) by value, and `in_flight.rs` puts all of it into the engine's slot. There it stays
//! until the driver has seen the kernel's completion, and only then goes on to the queue's list (`queued.rs`,
//! `finished.rs`), or to that of a loop's ring (`ring_queue.rs`). Handles, queues, completions and the `Aio` itself can be
//! dropped or forgotten at any time: none of them owns what is in the slot. The end of the engine waits for the kernel, and
//! a forgotten engine is never freed.

mod aio;
mod buffer;
mod completion;
mod descriptor;
mod finished;
mod in_flight;
mod queue;
mod queued;
mod request;
mod ring_queue;

pub use aio::Aio;
pub use buffer::Buffer;
pub use completion::{CancelVerdict, Completion, Refused, RequestHandle};
pub use descriptor::Descriptor;
pub(crate) use in_flight::InFlight;
pub use queue::CompletionQueue;
pub use request::{PollEvents, Request};
pub(crate) use ring_queue::RingQueue;
