//! A test for each rule of epoll that is about descriptors, on the kernel and on a reactor.
//!
//! A test of rule 9 is named `rule_09_…`. A rule may have several, and all of them are in the file of its subject.

mod control;
mod edges;
mod events;
mod every_rule;
mod forks;
mod lifetime;
mod nesting;
mod order;
mod ready_list;
mod sockets;
mod sources;
mod wait;
mod wakes;
