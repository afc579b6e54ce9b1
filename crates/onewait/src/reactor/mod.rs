//! One wait for everything: descriptors, completions, timers, signals, children, channels, and sources of one's own.
//!
//! ```text
//!   sockets, pipes, terminals,           queues of completions, channels,            timers
//!   signals, children, …                 events, your own sources
//!        │                                     │                                       │
//!   an epoll of the kernel's             an event poll (crate `eventpoll`)         a wheel
//!        │  one system call                    │  no system call                       │  no system call
//!        └──────────────────────┬──────────────┴───────────────────────────────────────┘
//!                               ▼
//!                 Reactor::wait → events, each with a token of yours
//! ```
//!
//! Descriptors keep the kernel's meaning to the letter, since they sit in an epoll with the flags that they were given
//! (`descriptors.rs`); all else has the same meaning, which is what the event poll is for. A turn (`turn.rs`) goes through
//! timers, sources and descriptors, each with a part of the room, so that nobody starves; with nothing to report the thread
//! sleeps in the kernel's epoll, until the first timer at most. Whoever notifies a source meanwhile rings the doorbell
//! (`doorbell.rs`); while the thread is at work, nobody does.
//!
//! # Sockets by completion
//! [`Reactor::sockets`] are done things with rather than watched ([`crate::sockets`]). Where they are on io_uring, the thread
//! sleeps in their ring, which watches the epoll by a poll; otherwise in an epoll of theirs, or in both at once
//! (`turn/sockets.rs`). That they have something is one event.
//!
//! # Files
//! A watched queue of completions may be anybody's, and its requests go by an engine's thread. [`Reactor::files`] are the
//! loop's own: their requests are in the ring of the sockets, which is handed all that is new, slept in, and reaped by one
//! system call a turn (`turn/files.rs`, [`crate::files`]).
//!
//! # Two classes
//! What must not wait behind a crowd, such as the signal to stop or a channel of commands, is watched by
//! [`Registry::add_urgent`], and comes first in each turn (`turn/urgent.rs`). It has half of the room: so what is always
//! ready, urgent or not, keeps nobody waiting but those of its own class. Who uses no urgent class pays nothing for it.

mod bells;
mod builder;
mod class;
mod descriptors;
mod dispatcher;
mod doorbell;
mod embedded;
mod poller;
mod registry;
mod shared_spin;
mod sources;
mod spin;
mod spin_time;
mod turn;
mod watchable;
mod wheel;

pub use builder::ReactorBuilder;
pub use dispatcher::{Dispatcher, HandlerId, Next, TimerId};
pub use poller::{PollEntry, Poller, Selected};
pub use registry::Registry;
pub use shared_spin::{Look, SharedSpin};
pub use spin_time::{NoSpinTime, SPIN_VARIABLE, SpinTime};
pub use turn::{Reactor, TimerKey};
pub use watchable::{Fd, InProcess, Target, Watchable};

pub use eventpoll::{Events, Interest, Ready, Waker};
