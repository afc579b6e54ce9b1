//! Asynchronous input and output for Linux: requests in, completions out, with the same meaning on every kernel.
//!
//! A [`Request`] takes a buffer and a file, any number of them are in flight at once, and a [`Completion`] gives the buffer
//! back with the result. Files that are in the page cache, files that are not, O_DIRECT, pipes, sockets: all are one thing.
//! Where io_uring may be used, it is used; where it may not (most containers), epoll, threads and native AIO do the same.
//!
//! ```text
//!    your threads: submit ──┐                                   ┌── reap, wait
//!                           ▼                                   ▲
//!      Request { file, buffer, token }            Completion { token, result, buffer }
//!                           │                                   │
//!   ┌───────────────────────┴───────────────────────────────────┴──────────────────────┐
//!   │ CompletionQueue, CompletionQueue …       bounded, shared by any number of threads │
//!   ├───────────────────────────────────────────────────────────────────────────────────┤
//!   │ Aio       requests in slots, which own their memory · fsync and stream order ·    │
//!   │           cancellation · what needs no waiting is done in the call itself         │
//!   ├─────────────────────────────────────────┬─────────────────────────────────────────┤
//!   │ driver    uring: a ring                 │ epoll + threads + native AIO (O_DIRECT) │
//!   └─────────────────────────────────────────┴─────────────────────────────────────────┘
//! ```
//!
//! # One complete loop
//!
//! Eight reads in flight; each completion's buffer goes into the next request.
//!
//! ```
//! use onewait::{Aio, Buffer, Descriptor, Request};
//!
//! const BLOCK: u64 = 4096;
//!
//! fn main() -> std::io::Result<()> {
//!     let file = std::fs::File::open("/proc/self/exe")?;
//!     let length = file.metadata()?.len();
//!     let file = Descriptor::from(file);
//!
//!     let queue = Aio::new()?.queue();
//!     let mut offset = 0;
//!     for _ in 0..8 {
//!         queue.submit(Request::read(&file, Buffer::with_capacity(BLOCK as usize), offset).token(offset))?;
//!         offset += BLOCK;
//!     }
//!
//!     let (mut total, mut completions) = (0, Vec::new());
//!     while queue.outstanding() > 0 {
//!         queue.wait(&mut completions, None);
//!         for done in completions.drain(..) {
//!             total += done.result? as u64;
//!             // done.token is the offset; done.buffer holds the bytes.
//!             if offset < length {
//!                 queue.submit(Request::read(&file, done.buffer, offset).token(offset))?;
//!                 offset += BLOCK;
//!             }
//!         }
//!     }
//!     assert_eq!(total, length);
//!     Ok(())
//! }
//! ```
//!
//! `examples/copy.rs` is a page more: it copies a file with 32 reads in flight, handles short reads and writes, shows how far
//! it is, and ends with an `fsync`.
//!
//! # One wait for everything
//!
//! A [`reactor::Reactor`] waits for descriptors, queues of completions, timers, signals, children, channels and sources of
//! one's own in one call: as a loop with tokens, or with a handler a source ([`reactor::Dispatcher`]). Sockets by completion
//! ([`sockets`]) and requests on files ([`files`]) of the loop's own are in a ring that it sleeps in: one system call a turn.
//! `examples/echo_server.rs` and `examples/tail.rs` are a page each.
//!
//! # Where to look
//! [`Aio`]: which driver, what happens at the end, forks and signals. [`CompletionQueue`]: submitting, waiting, the order of
//! requests. [`Request`]: what can be asked for, and which errors it ends with. [`Buffer`]: what reads fill and writes write.
//!
//! Below this face lies the engine itself ([`aio`], [`driver`]), for other faces: it takes raw addresses, and is unsafe.
//! [`counters`] tells what all of it has done.

pub mod aio;
pub mod counters;
pub mod driver;
mod errno;
mod face;
pub mod files;
pub mod reactor;
pub mod sockets;
pub mod source;
pub mod sys;

pub use driver::{Choice, DriverKind};
pub use errno::Errno;
pub use face::{
    Aio, Buffer, CancelVerdict, Completion, CompletionQueue, Descriptor, PollEvents, Refused, Request, RequestHandle,
};
