//! Requests on files, pipes and sockets, through the safe face: by a completion queue, and in a reactor's own ring.

#![allow(clippy::duplicate_mod, reason = "the same tests are run in two ways")]

#[path = "../common/mod.rs"]
mod common;

mod in_a_loop;
mod several_queues;

/// Each of these tests is run in both ways.
#[path = "."]
mod by_queue {
    use super::common::{queue, reap, reap_all};

    mod files;
    mod streams;
}

#[path = "."]
mod by_loop {
    use super::in_a_loop::{queue, reap, reap_all};

    mod files;
    mod streams;
}
