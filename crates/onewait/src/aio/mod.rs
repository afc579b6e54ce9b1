//! Asynchronous input and output: requests in, completions out.
//!
//! The way of a request: [`inline::attempt`] tries to carry it out at once. What has to wait gets a slot and a key
//! ([`Engine::reserve`]) and goes to the driver ([`Engine::submit`]): through the submitter's own ring (`own_ring.rs`), the
//! engine thread's mailbox and ring (`ring_thread.rs`, `mailbox.rs`, `asleep.rs`; both work on a `ring_core.rs`), or the
//! `epoll` driver (`epoll_core.rs`; which of these two, `drivers.rs` finds out). What only copies pages may be done by a
//! thread beside the submitter (`copier.rs`, fed by `inbox.rs`). What has to wait for other requests is held back
//! (`order.rs`). At its end the [`Payload`] is told, and the slot is given back. A loop with a ring of its own
//! (`loop_ring.rs`) needs no [`Engine`]; what ends there lies in a list (`ended.rs`) until the loop takes it.

mod answers;
mod asleep;
mod busy;
mod copier;
mod copy_split;
mod copy_trial;
mod drivers;
mod ended;
mod engine;
mod epoll_core;
mod hints;
mod inbox;
pub mod inline;
mod loop_ring;
mod mailbox;
mod order;
mod own_ring;
mod payload;
mod questions;
mod read_policy;
mod request;
mod ring_core;
mod ring_thread;
mod slots;
mod write_policy;

pub use copy_split::CopySplit;
pub use engine::{Engine, Standing, Submission};
pub use hints::forget_all as forget_hints;
pub(crate) use loop_ring::{GUEST, LoopRing};
pub use own_ring::OwnWait;
pub use payload::{Outcome, Payload, Waiters};
pub use request::{Target, Verdict};
pub use slots::{CAPACITY, Key};
