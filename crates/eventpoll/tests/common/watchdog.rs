//! Nothing that is tested may hang: a test that does not end is ended, with its name.

use std::panic::Location;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Far beyond what any test takes on a slow machine. It measures nothing; it only says that something hangs.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a test; if it does not end, ends the process with a word about who hung.
#[track_caller]
pub(crate) fn bounded(name: &'static str, test: fn()) {
    bounded_by(LIMIT, name, test);
}

/// [`bounded`], with a limit of one's own.
#[track_caller]
pub(crate) fn bounded_by(limit: Duration, name: &'static str, test: fn()) {
    let place = Location::caller();
    let (done, wait) = mpsc::channel::<()>();
    let dog = thread::spawn(move || {
        if wait.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} ({place}) did not end within {limit:?}: it hangs");
            std::process::abort();
        }
    });
    test();
    // A test that panics drops this too, and so lets the dog go.
    drop(done);
    dog.join().expect("the watchdog does not panic");
}
