//! The reactor keeps epoll's rules for descriptors: the same thing is done to the kernel's epoll and to a reactor, and has to
//! have the same outcome.
//!
//! - `world`: what a side of the comparison is, and the two sides
//! - `fds`: pipes, sockets and other descriptors to watch, and what is done to them; `process`: forks, signals, threads
//! - `rules`: a test for each numbered rule of epoll that is about descriptors, run on both sides
//! - `differential`: random sequences of calls, compared call by call; a sequence that differs is shrunk and printed
//! - `storms`: signals; `exhaustion`: limits that are reached; `refused`: what a filter forbids
//!
//! `cargo test -p onewait --test descriptors kernel::rule_28` runs one rule on one side.

#[path = "../../../eventpoll/tests/common/bits.rs"]
mod bits;
#[path = "../common/mod.rs"]
mod common;

mod differential;
mod exhaustion;
mod fds;
mod process;
mod refused;

mod rules;
mod storms;

#[path = "../../../eventpoll/tests/common/tasks.rs"]
mod tasks;
#[path = "../../../eventpoll/tests/common/watchdog.rs"]
mod watchdog;
mod world;
