//! `io_getevents`: completions are taken from the context's queue, and from the kernel's context behind it.
//!
//! Where enough is there, no system call is made. A thread that has to wait sleeps where the next completion will be seen: in
//! the kernel's context if that has requests in flight, else in the ring of a lone thread, else on the context's word.

use super::abi::{IoEvent, SignalSet};
use super::context::{Bed, Content};
use super::until::Until;
use crate::process::Process;
use onewait::Errno;
use onewait::aio::OwnWait;
use onewait::counters::{Counters, Event};
use onewait::sys::{self, Wait};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a thread sleeps in the kernel if there is no descriptor to wake it by.
const NAP: Duration = Duration::from_millis(5);

/// What a call asks for.
pub(super) struct Wanted {
    min: usize,
    max: usize,
    events: *mut IoEvent,
    timeout: *const libc::timespec,
    /// Null, or the signals that are held back while the call waits.
    mask: *const SignalSet,
}

impl Wanted {
    /// # Errors
    /// EINVAL.
    pub(super) fn new(
        (min, max): (isize, isize),
        events: *mut IoEvent,
        timeout: *const libc::timespec,
        mask: *const SignalSet,
    ) -> Result<Wanted, Errno> {
        match (usize::try_from(min), usize::try_from(max)) {
            (Ok(min), Ok(max)) if min <= max => Ok(Wanted { min, max, events, timeout, mask }),
            _ => Err(Errno::INVAL),
        }
    }
}

/// Takes completions: how many.
///
/// # Errors
/// EINVAL if the context is destroyed meanwhile; EINTR if a signal came before there was anything to take; EFAULT.
///
/// # Safety
/// So many events can be written, if their address is not null; the timeout is null or a time.
pub(super) unsafe fn reap(process: &Process, context: &Content, wanted: &Wanted) -> Result<usize, Errno> {
    let mut taken = Taken { context, wanted, count: 0 };
    taken.take_queued()?;
    // Only then: what the ring of a lone thread has posted costs a system call, and comes all at once.
    if context.is_in_engine() && (!taken.is_enough() || taken.count == 0) {
        process.engine.poll();
        taken.take_queued()?;
    }
    if !taken.is_enough() && context.is_in_engine() {
        process.engine.watch_copies(|| taken.take_queued().is_err() || taken.is_enough());
    }
    let is_enough = taken.is_enough();
    // SAFETY: by contract.
    let until = if is_enough { Until::Now } else { Until::of(unsafe { wanted.timeout.as_ref() }) };
    if !matches!(until, Until::Now) {
        return taken.wait(process, until);
    }
    if taken.count < wanted.max && context.direct.has_news() {
        taken.take_from_kernel()?;
    }
    if is_enough {
        Counters::current().event(Event::InstantWait);
    }
    Ok(taken.end())
}

/// Whether there is nothing to be taken now.
pub(super) fn is_empty(process: &Process, context: &Content) -> bool {
    if context.is_in_engine() {
        process.engine.poll();
    }
    !context.queue.is_filled() && !context.direct.has_news()
}

/// What was taken so far.
struct Taken<'a> {
    context: &'a Content,
    wanted: &'a Wanted,
    count: usize,
}

/// What came of a sleep.
enum Slept {
    /// Something may have come.
    Woken,
    /// The time is over.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
}

