//! `io_cancel`: what may wait for ever can be cancelled. The event comes through the ring, as with the kernel's.

use super::abi::{IoEvent, Iocb};
use super::context::Held;
use super::kernel;
use crate::process::Process;
use onewait::Errno;
use onewait::aio::{Target, Verdict};
use onewait::sys::MaskedSignals;
use std::sync::PoisonError;

/// Cancels the request of a control block.
///
/// # Errors
/// Always: EINPROGRESS if it is cancelled, for its event is still to be taken; EINVAL if there is no such request, or none
/// that can be cancelled; EFAULT without a block.
///
/// # Safety
/// The block is null or a control block.
pub(super) unsafe fn cancel(process: &Process, context: &Held, block: *const Iocb, event: *mut IoEvent) -> Errno {
    // SAFETY: by contract.
    let Some(key) = (unsafe { block.as_ref() }).map(|block| block.key) else { return Errno(libc::EFAULT) };
    if key != 0 {
        return Errno::INVAL;
    }
    let masked = MaskedSignals::new();
    let found = context.cancellable.lock().unwrap_or_else(PoisonError::into_inner).get(&(block as u64)).copied();
    drop(masked);
    match found.map(|key| process.engine.cancel(Target::Request(key))) {
        Some(Verdict { cancelled: true, .. }) => Errno(libc::EINPROGRESS),
        // What was left to the kernel.
        _ => match context.direct.existing().map(|kernel| kernel::cancel(kernel, block.cast_mut(), event)) {
            Some(Err(errno)) => errno,
            _ => Errno::INVAL,
        },
    }
}
