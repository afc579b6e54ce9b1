//! Plays the same thing on the kernel's epoll and on ours, and wants the same answer.
//!
//! - `common`: what a side of the comparison is, and the two sides
//! - `rules`: a test for each numbered rule of epoll, run on both sides
//! - `differential`: random sequences of calls, compared call by call; a sequence that differs is shrunk and printed
//! - `misuse`: what a program should not do gives an error value, and never a panic or a deadlock
//!
//! `cargo test -p eventpoll --test conformance kernel::rule_28` runs one rule on one side.

mod common;
mod differential;
mod misuse;
mod rules;
