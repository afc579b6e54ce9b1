//! The engine of the process: started by the first call, and anew in a forked child.
//!
//! A child of `fork` has none of its parent's threads and must not touch the parent's rings. The pointer to the process's
//! state therefore lies on a page that the kernel wipes in the child (MADV_WIPEONFORK, Linux 4.14): the child finds no
//! state, and makes its own. That holds for every kind of fork, also for those that bypass `pthread_atfork`.

use crate::libaio::{Bells, Registry};
use crate::posix_aio::Notifier;
use crate::request::FaceRequest;
use onewait::Errno;
use onewait::aio::{self, Engine};
use onewait::counters::{self, Counters, Event};
use onewait::driver::Choice;
use onewait::sys::{self, MaskedSignals, Uncancellable};
use std::ffi::c_void;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// What a process has once it has used AIO. Never freed: its threads and signal handlers may look at any time.
pub(crate) struct Process {
    /// Whether the driver that was strictly asked for was seen to work.
    is_usable: AtomicBool,
    /// Whose state this is. A child of `vfork` sees it, too, until it calls exec, but must not use it.
    pid: libc::pid_t,
    /// Carries out requests.
    pub(crate) engine: Engine<FaceRequest>,
    /// Delivers what could not be delivered at once.
    pub(crate) notifier: Notifier,
    /// The contexts of libaio, once there was one.
    contexts: OnceLock<Option<Registry>>,
    /// The eventfds that libaio's requests report to.
    pub(crate) bells: Bells,
}

/// What lies on the page; all zeros in a process that has not used AIO, and in a forked child.
struct Page {
    process: AtomicPtr<Process>,
    /// Whether somebody makes the state already.
    is_starting: AtomicBool,
}

/// The page: null until the first call. Shared by all generations of a fork.
static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());

/// The process's state, if it has used AIO. Async-signal-safe.
#[inline]
pub(crate) fn existing() -> Option<&'static Process> {
    let page = PAGE.load(Ordering::Acquire);
    if page.is_null() {
        return None;
    }
    // SAFETY: the page was published after it was mapped, and is never unmapped; what it points to was leaked.
    unsafe { (*page).process.load(Ordering::Acquire).as_ref() }
}

impl Process {
    /// Whether the caller is a task of this process. A child of `vfork` is not, although it runs in its memory: it has
    /// descriptors of its own, and the engine's rings and locks are not for it.
    pub(crate) fn is_callers(&self) -> bool {
        // SAFETY: no preconditions.
        self.pid == unsafe { libc::getpid() }
    }
}

impl Process {
    /// The contexts of libaio, if there was one.
    #[inline]
    pub(crate) fn existing_contexts(&self) -> Option<&Registry> {
        self.contexts.get()?.as_ref()
    }

    /// The same, made if need be; `None` if memory is short.
    pub(crate) fn contexts(&self) -> Option<&Registry> {
        let _masked = MaskedSignals::new();
        self.contexts.get_or_init(Registry::new).as_ref()
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
    // A handler that makes a call must not find its own thread half-way.
    let _masked = MaskedSignals::new();
    let _uncancellable = Uncancellable::new();
    let page = page();
    if page.is_starting.swap(true, Ordering::AcqRel) {
        // Another thread is about to be done.
        loop {
            if let Some(process) = existing() {
                return process;
            }
            std::thread::yield_now();
        }
    }
    // What a parent process has left in static memory means nothing here.
    sys::forget_own_descriptors();
    aio::forget_hints();
    sys::watch_size_limit();
    counters::adopt();
    let choice = Choice::from_environment().unwrap_or_else(|error| {
        // A preloaded library has no better place to complain, and none at all if that fails; the program goes on.
        if writeln!(io::stderr(), "onewait: {error}").is_err() {
            discard_sigpipe();
        }
        Choice::Probe
    });
    let process = Box::leak(Box::new(Process {
        is_usable: AtomicBool::new(false),
        // SAFETY: no preconditions.
        pid: unsafe { libc::getpid() },
        engine: Engine::new(choice),
        notifier: Notifier::default(),
        contexts: OnceLock::new(),
        bells: Bells::default(),
    }));
    Counters::current().event(Event::Process);
    page.process.store(process, Ordering::Release);
    process
}

/// Takes back the SIGPIPE that a write has raised, while signals are held back.
fn discard_sigpipe() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the set is initialised before it is used; nobody wants to know what came.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        libc::sigtimedwait(set.as_ptr(), ptr::null_mut(), &now);
    }
}

/// The page, mapped by the first to come.
fn page() -> &'static Page {
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

fn map_page() -> *mut Page {
    const SIZE: usize = 4096;
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping where the kernel chooses.
    let address = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0) };
    if address == libc::MAP_FAILED {
        // No page to be had: then a child of fork is not told apart, but everything else works.
        let page = Page { process: AtomicPtr::new(ptr::null_mut()), is_starting: AtomicBool::new(false) };
        return Box::into_raw(Box::new(page));
    }
    // SAFETY: the range was just mapped.
    unsafe { libc::madvise(address.cast::<c_void>(), SIZE, libc::MADV_WIPEONFORK) };
    address.cast()
}
