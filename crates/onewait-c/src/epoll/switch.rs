//! Whether programs' epolls are served, and how long waits look before they sleep: read when the library is loaded.
//!
//! Not at the first call, as all else: servers empty their environment, or write their title over it, before they make
//! their first epoll in a child.

use super::calls;
use onewait::counters;
use onewait::reactor::{SPIN_VARIABLE, SpinTime};
use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The environment variable that switches this on.
const EPOLL_VARIABLE: &str = "ONEWAIT_EPOLL";

/// In nanoseconds; a millisecond at most. Written when the library is loaded.
static SPIN: AtomicU32 = AtomicU32::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    if !is_asked_for() {
        return calls::pass();
    }
    if let Some(text) = env::var_os(SPIN_VARIABLE).filter(|text| !text.is_empty()) {
        match text.to_str().unwrap_or_default().parse::<SpinTime>() {
            Ok(time) => SPIN.store(time.duration().subsec_nanos(), Ordering::Relaxed),
            Err(error) => complain(SPIN_VARIABLE, &text, &error),
        }
    }
    // Children go on counting there, whatever becomes of their environment.
    counters::adopt();
    calls::serve();
}

fn is_asked_for() -> bool {
    let Some(wish) = env::var_os(EPOLL_VARIABLE) else { return false };
    match wish.as_encoded_bytes() {
        b"on" => true,
        b"" | b"off" => false,
        _ => {
            complain(EPOLL_VARIABLE, &wish, &"say on or off");
            false
        }
    }
}

/// A preloaded library has no better place to complain; the program goes on.
fn complain(variable: &str, wish: &OsStr, cure: &dyn Display) {
    let wish = wish.display();
    let _ = writeln!(io::stderr(), "onewait: {variable}: “{wish}” means nothing here; {cure}");
}

/// How long a wait looks before it sleeps; zero: not at all.
#[inline]
pub(super) fn spin() -> Duration {
    Duration::from_nanos(SPIN.load(Ordering::Relaxed).into())
}
