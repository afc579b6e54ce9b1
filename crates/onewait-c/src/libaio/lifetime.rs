//! `io_setup` and `io_destroy`.

use super::context::Held;
use super::kernel;
use super::passing;
use super::until::Until;
use crate::process::{self, Process};
use onewait::Errno;
use onewait::aio::{Key, OwnWait, Target};
use onewait::sys::{self, MaskedSignals};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Makes a context for so many requests, and writes down what the program will know it by.
///
/// # Errors
/// EFAULT, EINVAL, EAGAIN, ENOMEM, as `io_setup(2)`; EAGAIN also where a driver was asked for strictly and is refused.
///
/// # Safety
/// `place` is null, or valid for reading and writing.
pub(super) unsafe fn setup(requests: u32, place: *mut usize) -> Result<(), Errno> {
    if passing::is_passed_through() {
        return kernel::setup(requests, place).map(drop);
    }
    // SAFETY: by contract.
    let Some(place) = (unsafe { place.as_mut() }) else { return Err(Errno(libc::EFAULT)) };
    if *place != 0 || requests == 0 {
        return Err(Errno::INVAL);
    }
    process::usable()?;
    let registry = process::current().contexts().ok_or(Errno(libc::ENOMEM))?;
    *place = registry.make(requests)?;
    Ok(())
}

/// Destroys a context: cancels what can be cancelled, and waits for the rest.
///
/// # Errors
/// EINVAL if another thread was faster.
pub(super) fn destroy(process: &Process, context: &Held) -> Result<(), Errno> {
    let registry = context.registry;
    let place = registry.remove(context).ok_or(Errno::INVAL)?;
    context.is_dead.store(true, Ordering::SeqCst);
    registry.forget(context.asked);
    await_callers(context);
    context.direct.destroy(context.asked, registry);
    await_engine(process, context);
    place.let_go();
    Ok(())
}

/// Waits until the other threads have left their calls on the context: the kernel may give its address to the next context
/// as soon as it is destroyed, and they must not find that one. Not for ever: this may be a handler that has interrupted such
/// a call.
fn await_callers(context: &Held) {
    const ROUNDS: u32 = 100;
    const NAP: Duration = Duration::from_micros(200);
    let word = AtomicU32::new(0);
    for _ in 0..ROUNDS {
        context.wake();
        if context.is_only_caller() {
            return;
        }
        sys::futex_wait(&word, 0, Some(&Until::Then(Instant::now() + NAP).on_monotonic_clock()));
    }
}

/// Cancels and waits until the engine has none of the context's requests. Also those that another thread is just about to
/// submit: they are cancelled when they are found by a later round.
fn await_engine(process: &Process, context: &Held) {
    const ROUND: Duration = Duration::from_millis(10);
    let count = context.in_engine();
    let is_done = || count.load(Ordering::SeqCst) == 0;
    while !is_done() {
        cancel_all(process, context);
        if process.engine.wait_on_own_ring(None, is_done).is_none_or(|wait| wait == OwnWait::NotOurs) {
            let seen = count.load(Ordering::SeqCst);
            if seen != 0 {
                sys::futex_wait(count, seen, Some(&Until::Then(Instant::now() + ROUND).on_monotonic_clock()));
            }
        }
    }
}

fn cancel_all(process: &Process, context: &Held) {
    let masked = MaskedSignals::new();
    let cancellable = context.cancellable.lock().unwrap_or_else(PoisonError::into_inner);
    let keys: Vec<Key> = cancellable.values().copied().collect();
    drop(cancellable);
    drop(masked);
    for key in keys {
        process.engine.cancel(Target::Request(key));
    }
}
