//! Waiting for requests.
//!
//! Everything here may run in a signal handler that interrupted any of our functions, and a thread may be cancelled while
//! it sleeps: so it takes no lock, allocates nothing, and leaves nothing behind but marks on requests.

use super::aiocb::{Aiocb, IN_PROGRESS};
use super::request::{ENDINGS, WAITS_FOR_ANY, WAITS_FOR_ONE, endings_of};
use crate::errno;
use crate::process::{self, Process};
use onewait::Errno;
use onewait::aio::OwnWait;
use onewait::counters::{Counters, Event};
use onewait::sys::{self, Wait};
use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const NANOSECONDS: libc::c_long = 1_000_000_000;

/// Until when a wait lasts.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// For ever.
    Forever,
    /// Not at all.
    Now,
    /// Until then.
    Then(Instant),
}

/// How long a thread sleeps for a request that it could not leave a mark on: one that another thread is just about to
/// submit, or that is not this process's.
const NAP: Duration = Duration::from_millis(1);

impl Until {
    /// This, or so much time from now if that is sooner, which the second value tells.
    fn at_most(self, time: Duration) -> (Until, bool) {
        let soon = Instant::now() + time;
        match self {
            Until::Now => (self, false),
            Until::Then(then) if then <= soon => (self, false),
            _ => (Until::Then(soon), true),
        }
    }
}

/// `aio_suspend`.
pub(super) fn suspend(list: *const *const Aiocb, count: c_int, timeout: *const libc::timespec) -> c_int {
    let Ok(count) = usize::try_from(count) else { return errno::status(Err(Errno::INVAL)) };
    if count == 0 {
        return 0;
    }
    // SAFETY: the program says that so many pointers are there.
    let list = unsafe { std::slice::from_raw_parts(list, count) };
    errno::status(suspend_list(list, timeout))
}

fn suspend_list(list: &[*const Aiocb], timeout: *const libc::timespec) -> Result<(), Errno> {
    let process = process::existing();
    if let Some(process) = process {
        process.engine.poll();
    }
    if is_any_done(list) || is_done_soon(process, list) {
        Counters::current().event(Event::InstantWait);
        return Ok(());
    }
    // SAFETY: null, or a time.
    let until = until(unsafe { timeout.as_ref() })?;
    Counters::current().event(Event::SleepingWait);
    if let Some(process) = process {
        // A handler may have interrupted a list of which nothing was handed over yet.
        process.engine.flush();
    }
    if let Some(process) = process
        && let Some(result) = wait_on_own_ring(process, until, || is_any_done(list))
    {
        return result;
    }
    let mut blocks = list.iter().filter_map(|block| block_of(*block));
    match (process, blocks.next(), blocks.next()) {
        (Some(process), Some(block), None) => wait_for_one(process, block, until),
        (process, ..) => wait_for_any(process, list, until),
    }
}

/// Whether a wait that does not sleep sees an end. Not for lists that take long to look through.
fn is_done_soon(process: Option<&Process>, list: &[*const Aiocb]) -> bool {
    const SHORT: usize = 256;
    list.len() <= SHORT && process.is_some_and(|process| process.engine.watch_copies(|| is_any_done(list)))
}

fn block_of<'a>(block: *const Aiocb) -> Option<&'a Aiocb> {
    // SAFETY: null, or a block that the program keeps while it waits for it.
    unsafe { block.as_ref() }
}

/// Whether a wait is over: one of the requests has ended, or there is none at all (rule 33).
fn is_any_done(list: &[*const Aiocb]) -> bool {
    let mut blocks = list.iter().filter_map(|block| block_of(*block)).peekable();
    blocks.peek().is_none() || blocks.any(|block| block.error() != IN_PROGRESS)
}

/// Reads a timeout. Negative seconds are over already; nanoseconds out of range are EINVAL (rules 35–38).
pub(super) fn until(timeout: Option<&libc::timespec>) -> Result<Until, Errno> {
    let Some(timeout) = timeout else { return Ok(Until::Forever) };
    if !(0..NANOSECONDS).contains(&timeout.tv_nsec) {
        return Err(Errno::INVAL);
    }
    let Ok(seconds) = u64::try_from(timeout.tv_sec) else { return Ok(Until::Now) };
    if seconds == 0 && timeout.tv_nsec == 0 {
        return Ok(Until::Now);
    }
    // A time that the clock cannot show is never reached.
    let then = Instant::now().checked_add(Duration::new(seconds, timeout.tv_nsec as u32));
    Ok(then.map_or(Until::Forever, Until::Then))
}