impl Taken<'_> {
    fn is_enough(&self) -> bool {
        self.count >= self.wanted.min
    }

    /// The places that are left, and how many.
    fn rest(&self) -> (*mut IoEvent, usize) {
        (self.wanted.events.wrapping_add(self.count), self.wanted.max - self.count)
    }

    /// Takes what is in the queue.
    fn take_queued(&mut self) -> Result<(), Errno> {
        let (events, room) = self.rest();
        if self.wanted.events.is_null() {
            let is_lost = room > 0 && self.context.queue.is_filled();
            return if is_lost { Err(Errno(libc::EFAULT)) } else { Ok(()) };
        }
        // SAFETY: by the contract of `reap`.
        self.count += unsafe { self.context.queue.take(events, room) };
        Ok(())
    }

    /// Takes what the kernel has, without waiting. What was taken before counts more than an error.
    fn take_from_kernel(&mut self) -> Result<(), Errno> {
        const NOW: libc::timespec = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let Some(kernel) = self.context.direct.existing() else { return Ok(()) };
        let (events, room) = self.rest();
        // SAFETY: by the contract of `reap`.
        match unsafe { self.context.direct.reap(kernel, (0, room), events, &NOW, ptr::null()) } {
            Ok(reaped) => self.count += reaped.real,
            Err(errno) if self.count == 0 => return Err(errno),
            Err(_) => {}
        }
        Ok(())
    }

    /// The call is over: what is left is for others who may have gone without.
    fn end(&self) -> usize {
        let context = self.context;
        if (context.has_sleepers(Bed::Word) || context.has_sleepers(Bed::Kernel)) && context.queue.is_filled() {
            context.announce();
        }
        self.count
    }

    /// Sleeps and takes until there is enough.
    fn wait(mut self, process: &Process, until: Until) -> Result<usize, Errno> {
        Counters::current().event(Event::SleepingWait);
        if !self.wanted.mask.is_null() {
            // The ring of a lone thread is no place to sleep in with a mask: its requests come by the engine's thread then.
            process.engine.before_second_thread();
        }
        loop {
            let slept = match self.bed() {
                Some(kernel) => self.sleep_in_kernel(kernel, until)?,
                None => match self.sleep_in_ring(process, until) {
                    Some(slept) => slept,
                    None => self.sleep_on_word(until),
                },
            };
            self.take_queued()?;
            if self.is_enough() {
                return Ok(self.end());
            }
            match slept {
                _ if self.count > 0 && self.is_over() => return Ok(self.end()),
                _ if self.is_over() => return Err(Errno::INVAL),
                Slept::Woken => {}
                Slept::Interrupted if self.count == 0 => return Err(Errno::INTR),
                Slept::TimedOut | Slept::Interrupted => return Ok(self.end()),
            }
        }
    }

    /// Whether the context is being destroyed.
    fn is_over(&self) -> bool {
        self.context.is_dead.load(Ordering::SeqCst)
    }

    /// The kernel's context, if that is where to sleep.
    fn bed(&self) -> Option<usize> {
        let direct = &self.context.direct;
        if self.wanted.mask.is_null() {
            direct.existing().filter(|_| direct.is_busy())
        } else {
            // Only the kernel changes the mask and sleeps in one.
            direct.context(self.context.asked, self.context.registry)
        }
    }

    fn sleep_in_kernel(&mut self, kernel: usize, until: Until) -> Result<Slept, Errno> {
        let direct = &self.context.direct;
        let is_alone = direct.is_alone();
        let min = if is_alone { self.wanted.min - self.count } else { 1 };
        if direct.available().is_some_and(|available| available >= min) {
            self.take_from_kernel()?;
            return Ok(Slept::Woken);
        }
        direct.want(min);
        self.context.lie_down(Bed::Kernel);
        let is_changed = direct.is_alone() != is_alone || self.context.queue.is_filled() || self.is_over();
        if is_changed || (!direct.is_busy() && self.wanted.mask.is_null()) {
            self.context.get_up(Bed::Kernel);
            return Ok(Slept::Woken);
        }
        // What cannot be woken looks again by itself.
        let is_nap = self.context.registry.ready().is_none();
        let left = if is_nap { until.at_most(NAP).left() } else { until.left() };
        let timeout = left.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (events, room) = self.rest();
        // SAFETY: by the contract of `reap`.
        let reaped = unsafe { direct.reap(kernel, (min, room), events, timeout, self.wanted.mask) };
        self.context.get_up(Bed::Kernel);
        match reaped {
            Ok(reaped) => {
                self.count += reaped.real;
                Ok(match () {
                    () if reaped.all >= min => Slept::Woken,
                    () if until.is_over() => Slept::TimedOut,
                    () if is_nap => Slept::Woken,
                    () => Slept::Interrupted,
                })
            }
            Err(Errno::INTR) => Ok(Slept::Interrupted),
            // Destroyed under our feet: the caller sees to that.
            Err(Errno::INVAL) if self.is_over() => Ok(Slept::Woken),
            Err(errno) if self.count == 0 => Err(errno),
            Err(_) => Ok(Slept::Interrupted),
        }
    }

    /// Sleeps in the ring of a lone thread, if the process has one.
    fn sleep_in_ring(&mut self, process: &Process, until: Until) -> Option<Slept> {
        let mut failed = false;
        let is_done = || {
            failed = self.take_queued().is_err();
            failed || self.is_enough() || self.is_over()
        };
        Some(match process.engine.wait_on_own_ring(until.deadline(), is_done)? {
            OwnWait::Done => Slept::Woken,
            OwnWait::TimedOut => Slept::TimedOut,
            OwnWait::Interrupted => Slept::Interrupted,
            OwnWait::NotOurs => return None,
        })
    }

    fn sleep_on_word(&self, until: Until) -> Slept {
        let word = &self.context.word;
        let seen = word.load(Ordering::SeqCst);
        self.context.lie_down(Bed::Word);
        let must_look = self.context.queue.is_filled() || self.context.direct.is_busy() || self.is_over();
        // With a deadline always, if need be a far one: without, a sleep goes on after a handler that has SA_RESTART.
        let wait = if must_look { Wait::Woken } else { sys::futex_wait(word, seen, Some(&until.on_monotonic_clock())) };
        self.context.get_up(Bed::Word);
        match wait {
            Wait::Woken => Slept::Woken,
            Wait::TimedOut => Slept::TimedOut,
            Wait::Interrupted => Slept::Interrupted,
        }
    }
}
