//! The harness, from the outside in: [`library`] builds what is under test, [`program`] compiles the C programs
//! against the system's headers and asks each for its tests, [`face`] says in which ways a program can meet an AIO,
//! [`trial`] decides what a test's end means, and [`child`] runs one process in a group and a directory of its own.

pub(crate) mod child;
pub(crate) mod face;
pub(crate) mod library;
pub(crate) mod program;
pub(crate) mod trial;