/// Waits on the ring of a lone thread, if the process has one; `None` if not.
pub(super) fn wait_on_own_ring(
    process: &Process,
    until: Until,
    is_done: impl FnMut() -> bool,
) -> Option<Result<(), Errno>> {
    let deadline = match until {
        Until::Forever => None,
        Until::Now => Some(Instant::now()),
        Until::Then(then) => Some(then),
    };
    match process.engine.wait_on_own_ring(deadline, is_done)? {
        OwnWait::Done => Some(Ok(())),
        OwnWait::TimedOut => Some(Err(Errno::AGAIN)),
        OwnWait::Interrupted => Some(Err(Errno::INTR)),
        OwnWait::NotOurs => None,
    }
}

/// Leaves a mark on the request in the block. False if that is not sure to be seen at its end: there is no such request
/// (yet), or it has ended meanwhile, and another thread has put the next one into the block.
fn mark(process: &Process, block: &Aiocb, bits: u32) -> bool {
    let key = block.key();
    let Some(waiters) = process.engine.waiters(key) else { return false };
    waiters.mark(bits);
    // In this order: a new request takes the key away before it is in progress. So if it was in progress, and then has the
    // key still, that was the marked one, which had not published its end when the mark was there.
    block.error() != IN_PROGRESS || block.key() == key
}

fn wait_for_one(process: &Process, block: &Aiocb, until: Until) -> Result<(), Errno> {
    let is_done = || block.error() != IN_PROGRESS;
    wait_on(endings_of(block), until, is_done, || mark(process, block, WAITS_FOR_ONE))
}

fn wait_for_any(process: Option<&Process>, list: &[*const Aiocb], until: Until) -> Result<(), Errno> {
    wait_on(
        &ENDINGS,
        until,
        || is_any_done(list),
        || {
            let mut are_all_marked = true;
            for block in list.iter().filter_map(|block| block_of(*block)) {
                are_all_marked &= process.is_some_and(|process| mark(process, block, WAITS_FOR_ANY));
            }
            are_all_marked
        },
    )
}

/// Sleeps until `is_done`, each time until `endings` changes; `mark` sees to it that it will, and says whether that is sure.
fn wait_on(
    endings: &AtomicU32,
    until: Until,
    is_done: impl Fn() -> bool,
    mark: impl Fn() -> bool,
) -> Result<(), Errno> {
    loop {
        // Read before the mark is left: a request that ends from then on changes it, whatever its block is used for next.
        let before = endings.load(Ordering::SeqCst);
        let is_marked = mark();
        if is_done() {
            return Ok(());
        }
        let (nap, is_nap) = if is_marked { (until, false) } else { until.at_most(NAP) };
        let wait = sleep(endings, before, nap);
        if is_done() {
            return Ok(());
        }
        is_over(if is_nap && wait == Wait::TimedOut { Wait::Woken } else { wait })?;
    }
}

pub(super) fn is_over(wait: Wait) -> Result<(), Errno> {
    match wait {
        Wait::Woken => Ok(()),
        Wait::TimedOut => Err(Errno::AGAIN),
        Wait::Interrupted => Err(Errno::INTR),
    }
}

unsafe extern "C-unwind" {
    /// Acting on a cancellation unwinds the caller.
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
    fn syscall(number: libc::c_long, ...) -> libc::c_long;
}

const PTHREAD_CANCEL_ASYNCHRONOUS: c_int = 1;

/// Sleeps while `word` holds `expected`: the cancellation point of this module. A thread that is cancelled here unwinds;
/// so nothing on the frames up to the program's call has a destructor.
pub(super) fn sleep(word: &AtomicU32, expected: u32, until: Until) -> Wait {
    let deadline = match until {
        Until::Now => return Wait::TimedOut,
        Until::Forever => None,
        Until::Then(then) => match sys::monotonic(then) {
            Some(deadline) => Some(deadline),
            None => return Wait::TimedOut,
        },
    };
    let mut before = 0;
    // SAFETY: the word and the deadline live through the call. Asynchronous cancellation is on for a system call and
    // nothing else.
    let result = unsafe {
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &raw mut before);
        let result = syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            expected,
            deadline.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        );
        pthread_setcanceltype(before, std::ptr::null_mut());
        result
    };
    match result {
        0.. => Wait::Woken,
        _ => match Errno::last().0 {
            libc::ETIMEDOUT => Wait::TimedOut,
            libc::EINTR => Wait::Interrupted,
            _ => Wait::Woken,
        },
    }
}
