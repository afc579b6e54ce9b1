//! How a program is told of the end of a request: `aio_sigevent`.

use super::aiocb::Sigevent;
use super::notifier;
use onewait::Errno;
use onewait::counters::{Counters, Event};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr;

/// A function that a program gives for SIGEV_THREAD. It may end its thread, which unwinds it.
type Function = unsafe extern "C-unwind" fn(*mut c_void);

/// `SI_ASYNCIO` of `siginfo_t`.
const SI_ASYNCIO: c_int = -4;

/// What is to happen at the end of a request: the part of `aio_sigevent` that matters, copied at the call.
#[derive(Clone, Copy)]
pub(super) enum Notification {
    /// Nothing: SIGEV_NONE, and every value that means nothing (rule 75).
    None,
    /// A queued signal to the process, or to one thread.
    Signal { signo: c_int, value: usize, thread: Option<c_int> },
    /// A call on a thread made for it. The attributes are the program's, which keeps them until then.
    Call { function: Function, value: usize, attributes: usize },
}

impl Notification {
    /// Reads a program's wish.
    pub(super) fn of(event: &Sigevent) -> Notification {
        let value = event.value as usize;
        match event.notify {
            // Signal 0 is none: blocks that were only zeroed have it.
            libc::SIGEV_SIGNAL if event.signo == 0 => Notification::None,
            libc::SIGEV_SIGNAL => Notification::Signal { signo: event.signo, value, thread: None },
            libc::SIGEV_THREAD_ID => {
                Notification::Signal { signo: event.signo, value, thread: Some(event.function as c_int) }
            }
            libc::SIGEV_THREAD if event.function != 0 => {
                // SAFETY: the program says that this is the address of a function of this type.
                let function = unsafe { std::mem::transmute::<usize, Function>(event.function) };
                Notification::Call { function, value, attributes: event.attributes as usize }
            }
            _ => Notification::None,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Notification::None)
    }

    /// Sees to it that the notification can be delivered whatever happens later.
    ///
    /// # Errors
    /// EAGAIN when the thread that stands in for others cannot be made.
    pub(super) fn prepare(&self) -> Result<(), Errno> {
        match self {
            Notification::Call { .. } => notifier::ensure_started(),
            _ => Ok(()),
        }
    }

    /// Tells the program; later, if it cannot be told now.
    pub(super) fn send(self) {
        if self.is_none() {
            return;
        }
        Counters::current().event(Event::Notification);
        if !self.try_send() {
            Counters::current().event(Event::NotificationRetry);
            notifier::send_later(self);
        }
    }

    /// Tells the program. False if the system is short of something at the moment.
    pub(super) fn try_send(self) -> bool {
        match self {
            Notification::None => true,
            Notification::Signal { signo, value, thread } => queue_signal(signo, value, thread),
            Notification::Call { function, value, attributes } => {
                start_thread(function, value, attributes as *const libc::pthread_attr_t)
            }
        }
    }

    /// Tells the program in a way that needs nothing: a signal that may lose its value, a call on this thread.
    pub(super) fn send_plainly(self) {
        match self {
            Notification::None => {}
            Notification::Signal { signo, .. } => {
                // SAFETY: no pointers.
                unsafe { libc::kill(libc::getpid(), signo) };
            }
            Notification::Call { function, value, .. } => call(function, value),
        }
    }
}

/// `siginfo_t` as far as `rt_sigqueueinfo` wants it.
#[repr(C)]
struct Info {
    signo: c_int,
    errno: c_int,
    code: c_int,
    _padding: c_int,
    pid: libc::pid_t,
    uid: libc::uid_t,
    value: usize,
    _rest: [u64; 12],
}

const _: () = assert!(size_of::<Info>() == size_of::<libc::siginfo_t>());

/// Queues a signal. False if the queue is full (RLIMIT_SIGPENDING); a signal that does not exist is no matter.
fn queue_signal(signo: c_int, value: usize, thread: Option<c_int>) -> bool {
    // SAFETY: no preconditions.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = Info { signo, errno: 0, code: SI_ASYNCIO, _padding: 0, pid, uid, value, _rest: [0; 12] };
    // SAFETY: the information lives through the call and is as large as the kernel's.
    let result = unsafe {
        match thread {
            None => libc::syscall(libc::SYS_rt_sigqueueinfo, pid, signo, &raw const info),
            Some(thread) => libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, thread, signo, &raw const info),
        }
    };
    result == 0 || Errno::last() != Errno::AGAIN
}

struct Call {
    function: Function,
    value: usize,
}

/// Starts a thread for the call. False if none can be made.
fn start_thread(function: Function, value: usize, attributes: *const libc::pthread_attr_t) -> bool {
    let call = Box::into_raw(Box::new(Call { function, value }));
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // The new thread inherits a full mask and clears it itself: no handler of the program runs on it before its time.
    let masked = onewait::sys::MaskedSignals::new();
    let mut create = |attributes| crate::threads::create(thread.as_mut_ptr(), attributes, Some(run_call), call.cast());
    let result = if attributes.is_null() { with_detached(create) } else { create(attributes) };
    drop(masked);
    if result == 0 {
        return true;
    }
    // SAFETY: no thread was made, so the box is ours again.
    drop(unsafe { Box::from_raw(call) });
    // Attributes that make no thread make none later either: then the call happens without them.
    result != libc::EAGAIN
        && result != libc::ENOMEM
        && !attributes.is_null()
        && start_thread(function, value, ptr::null())
}

fn with_detached(create: impl FnOnce(*const libc::pthread_attr_t) -> c_int) -> c_int {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the attributes are initialised before they are used, and destroyed after.
    unsafe {
        libc::pthread_attr_init(attributes.as_mut_ptr());
        libc::pthread_attr_setdetachstate(attributes.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
        let result = create(attributes.as_ptr());
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        result
    }
}

unsafe extern "C-unwind" fn run_call(argument: *mut c_void) -> *mut c_void {
    // SAFETY: the argument is the box of `start_thread`, which nobody else has any more.
    let Call { function, value } = *unsafe { Box::from_raw(argument.cast::<Call>()) };
    call(function, value);
    ptr::null_mut()
}

/// Calls the program's function with an empty signal mask. Nothing here needs a destructor: the function may unwind.
fn call(function: Function, value: usize) {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised before it is used; the function is the program's, called as it asked for.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        function(value as *mut c_void);
    }
}
