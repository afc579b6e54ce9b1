//! RWF_NOWAIT: what must not wait is done in the call itself, whatever comes of it; and what need not wait, if it can be.

use onewait::Errno;
use onewait::aio::Outcome;
use onewait::driver::operation::Operation;
use onewait::sys::{ESPIPE, FileKind, raw_syscall};

/// Reads vectors of so many bytes if the page cache holds all of them. If not, nothing is lost: it is read again.
///
/// # Safety
/// As `Engine::submit`.
pub(super) unsafe fn reads_all(operation: &Operation, bytes: u64) -> bool {
    let is_candidate = operation.is_read() && operation.kind_of_file == FileKind::Storage && !operation.direct;
    // SAFETY: passed on to the caller.
    is_candidate && unsafe { transfer(&Operation { rw_flags: libc::RWF_NOWAIT, ..*operation }) } == Ok(bytes as usize)
}

/// Reads or writes with the operation's flags, of which RWF_NOWAIT is one.
///
/// # Errors
/// EAGAIN if it would have to wait, EOPNOTSUPP if the file cannot say, and those of `preadv2(2)` and `pwritev2(2)`.
///
/// # Safety
/// As `Engine::submit`.
pub(super) unsafe fn transfer(operation: &Operation) -> Outcome {
    let vector = libc::iovec { iov_base: operation.address as *mut libc::c_void, iov_len: operation.length as usize };
    let (vectors, count) = if operation.is_vectored() {
        (operation.address, operation.length as usize)
    } else {
        (&raw const vector as usize, 1)
    };
    let number = if operation.is_read() { libc::SYS_preadv2 } else { libc::SYS_pwritev2 };
    let attempt = |offset: i64| {
        // The kernel takes the offset in two halves; on 64 bits the first is all of it.
        let arguments = [
            operation.fd as usize,
            vectors,
            count,
            offset as usize,
            (offset >> 32) as usize,
            operation.rw_flags as usize,
        ];
        // SAFETY: by the contract of this function.
        unsafe { raw_syscall(number, arguments) }
    };
    let outcome = match attempt(operation.offset) {
        // Without positions: -1 is the descriptor's own.
        Err(ESPIPE) => attempt(-1),
        outcome => outcome,
    };
    // A signal came before anything was done: as good as having to wait.
    if outcome == Err(Errno::INTR) { Err(Errno::AGAIN) } else { outcome }
}
