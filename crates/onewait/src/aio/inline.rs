//! The shortest way: a request that can be carried out without waiting is, in the caller's own thread.
//!
//! A read of what the page cache holds costs 0.2 µs as a system call, less than any hand-over. RWF_NOWAIT makes that
//! safe: where it would have to wait, it says so, and the request is queued.
//!
//! A write of whole pages into the page cache costs 1 µs, a third of what handing it to a kernel thread costs, but ext4
//! does not take RWF_NOWAIT for it: it can have to wait, when too much of memory is dirty. So that is watched
//! (`write_policy.rs`). Writes that could raise a signal in the program's thread (SIGPIPE, SIGXFSZ) are not tried.

use super::payload::Outcome;
use super::request;
use super::write_policy;
use crate::counters::{Counters, Kind, Route};
use crate::driver::operation::{Code, Operation, STREAM};
use crate::errno::Errno;
use crate::sys::{self, FileKind};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// What came of looking at a request.
#[derive(Clone, Copy, Debug)]
pub enum Attempt {
    /// It is done.
    Done(Outcome),
    /// It has to be queued, with what was learned of the descriptor, and possibly without the part that is done already.
    Queue(Operation, usize),
}

/// Checks a read or a write, fills in what the descriptor says of itself, and carries it out if that needs no waiting.
/// Operations of other kinds are passed through.
///
/// # Safety
/// The operation's pointers are valid for what it does, or invalid in a way that the kernel answers with EFAULT.
#[inline]
pub unsafe fn attempt(mut operation: Operation) -> Attempt {
    if !operation.is_read() && !operation.is_write() {
        return Attempt::Queue(operation, 0);
    }
    // The kernel checks the offset before it looks at the descriptor.
    if operation.offset < 0 {
        return Attempt::Done(Err(Errno::INVAL));
    }
    let flags = match sys::status_flags(operation.fd) {
        Ok(flags) => flags,
        Err(errno) => return Attempt::Done(Err(errno)),
    };
    let is_wrong_mode = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => operation.is_write(),
        libc::O_WRONLY => operation.is_read(),
        _ => false,
    };
    if is_wrong_mode || flags & libc::O_PATH != 0 {
        return Attempt::Done(Err(Errno::BADF));
    }
    operation.direct = flags & libc::O_DIRECT != 0;
    operation.append = flags & libc::O_APPEND != 0;
    if flags & libc::O_DSYNC == 0
        // SAFETY: passed on to the caller.
        && let Some(attempt) = unsafe { write_now(&mut operation) }
    {
        return attempt;
    }
    let is_stream =
        if operation.is_read() && !operation.direct && !operation.is_vectored() && is_promising(operation.fd) {
            // SAFETY: passed on to the caller.
            match unsafe { read_now(operation) } {
                Ok(attempt) => return attempt,
                Err(is_stream) => is_stream,
            }
        } else {
            !sys::seekable(operation.fd)
        };
    if is_stream {
        operation.offset = STREAM;
        operation.nowait = flags & libc::O_NONBLOCK != 0;
        operation.own_timeout = !operation.nowait && sys::has_own_timeout(operation.fd, operation.is_read());
        operation.direct = false;
    }
    Attempt::Queue(operation, 0)
}

/// Counts a request that was done in the call itself; `started` is when it began, if latencies are wanted.
pub fn count(kind: Kind, outcome: Outcome, started: Option<Instant>) {
    Counters::current().submitted(kind, Route::Inline);
    request::count(kind, outcome, started);
}

/// Writes whole pages into the page cache, if that is likely to need no waiting. `None` if not.
#[inline]
unsafe fn write_now(operation: &mut Operation) -> Option<Attempt> {
    let is_whole = (operation.offset as u64 | u64::from(operation.length)) % PAGE == 0;
    let is_candidate = operation.code == Code::Write && !operation.direct && !operation.append && is_whole;
    if !is_candidate || !write_policy::allows(operation.length) {
        return None;
    }
    (operation.kind_of_file, operation.file) = sys::identify(operation.fd);
    if operation.kind_of_file != FileKind::Storage || sys::has_size_limit() {
        return None;
    }
    let vector = libc::iovec { iov_base: operation.address as *mut libc::c_void, iov_len: operation.length as usize };
    let begin = Instant::now();
    // SAFETY: the vector is the operation's buffer, valid by the caller's contract.
    let result = unsafe { sys::write(operation.fd, &raw const vector, 1, operation.offset) };
    write_policy::learn(begin.elapsed());
    // A signal that came before anything was written: the driver is not interrupted.
    (result != Err(Errno::INTR)).then_some(Attempt::Done(result))
}

/// Bytes of the smallest page there is; writes of whole pages need not read the rest of one first.
const PAGE: u64 = 4096;

/// Reads what is there. `Err` if that is nothing, and says whether the descriptor has no positions.
#[inline]
unsafe fn read_now(mut operation: Operation) -> Result<Attempt, bool> {
    let mut before = 0;
    loop {
        let vector =
            libc::iovec { iov_base: operation.address as *mut libc::c_void, iov_len: operation.length as usize };
        // SAFETY: the vector is the operation's buffer, valid by the caller's contract.
        match unsafe { sys::nonblocking_read(operation.fd, &raw const vector, 1, operation.offset) } {
            Ok(0) => return Ok(Attempt::Done(Ok(before))),
            Ok(count) if count == operation.length as usize => {
                found(operation.fd);
                return Ok(Attempt::Done(Ok(before + count)));
            }
            // The end of the file, or the end of what the cache holds: the rest tells.
            Ok(count) => {
                before += count;
                operation.address += count;
                operation.length -= count as u32;
                operation.offset += count as i64;
            }
            Err(Errno(libc::EAGAIN)) if before > 0 => return Ok(Attempt::Queue(operation, before)),
            Err(_) if before > 0 => return Ok(Attempt::Done(Ok(before))),
            Err(Errno(libc::EAGAIN)) => {
                missed(operation.fd);
                return Err(false);
            }
            Err(Errno(libc::EOPNOTSUPP)) => {
                missed(operation.fd);
                return Err(!sys::seekable(operation.fd));
            }
            Err(sys::ESPIPE) => return Err(true),
            Err(errno) => return Ok(Attempt::Done(Err(errno))),
        }
    }
}

/// Misses in a row after which most attempts are left out.
const PATIENCE: u8 = 16;
/// Of those left out, one in so many is made all the same: the data may have come into the cache.
const PROBE: u8 = 32;

/// Misses in a row, by a hash of the descriptor's number. Only a hint: that numbers are reused does no harm.
static MISSES: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

fn misses(fd: RawFd) -> &'static AtomicU8 {
    &MISSES[fd as usize % MISSES.len()]
}

#[inline]
fn is_promising(fd: RawFd) -> bool {
    let misses = misses(fd);
    let count = misses.load(Ordering::Relaxed);
    if count < PATIENCE {
        return true;
    }
    let next = if count >= PATIENCE + PROBE { PATIENCE } else { count + 1 };
    misses.store(next, Ordering::Relaxed);
    count >= PATIENCE + PROBE
}

#[inline]
fn found(fd: RawFd) {
    let misses = misses(fd);
    if misses.load(Ordering::Relaxed) != 0 {
        misses.store(0, Ordering::Relaxed);
    }
}

fn missed(fd: RawFd) {
    let misses = misses(fd);
    let count = misses.load(Ordering::Relaxed);
    if count < PATIENCE {
        misses.store(count + 1, Ordering::Relaxed);
    }
}
