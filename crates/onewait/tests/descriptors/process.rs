//! Children of this process, threads that wait, and signals.

use crate::tasks::{self, Moment};
use crate::world::{Errno, Event, World};
use std::io::Write;
use std::mem::{MaybeUninit, zeroed};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Once};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A copy of this process, with one thread. Dropped, it is ended and waited for.
pub(crate) struct Fork(libc::pid_t);

/// What a child exits with whose part of a test has failed.
const FAILED: i32 = 101;

impl Fork {
    /// A child that does this and exits with what that returns. It is bounded: after a minute it is ended by SIGALRM.
    pub(crate) fn new(body: impl FnOnce() -> i32) -> Fork {
        // SAFETY: no pointers. The C library's memory allocator may be used in the child, and no lock of the test's is held.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child > 0 {
            return Fork(child);
        }
        // SAFETY: no pointers.
        unsafe { libc::alarm(60) };
        // What the test's own output is collected in is the parent's.
        panic::set_hook(Box::new(|failure| drop(writeln!(std::io::stderr(), "in a child: {failure}"))));
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(FAILED);
        // SAFETY: it ends this child, and nothing of the parent's is run.
        unsafe { libc::_exit(code) }
    }

    /// The child's number; whoever gets it has to wait for the child.
    pub(crate) fn into_number(self) -> libc::pid_t {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Waits for the end; the exit code, or a negative signal.
    pub(crate) fn wait(self) -> i32 {
        let (mut status, child) = (0, self.into_number());
        // SAFETY: the status is valid for writing; it is this test's own child.
        while unsafe { libc::waitpid(child, &raw mut status, 0) } < 0 {}
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -libc::WTERMSIG(status) }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: a child of the test that nobody has waited for.
        assert_eq!(unsafe { libc::kill(self.0, signal) }, 0);
    }

    /// Comes back once its only thread is in this state, and was so twice.
    pub(crate) fn await_state(&self, state: u8) {
        let child = u32::try_from(self.0).expect("the number of a process");
        for _ in 0..2 {
            while tasks::state(child) != Some(state) {
                thread::sleep(Duration::from_millis(1));
            }
            thread::yield_now();
        }
    }
}

impl Drop for Fork {
    fn drop(&mut self) {
        self.signal(libc::SIGKILL);
        // SAFETY: no status is wanted; it is this test's own child.
        while unsafe { libc::waitpid(self.0, ptr::null_mut(), 0) } < 0 {}
    }
}

/// What a child does that has to succeed.
pub(crate) fn in_fork(body: impl FnOnce()) {
    let child = Fork::new(|| {
        body();
        0
    });
    assert_eq!(child.wait(), 0);
}

/// What a wait returned.
pub(crate) type Outcome = Result<Vec<Event>, Errno>;

/// A thread that waits once, and gives the side back.
pub(crate) struct Waiter<W: World> {
    thread: JoinHandle<(W, Outcome)>,
    /// Dropped by who joins it: until then the thread is there, and takes signals.
    end: Sender<()>,
    task: Arc<AtomicI32>,
    returned: Arc<AtomicBool>,
}

impl<W: World> Waiter<W> {
    /// Comes back when the thread sleeps, or has returned.
    pub(crate) fn new(mut world: W, max: usize, timeout: Option<Duration>) -> Waiter<W> {
        let (task, returned) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicBool::new(false)));
        let (its_task, has_returned) = (task.clone(), returned.clone());
        let (end, ends) = mpsc::channel();
        let thread = thread::spawn(move || {
            its_task.store(tasks::current(), Ordering::Release);
            let outcome = world.wait(max, timeout);
            has_returned.store(true, Ordering::Release);
            let _ = ends.recv();
            (world, outcome)
        });
        let waiter = Waiter { thread, end, task, returned };
        waiter.settle();
        waiter
    }

    pub(crate) fn task(&self) -> i32 {
        self.task.load(Ordering::Acquire)
    }

    pub(crate) fn has_returned(&self) -> bool {
        self.returned.load(Ordering::Acquire)
    }

    /// Comes back when the thread sleeps, and slept all the time between two looks; or has returned.
    pub(crate) fn settle(&self) {
        let moment = || match self.task() {
            0 => None,
            task => tasks::moment(task),
        };
        let mut before: Option<Moment> = None;
        while !self.has_returned() {
            let after = moment();
            if after == before && after.is_some_and(Moment::asleep) && !self.has_returned() {
                return;
            }
            before = after;
            thread::yield_now();
        }
    }

    /// What the wait returned, which it does in the end.
    pub(crate) fn join(self) -> (W, Outcome) {
        drop(self.end);
        self.thread.join().expect("no waiter panics")
    }
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// Gives a signal a handler, with the flag that system calls be restarted. It may run on any thread at any moment.
pub(crate) fn handle_with(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid `sigaction`; the handlers of these tests do nothing but atomic operations.
    unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
}

/// Interrupts a thread of this process by SIGUSR1, whose handler does nothing.
pub(crate) fn interrupt(task: i32) {
    static DONE: Once = Once::new();
    DONE.call_once(|| handle_with(libc::SIGUSR1, nothing));
    // SAFETY: with a handler, it ends nothing.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), task, libc::SIGUSR1) };
    assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
}

/// The set of these signals.
pub(crate) fn set(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises what it is given, and `sigaddset` gets what is initialised.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            assert_eq!(libc::sigaddset(set.as_mut_ptr(), *signal), 0);
        }
        set.assume_init()
    }
}

/// Holds these signals back from the calling thread.
pub(crate) fn hold_back(signals: &libc::sigset_t) {
    // SAFETY: the set outlives the call.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, signals, ptr::null_mut()) }, 0);
}
