//! A block of counters in memory that a watcher shares with the processes of a program.

use super::{CURRENT, Counters, MAGIC, STATS_VARIABLE};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::Ordering;

/// The watcher's side: makes the block, names it for the children, reads it.
#[derive(Debug)]
pub struct SharedCounters {
    counters: &'static Counters,
    file: File,
}

impl SharedCounters {
    /// Makes an empty block in anonymous shared memory; latencies will be recorded.
    ///
    /// # Errors
    /// What `memfd_create(2)`, `ftruncate(2)` or `mmap(2)` report: EMFILE, ENOMEM.
    pub fn create() -> io::Result<SharedCounters> {
        // SAFETY: the name is a C string; the call has no other precondition.
        let fd = unsafe { libc::memfd_create(c"onewait-stats".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and nobody else owns it.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(size_of::<Counters>() as u64)?;
        let counters = map(&file)?;
        counters.magic.store(MAGIC, Ordering::Relaxed);
        counters.timed.store(1, Ordering::Relaxed);
        Ok(SharedCounters { counters, file })
    }

    /// The path under which children find the block, as the value of [`STATS_VARIABLE`]: it works while this process
    /// lives, in processes that may look at it (the same user, `/proc` mounted).
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// The block.
    pub fn counters(&self) -> &'static Counters {
        self.counters
    }
}

/// Goes over to the shared block that [`STATS_VARIABLE`] names, if it names one. Statistics are no reason for a program
/// to fail: whatever is wrong with the block, the process's own one stays in use.
pub fn adopt() {
    let Some(path) = std::env::var_os(STATS_VARIABLE) else { return };
    let Ok(file) = File::options().read(true).write(true).open(path) else { return };
    let is_whole = file.metadata().is_ok_and(|metadata| metadata.len() == size_of::<Counters>() as u64);
    if !is_whole {
        return;
    }
    if let Ok(counters) = map(&file)
        && counters.magic.load(Ordering::Relaxed) == MAGIC
    {
        CURRENT.store((&raw const *counters).cast_mut(), Ordering::Release);
    }
}

/// Maps the block that `file` holds; the mapping is never undone.
fn map(file: &File) -> io::Result<&'static Counters> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new shared mapping of an open file, at an address that the kernel chooses.
    let address = unsafe {
        libc::mmap(std::ptr::null_mut(), size_of::<Counters>(), protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is as large as the block (the callers saw to the file's length), page-aligned, never unmapped,
    // and every bit pattern of atomics is valid.
    Ok(unsafe { &*address.cast::<Counters>() })
}
