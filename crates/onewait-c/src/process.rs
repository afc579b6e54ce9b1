//! The engine of the process: started by the first call, and anew in a forked child.
//!
//! A child of `fork` has none of its parent's threads and must not touch the parent's rings. The pointer to the process's
//! state therefore lies on a page that the kernel wipes in the child (MADV_WIPEONFORK, Linux 4.14): the child finds no
//! state, and makes its own. That holds for every kind of fork, also for those that bypass `pthread_atfork`.

use crate::posix_aio::{Notifier, PosixRequest};
use onewait::Errno;
use onewait::aio::Engine;
use onewait::counters::{self, Counters, Event};
use onewait::driver::Choice;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What a process has once it has used AIO. Never freed: its threads and signal handlers may look at any time.
pub(crate) struct Process {
    /// Whether the driver that was strictly asked for was seen to work.
    is_usable: AtomicBool,
    /// Whose state this is. A child of `vfork` sees it, too, until it calls exec, but must not use it.
    pid: libc::pid_t,
    /// Carries out requests.
    pub(crate) engine: Engine<PosixRequest>,
    /// Delivers what could not be delivered at once.
    pub(crate) notifier: Notifier,
}

/// The page with the pointer: null until the first call. Shared by all generations of a fork.
static PAGE: AtomicPtr<AtomicPtr<Process>> = AtomicPtr::new(ptr::null_mut());

/// The process's state, if it has used AIO. Async-signal-safe.
#[inline]
pub(crate) fn existing() -> Option<&'static Process> {
    let page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        return None;
    }
    // SAFETY: the page was published after it was mapped, and is never unmapped; what it points to was leaked.
    unsafe { (*page).load(Ordering::Acquire).as_ref() }
}

impl Process {
    /// Whether the caller is a task of this process. A child of `vfork` is not, although it runs in its memory: it has
    /// descriptors of its own, and the engine's rings and locks are not for it.
    pub(crate) fn is_callers(&self) -> bool {
        // SAFETY: no preconditions.
        self.pid == unsafe { libc::getpid() }
    }
}

/// The process's state; makes it if need be.
#[inline]
pub(crate) fn current() -> &'static Process {
    existing().unwrap_or_else(start)
}

/// Whether requests can be made at all.
///
/// # Errors
/// EAGAIN if a driver was asked for strictly, and the system refuses it.
#[inline]
pub(crate) fn usable() -> Result<(), Errno> {
    let process = current();
    if process.is_usable.load(Ordering::Relaxed) {
        return Ok(());
    }
    // A refusal is asked for again each time: what was missing may be there now.
    process.engine.check_choice().map_err(|_| Errno::AGAIN)?;
    process.is_usable.store(true, Ordering::Relaxed);
    Ok(())
}

#[cold]
fn start() -> &'static Process {
    counters::adopt();
    onewait::sys::forget_own_descriptors();
    let choice = Choice::from_environment().unwrap_or_else(|error| {
        // A preloaded library has no better place to complain; the program goes on.
        eprintln!("onewait: {error}");
        Choice::Probe
    });
    let engine = Engine::new(choice);
    let fresh = Box::into_raw(Box::new(Process {
        is_usable: AtomicBool::new(false),
        // SAFETY: no preconditions.
        pid: unsafe { libc::getpid() },
        engine,
        notifier: Notifier::default(),
    }));
    let cell = page();
    match cell.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            Counters::current().event(Event::Process);
            // SAFETY: leaked just now, and published.
            unsafe { &*fresh }
        }
        Err(theirs) => {
            // SAFETY: ours was not published; theirs was, and is never freed.
            unsafe {
                drop(Box::from_raw(fresh));
                &*theirs
            }
        }
    }
}

/// The page, mapped by the first to come.
fn page() -> &'static AtomicPtr<Process> {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        // SAFETY: as in `existing`.
        return unsafe { &*page };
    }
    let fresh = map_page();
    match PAGE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: `fresh` is valid for ever, by `map_page`; so is what another thread published.
        Ok(_) => unsafe { &*fresh },
        // SAFETY: as above.
        Err(theirs) => unsafe { &*theirs },
    }
}

fn map_page() -> *mut AtomicPtr<Process> {
    const SIZE: usize = 4096;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping where the kernel chooses.
    let address = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        // No page to be had: then a child of fork is not told apart, but everything else works.
        return Box::into_raw(Box::new(AtomicPtr::new(ptr::null_mut())));
    }
    // SAFETY: the range was just mapped.
    unsafe { libc::madvise(address.cast::<c_void>(), SIZE, libc::MADV_WIPEONFORK) };
    address.cast()
}
