//! What talks to the kernel.
//!
//! Two drivers carry out the same [`Operation`](operation::Operation)s. `uring` is a ring with one owner (`uring/`); the
//! engine makes one for its thread, or for a lone submitter. `epoll` needs no io_uring: it waits for the readiness of
//! pipes and sockets, hands O_DIRECT reads and writes to the kernel's native AIO, and everything else to a pool of
//! threads. Drivers know nothing of what a request means to a program.

pub mod operation;

pub(crate) mod direct;
pub(crate) mod doorbell;
pub(crate) mod epoll;
pub(crate) mod pool;
pub(crate) mod uring;

mod choice;

pub(crate) use choice::is_refusal;
pub use choice::{Choice, DRIVER_VARIABLE, DriverKind, UnknownDriver};
