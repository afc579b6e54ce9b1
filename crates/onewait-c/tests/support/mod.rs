//! The harness, from the outside in: [`library`] builds what is under test, [`program`] compiles the C programs
//! against the system's headers and asks each for its tests, [`face`] says in which ways a program can meet an AIO,
//! [`trial`] decides what a test's end means, and [`child`] runs one process in a group and a directory of its own.
//!
//! [`header`] asks what can be asked of `onewait.h` without running anything, and [`example`] runs the programs that show
//! it. [`embedded`] has a reactor in another loop.
//!
//! Beside these, [`fuzz`] plays random calls on glibc and on ours, and [`shrink`] makes what it finds short.

pub(crate) mod child;
pub(crate) mod embedded;
pub(crate) mod example;
pub(crate) mod face;
pub(crate) mod fuzz;
pub(crate) mod header;
pub(crate) mod library;
pub(crate) mod program;
pub(crate) mod shrink;
pub(crate) mod trial;
