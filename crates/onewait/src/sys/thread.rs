//! Threads of the engine's own, and how many there are.

use super::MaskedSignals;
use std::io;
use std::thread::{Builder, JoinHandle};

/// Enough for the engine's own code, which does not recurse; call-backs of programs never run on these threads.
const STACK_SIZE: usize = 256 * 1024;

/// Starts a thread that takes no signal, ever: handlers of the program run on the program's threads only, and a SIGPIPE
/// or SIGXFSZ that a write raises stays pending here, where it hurts nobody.
///
/// # Errors
/// EAGAIN when the limits on threads or memory are reached.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let _masked = MaskedSignals::new();
    Builder::new().name(name.to_owned()).stack_size(STACK_SIZE).spawn(body)
}

/// How many threads the process has; `None` where `/proc` does not tell.
pub fn count_threads() -> Option<usize> {
    use std::os::unix::fs::MetadataExt;
    let links = std::fs::metadata("/proc/self/task").ok()?.nlink();
    (links as usize).checked_sub(2)
}
