//! Holding back all signals for a moment.

use std::mem::MaybeUninit;

/// While this lives, the calling thread takes no signal: what it does is not interrupted by a handler that might call
/// into the engine itself. Costs two system calls.
#[must_use]
#[expect(missing_debug_implementations, reason = "a signal set has none")]
pub struct MaskedSignals {
    before: libc::sigset_t,
}

impl Default for MaskedSignals {
    fn default() -> Self {
        MaskedSignals::new()
    }
}

impl MaskedSignals {
    /// Blocks every signal of the calling thread.
    pub fn new() -> MaskedSignals {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets are valid for writing; `sigfillset` initialises the one, `pthread_sigmask` the other; neither
        // can fail with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            MaskedSignals { before: before.assume_init() }
        }
    }

    /// The mask that was in force before, and will be again.
    pub fn before(&self) -> &libc::sigset_t {
        &self.before
    }
}

impl Drop for MaskedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` is the set that `new` read.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}
