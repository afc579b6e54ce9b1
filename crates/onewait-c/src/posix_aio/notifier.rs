//! Notifications that could not be delivered at once: a thread that tries again.
//!
//! A signal waits for room in the queue of the process, for as long as it takes. A call waits a little for a thread to be
//! had; after that it happens on the notifier's own thread, one after the other: late is better than never.

use super::notify::Notification;
use crate::process;
use onewait::{Errno, sys};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(1);
/// Attempts before a call happens on the notifier's own thread.
const CALL_ATTEMPTS: u32 = 20;

/// The queue of a process. Whoever takes the lock on a program's thread holds back signals.
#[derive(Default)]
pub(crate) struct Notifier {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    is_started: bool,
    late: VecDeque<(Notification, u32)>,
}

/// Starts the thread, if it does not run.
///
/// # Errors
/// EAGAIN when no thread can be made.
pub(super) fn ensure_started() -> Result<(), Errno> {
    let notifier = &process::current().notifier;
    let _masked = sys::MaskedSignals::new();
    let mut state = notifier.state.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.is_started {
        crate::threads::before_thread();
        sys::spawn(c"onewait-notify", || run(notifier))?;
        state.is_started = true;
    }
    Ok(())
}

/// Delivers a notification as soon as that is possible.
pub(super) fn send_later(notification: Notification) {
    if ensure_started().is_err() {
        return notification.send_plainly();
    }
    let notifier = &process::current().notifier;
    let _masked = sys::MaskedSignals::new();
    notifier.state.lock().unwrap_or_else(PoisonError::into_inner).late.push_back((notification, 0));
    notifier.work.notify_one();
}

fn run(notifier: &Notifier) {
    let mut state = notifier.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some((notification, attempts)) = state.late.pop_front() else {
            state = notifier.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let is_last = matches!(notification, Notification::Call { .. }) && attempts >= CALL_ATTEMPTS;
        let mut is_sent = notification.try_send();
        if !is_sent && is_last {
            notification.send_plainly();
            // The call has lifted the mask.
            std::mem::forget(sys::MaskedSignals::new());
            is_sent = true;
        }
        if !is_sent {
            std::thread::sleep(PAUSE);
        }
        state = notifier.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_sent {
            state.late.push_back((notification, attempts + 1));
        }
    }
}
