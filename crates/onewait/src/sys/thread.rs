//! Threads of the engine's own, and how many there are.
//!
//! Made by `pthread_create(3)` itself: std's threads, and its channels, register destructors with the thread that uses them,
//! and libc aborts the program when there is no memory for that.

use super::MaskedSignals;
use crate::errno::Errno;
use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicU64, Ordering};

/// Names a thread. Unlike a `pthread_t`, it is not given to another one when the thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadId(u64);

impl ThreadId {
    /// Of the calling thread. The child of a fork has that of the thread that forked.
    #[inline]
    pub(crate) fn current() -> ThreadId {
        thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = OWN.get();
        if id != 0 {
            return ThreadId(id);
        }
        OWN.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        ThreadId(OWN.get())
    }
}

/// Enough for the engine's own code, which does not recurse; call-backs of programs never run on these threads.
const STACK_SIZE: usize = 256 * 1024;

type Body = Box<dyn FnOnce() + Send>;

/// A thread of the engine's. Dropping this lets it run on by itself.
#[derive(Debug)]
pub struct Thread(Option<libc::pthread_t>);

impl Thread {
    /// Waits for the thread's end.
    pub fn join(mut self) {
        if let Some(thread) = self.0.take() {
            // SAFETY: the thread is joinable, and joined here only.
            unsafe { libc::pthread_join(thread, ptr::null_mut()) };
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // SAFETY: the thread is joinable, and detached here only.
            unsafe { libc::pthread_detach(thread) };
        }
    }
}

/// Starts a thread that takes no signal, ever: handlers of the program run on the program's threads only, and a SIGPIPE
/// or SIGXFSZ that a write raises stays pending here, where it hurts nobody.
///
/// # Errors
/// EAGAIN when the limits on threads or memory are reached.
pub fn spawn(name: &'static CStr, body: impl FnOnce() + Send + 'static) -> Result<Thread, Errno> {
    let body: Body = Box::new(move || {
        // SAFETY: the name is a C string, of which the kernel takes the first fifteen bytes.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
        body();
    });
    let argument = Box::into_raw(Box::new(body));
    let _masked = MaskedSignals::new();
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are initialised before they are used and destroyed after; the argument is the new thread's
    // once there is one.
    let result = unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK_SIZE);
        let result = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), run, argument.cast());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        result
    };
    if result != 0 {
        // SAFETY: no thread was made, so the box is ours again.
        drop(unsafe { Box::from_raw(argument) });
        return Err(Errno::AGAIN);
    }
    OWN_THREADS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the call has filled it in.
    Ok(Thread(Some(unsafe { thread.assume_init() })))
}

/// Whether a routine that `pthread_create(3)` is asked to run is [`spawn`]'s: for a library that stands in front of it.
pub fn is_own_routine(routine: *const c_void) -> bool {
    routine == run as *const c_void
}

extern "C" fn run(argument: *mut c_void) -> *mut c_void {
    // SAFETY: the argument is the box of `spawn`, which nobody else has any more.
    let body = *unsafe { Box::from_raw(argument.cast::<Body>()) };
    body();
    OWN_THREADS.fetch_sub(1, Ordering::SeqCst);
    ptr::null_mut()
}

unsafe extern "C" {
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
}

const CANCEL_DISABLE: c_int = 1;

/// While this lives, the calling thread is not cancelled: libc's functions are cancellation points where we are none.
#[derive(Debug)]
#[must_use]
pub struct Uncancellable {
    before: c_int,
}

impl Uncancellable {
    /// Puts cancellation off.
    #[allow(clippy::new_without_default, reason = "it does something to the thread")]
    pub fn new() -> Uncancellable {
        let mut before = 0;
        // SAFETY: the state is valid for writing.
        unsafe { pthread_setcancelstate(CANCEL_DISABLE, &raw mut before) };
        Uncancellable { before }
    }
}

impl Drop for Uncancellable {
    fn drop(&mut self) {
        // SAFETY: the state is the one from before.
        unsafe { pthread_setcancelstate(self.before, ptr::null_mut()) };
    }
}

/// Threads made by [`spawn`] that have not ended. Counted only while the system shows them: after they were made, and not
/// when they are about to end. So what is left of all threads is never too few.
static OWN_THREADS: AtomicIsize = AtomicIsize::new(0);

/// How many threads the process has besides those made by [`spawn`], or a few more; `None` where `/proc` does not tell.
pub(crate) fn count_foreign_threads() -> Option<usize> {
    use std::os::unix::fs::MetadataExt;
    let own = OWN_THREADS.load(Ordering::SeqCst).max(0);
    let links = std::fs::metadata("/proc/self/task").ok()?.nlink();
    (links as usize).checked_sub(2)?.checked_sub(own as usize)
}

/// How many processors the calling thread may use. Async-signal-safe.
pub(crate) fn count_processors() -> usize {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is valid for writing, and all zeros are a set.
    unsafe {
        let result = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        if result < 0 { 1 } else { libc::CPU_COUNT(set.assume_init_ref()) as usize }
    }
}

/// How often the calling thread has waited for something, and not merely lost its processor to another one.
pub(crate) fn count_waits() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is valid for writing, and all zeros are one.
    unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init_ref().ru_nvcsw as u64
    }
}
