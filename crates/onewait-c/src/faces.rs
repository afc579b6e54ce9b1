//! Which of the faces of AIO serve: all of them, unless the environment asks for one only. The functions of the others do what
//! they do without us. (epoll has a switch of its own: `epoll/switch.rs`.)

use std::env;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

/// The environment variable that names the one face that is to serve: `posix` or `libaio`.
const ONLY_VARIABLE: &str = "ONEWAIT_ONLY";

const UNKNOWN: u8 = 0;
const POSIX: u8 = 1;
const LIBAIO: u8 = 2;

/// The faces that serve, as bits; UNKNOWN until the first question.
static SERVING: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether `<aio.h>` is served.
#[inline]
pub(crate) fn serves_posix() -> bool {
    serving() & POSIX != 0
}

/// Whether libaio is served.
#[inline]
pub(crate) fn serves_libaio() -> bool {
    serving() & LIBAIO != 0
}

#[inline]
fn serving() -> u8 {
    match SERVING.load(Ordering::Relaxed) {
        UNKNOWN => ask(),
        serving => serving,
    }
}

#[cold]
fn ask() -> u8 {
    let wish = env::var_os(ONLY_VARIABLE).unwrap_or_default();
    let serving = match wish.as_encoded_bytes() {
        b"" | b"all" => POSIX | LIBAIO,
        b"posix" => POSIX,
        b"libaio" => LIBAIO,
        _ => {
            // A preloaded library has no better place to complain; the program goes on.
            let _ = writeln!(
                io::stderr(),
                "onewait: {ONLY_VARIABLE}: there is no face “{}”; say posix, libaio or all",
                wish.display()
            );
            POSIX | LIBAIO
        }
    };
    SERVING.store(serving, Ordering::Relaxed);
    serving
}
