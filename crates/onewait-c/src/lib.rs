//! The C faces of onewait: `libonewait.so`.
//!
//! Loaded before a program's own libraries, or linked, it serves `<aio.h>` and libaio from the engine. To programs that are
//! linked with it, it offers what `include/onewait.h` declares. Everything starts with the first call of a process: loading
//! the library only finds out whether epoll is to be served, too, which it is not unless asked for (`epoll/`).
//!
//! Functions that can block are cancellation points, as POSIX wants it, and have the ABI `C-unwind`: a cancelled thread
//! is unwound through them. Nothing on their frames needs a destructor when that can happen.

#![allow(unreachable_pub, reason = "what is exported here is for C, which knows no modules")]

mod closing;
mod epoll;
mod errno;
mod faces;
mod flags;
#[cfg(any(test, not(onewait_system_heap)))]
mod heap;
mod libaio;
mod posix_aio;
mod process;
mod reactor;
mod real;
mod request;
mod size_limit;
mod syscall;
mod threads;
