//! Is a thread asleep? The kernel is asked; no test sleeps and hopes.

use std::fs;

/// The kernel's number of the calling thread.
pub(crate) fn current() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// A moment of a thread: its state's letter, and how often it went to sleep so far.
///
/// Two equal moments that are `asleep` mean that it slept all the time between.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    state: u8,
    switches: u64,
}

impl Moment {
    pub(crate) fn asleep(self) -> bool {
        self.state == b'S'
    }
}

/// What a thread of this process does now; nothing if it has ended.
pub(crate) fn moment(task: i32) -> Option<Moment> {
    let status = fs::read_to_string(format!("/proc/self/task/{task}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Moment {
        state: *field("State:")?.as_bytes().first()?,
        switches: field("voluntary_ctxt_switches:")?.parse().ok()?,
    })
}

/// The letter of a process's state.
pub(crate) fn state(process: u32) -> Option<u8> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("State:"))?.trim().as_bytes().first().copied()
}
