//! The shortest way: a request that can be carried out without waiting is, in the caller's own thread.
//!
//! A read of what the page cache holds costs 0.2 µs as a system call, less than any hand-over. RWF_NOWAIT makes that
//! safe: where it would have to wait, it says so, and the request is queued. Where all was there lately, another thread
//! may do a part of the reads (`copy_split.rs`).
//!
//! A write of whole pages into the page cache costs 1 µs, a third of what handing it to a kernel thread costs, but ext4
//! does not take RWF_NOWAIT for it: it can have to wait, when too much of memory is dirty. So that is watched
//! (`write_policy.rs`). Writes that could raise a signal in the program's thread (SIGPIPE, SIGXFSZ) are not tried.

use super::copy_split::CopySplit;
use super::hints::{self, Hint};
use super::payload::Outcome;
use super::read_policy;
use super::request;
use super::write_policy::{self, Watched};
use crate::counters::{Counters, Kind, Route};
use crate::driver::operation::{Code, Operation, STREAM};
use crate::errno::Errno;
use crate::sys::{self, FileKind};
use std::os::fd::RawFd;
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
pub unsafe fn attempt(operation: Operation, split: &CopySplit) -> Attempt {
    if !operation.is_read() && !operation.is_write() {
        return Attempt::Queue(operation, 0);
    }
    // The kernel checks the offset before it looks at the descriptor.
    if operation.offset < 0 {
        return Attempt::Done(Err(Errno::INVAL));
    }
    // SAFETY: passed on to the caller.
    match unsafe { attempt_known(operation, split) } {
        Some(attempt) => attempt,
        // SAFETY: passed on to the caller.
        None => unsafe { attempt_unknown(operation, split) },
    }
}

/// By what is remembered of the descriptor; `None` if that is nothing, or was wrong.
#[inline]
unsafe fn attempt_known(mut operation: Operation, split: &CopySplit) -> Option<Attempt> {
    let fd = operation.fd;
    if operation.is_write() {
        // SAFETY: passed on to the caller.
        return match unsafe { write_now(&operation, split, || hints::recall(fd, Hint::WriteCached)) } {
            // The kernel says what is wrong with the descriptor before it writes anything.
            Some(Attempt::Done(Err(_))) => None,
            attempt => attempt,
        };
    }
    operation.kind_of_file = FileKind::Storage;
    if hints::recall(fd, Hint::ReadDirect) {
        operation.direct = true;
        return still_has_positions(fd).then_some(Attempt::Queue(operation, 0));
    }
    if !hints::recall(fd, Hint::ReadCached) {
        return None;
    }
    let is_expected = operation.code == Code::Read && (read_policy::is_steady(fd) || split.is_forced());
    // To copy less than a page costs less than to hand it over.
    if is_expected && u64::from(operation.length) >= PAGE && split.is_for_copier(operation.length) {
        operation.for_copier = true;
        return Some(Attempt::Queue(operation, 0));
    }
    // SAFETY: passed on to the caller.
    match unsafe { read_if_promising(operation) } {
        Some(Found::Attempt(attempt)) => Some(attempt),
        Some(Found::Nothing) => Some(Attempt::Queue(operation, 0)),
        None => still_has_positions(fd).then_some(Attempt::Queue(operation, 0)),
        Some(Found::Stream) => {
            hints::forget(fd);
            None
        }
    }
}

/// Whether what is known of a descriptor may be used without any other look at it. The number may mean a pipe or a socket
/// by now, of which reads have an order and can wait for ever; to take it for a file would cost more than time.
fn still_has_positions(fd: RawFd) -> bool {
    let is_so = sys::seekable(fd);
    if !is_so {
        hints::forget(fd);
    }
    is_so
}

/// The same for a descriptor of which nothing is known.
unsafe fn attempt_unknown(mut operation: Operation, split: &CopySplit) -> Attempt {
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
    operation.append = flags & libc::O_APPEND != 0 || operation.rw_flags & libc::RWF_APPEND != 0;
    (operation.kind_of_file, operation.file) = sys::identify(operation.fd);
    let is_storage = operation.kind_of_file == FileKind::Storage;
    if operation.append && operation.is_write() {
        // O_APPEND may have come after the hint. This write is queued, and the next must not overtake it by the hint.
        hints::unlearn(operation.fd, Hint::WriteCached);
        // Nor may this one overtake those that the copier has by the hint.
        split.drain();
    }
    // A driver would wait for the descriptor to become ready, which it never does.
    if operation.file.is_number() && !sys::can_transfer(operation.fd, operation.is_read()) {
        return Attempt::Done(Err(Errno::INVAL));
    }
    if is_storage && operation.direct {
        hints::learn(operation.fd, Hint::Direct);
    }
    if is_storage && operation.is_read() {
        hints::learn(operation.fd, if operation.direct { Hint::ReadDirect } else { Hint::ReadCached });
    }
    if is_storage && operation.is_write() && flags & (libc::O_DSYNC | libc::O_DIRECT | libc::O_APPEND) == 0 {
        hints::learn(operation.fd, Hint::WriteCached);
        // Another process can change the limit, too.
        sys::size_limit_changed();
        // SAFETY: passed on to the caller.
        if let Some(attempt) = unsafe { write_now(&operation, split, || true) } {
            return attempt;
        }
    }
    // SAFETY: passed on to the caller.
    let is_stream = match unsafe { read_if_promising(operation) } {
        Some(Found::Attempt(attempt)) => return attempt,
        Some(Found::Stream) => true,
        Some(Found::Nothing) => false,
        None => !is_storage && !sys::seekable(operation.fd),
    };
    if is_stream {
        // The copier may still have earlier requests of this number, from when it was a file's: they go on before this one.
        split.drain();
        make_stream(&mut operation, flags);
    }
    Attempt::Queue(operation, 0)
}

