//! A test for each rule of epoll that is not about descriptors, on the kernel and on ours.
//!
//! A test of rule 9 is named `rule_09_…`. A rule may have several, and all of them are in the file of its subject.

mod control;
mod edges;
mod events;
mod every_rule;
mod last_moment;
mod lifetime;
mod nested_edges;
mod nested_wakes;
mod nesting;
mod order;
mod ours_alone;
mod races;
mod ready_list;
mod sources;
mod wait;
mod wakes;