/// Whether the descriptor is remembered as storage that is open with O_DIRECT. [`attempt`] learns that. No system call.
#[inline]
pub fn is_known_direct(fd: RawFd) -> bool {
    hints::recall(fd, Hint::Direct)
}

/// The descriptor has no positions: it is read or written as it comes.
fn make_stream(operation: &mut Operation, flags: i32) {
    operation.offset = STREAM;
    operation.nowait = flags & libc::O_NONBLOCK != 0;
    operation.own_timeout =
        !operation.nowait && (operation.is_empty() || sys::has_own_timeout(operation.fd, operation.is_read()));
    operation.direct = false;
}

/// Fills in what is to be known of a descriptor that was taken for a file's, and has no positions.
pub(super) fn describe_stream(operation: &mut Operation) {
    hints::forget(operation.fd);
    operation.for_copier = false;
    (operation.kind_of_file, operation.file) = sys::identify(operation.fd);
    make_stream(operation, sys::status_flags(operation.fd).unwrap_or(0));
}

/// Counts a request that was done in the call itself; `started` is when it began, if latencies are wanted.
pub fn count(kind: Kind, outcome: Outcome, started: Option<Instant>) {
    Counters::current().submitted(kind, Route::Inline);
    request::count(kind, outcome, started);
}

/// Writes whole pages into the page cache, if that is likely to need no waiting. `None` if not; `is_cached` is asked last,
/// and says whether the descriptor is one for it.
#[inline]
unsafe fn write_now(operation: &Operation, split: &CopySplit, is_cached: impl FnOnce() -> bool) -> Option<Attempt> {
    let is_whole = (operation.offset as u64 | u64::from(operation.length)).is_multiple_of(PAGE);
    let is_plain = operation.code == Code::Write && operation.rw_flags == 0;
    let is_candidate = is_plain && is_whole && write_policy::allows(operation.length);
    if !is_candidate || !is_cached() || sys::has_size_limit() {
        return None;
    }
    if split.is_for_copier(operation.length) {
        return Some(Attempt::Queue(Operation { for_copier: true, ..*operation }, 0));
    }
    let watched = Watched::begin();
    // SAFETY: the operation's buffer is valid by the caller's contract.
    let result = unsafe { sys::write_at(operation.fd, operation.address, operation.length, operation.offset) };
    watched.end();
    // A signal that came before anything was written: the driver is not interrupted.
    (result != Err(Errno::INTR)).then_some(Attempt::Done(result))
}

/// Bytes of the smallest page there is; writes of whole pages need not read the rest of one first.
const PAGE: u64 = 4096;

/// What a read without waiting found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// Something, or an error: the read is done, at least in part.
    Attempt(Attempt),
    /// Nothing that is there already.
    Nothing,
    /// A descriptor that has no positions.
    Stream,
}

/// Reads what the page cache holds. `None` if it is not even tried.
#[inline]
unsafe fn read_if_promising(operation: Operation) -> Option<Found> {
    // No bytes would be read of no file: some say something to that.
    let is_something = operation.length > 0 || operation.kind_of_file == FileKind::Storage;
    let is_candidate =
        operation.code == Code::Read && !operation.direct && is_something && read_policy::is_promising(operation.fd);
    // SAFETY: passed on to the caller.
    is_candidate.then(|| unsafe { read_now(operation) })
}

/// Reads what is there.
///
/// # Safety
/// The operation's buffer is valid, or invalid in a way that the kernel answers with EFAULT.
#[inline]
pub(super) unsafe fn read_now(mut operation: Operation) -> Found {
    let mut before = 0;
    loop {
        let vector =
            libc::iovec { iov_base: operation.address as *mut libc::c_void, iov_len: operation.length as usize };
        // SAFETY: the vector is the operation's buffer, valid by the caller's contract.
        match unsafe { sys::nonblocking_read(operation.fd, &raw const vector, 1, operation.offset) } {
            Ok(0) => return Found::Attempt(Attempt::Done(Ok(before))),
            Ok(count) if count == operation.length as usize => {
                read_policy::found(operation.fd);
                return Found::Attempt(Attempt::Done(Ok(before + count)));
            }
            // The end of the file, or the end of what the cache holds: the rest tells.
            Ok(count) => {
                before += count;
                operation.address += count;
                operation.length -= count as u32;
                operation.offset += count as i64;
            }
            Err(Errno(libc::EAGAIN)) if before > 0 => return Found::Attempt(Attempt::Queue(operation, before)),
            Err(_) if before > 0 => return Found::Attempt(Attempt::Done(Ok(before))),
            Err(Errno(libc::EAGAIN)) => {
                read_policy::missed(operation.fd);
                return Found::Nothing;
            }
            Err(Errno(libc::EOPNOTSUPP)) => {
                read_policy::missed(operation.fd);
                return if sys::seekable(operation.fd) { Found::Nothing } else { Found::Stream };
            }
            Err(sys::ESPIPE) => return Found::Stream,
            Err(errno) => return Found::Attempt(Attempt::Done(Err(errno))),
        }
    }
}
