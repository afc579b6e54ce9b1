//! The kernel's context behind one of ours: for files that are open with O_DIRECT.
//!
//! There native AIO is what it should be: asynchronous, and as fast as the disk. So the program's own control blocks go to
//! the kernel untouched, many by one system call. The kernel's context is made when the first one comes.
//!
//! A thread that waits for completions sleeps in the kernel's context while anything is in flight there. What completes
//! elsewhere meanwhile wakes it by a *kick*: a request that is done at once, and whose event no program sees.

use super::abi::{IoEvent, Iocb, SignalSet, command};
use super::kernel::{self, Handle};
use super::registry::Registry;
use super::watch::Watch;
use onewait::Errno;
use onewait::counters::Counters;
use onewait::sys::{EventFd, MaskedSignals};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

/// No context was asked for yet.
const NONE: Handle = 0;
/// The system has refused one.
const REFUSED: Handle = 1;

/// The address of this is the `data` of kicks.
static KICK: u8 = 0;

/// The head of the ring that the kernel shares with a program (`fs/aio.c`).
#[repr(C)]
struct Ring {
    id: u32,
    nr: u32,
    head: AtomicU32,
    tail: AtomicU32,
    magic: u32,
    _features: [u32; 2],
    _length: u32,
}

/// What the ring's head says if it is what we know.
const RING_MAGIC: u32 = 0xa10a_10a1;

/// Events that the kernel has given.
pub(super) struct Reaped {
    /// With kicks.
    pub(super) all: usize,
    /// Those of the program.
    pub(super) real: usize,
}

/// See the module's page.
pub(super) struct Direct {
    context: AtomicUsize,
    /// Requests that the kernel has and whose events were not taken.
    in_flight: AtomicU64,
    /// Set when a request went another way than to the kernel, for ever.
    is_mixed: AtomicBool,
    /// The most events that a thread that sleeps in the kernel waits for.
    wanted: AtomicU32,
    /// Kicks whose events were not taken.
    kicks: AtomicU32,
    /// Held while the context is made, with signals held back.
    making: Mutex<()>,
    watch: Watch,
}

impl Direct {
    pub(super) fn new() -> Direct {
        Direct {
            context: AtomicUsize::new(NONE),
            in_flight: AtomicU64::new(0),
            is_mixed: AtomicBool::new(false),
            wanted: AtomicU32::new(1),
            kicks: AtomicU32::new(0),
            making: Mutex::new(()),
            watch: Watch::default(),
        }
    }

    /// The kernel's context, if there is one already.
    #[inline]
    pub(super) fn existing(&self) -> Option<Handle> {
        let context = self.context.load(Ordering::Acquire);
        (context != NONE && context != REFUSED).then_some(context)
    }

    /// The kernel's context, made if need be. `None` where the system refuses it.
    #[inline]
    pub(super) fn context(&self, requests: u32, registry: &Registry) -> Option<Handle> {
        match self.context.load(Ordering::Acquire) {
            NONE => self.make(requests, registry),
            REFUSED => None,
            context => Some(context),
        }
    }

    #[cold]
    fn make(&self, requests: u32, registry: &Registry) -> Option<Handle> {
        let _masked = MaskedSignals::new();
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if self.context.load(Ordering::Acquire) == NONE {
            let mut context = NONE;
            let is_made = kernel::setup(requests, &raw mut context).is_ok();
            if is_made {
                registry.in_kernel.fetch_add(u64::from(requests), Ordering::Relaxed);
            }
            self.context.store(if is_made { context } else { REFUSED }, Ordering::Release);
        }
        self.existing()
    }

    /// Gives control blocks to the kernel: how many it took.
    ///
    /// # Errors
    /// What the kernel says to the first one.
    ///
    /// # Safety
    /// As [`kernel::submit`].
    #[inline]
    pub(super) unsafe fn submit(&self, context: Handle, count: usize, list: *const *mut Iocb) -> Result<usize, Errno> {
        // SAFETY: passed on to the caller.
        let noted = Counters::current().is_timed().then(|| unsafe { self.watch.begin(list, count) });
        // Counted first: a thread that looks where to sleep must not overlook what is about to be in flight.
        self.in_flight.fetch_add(count as u64, Ordering::SeqCst);
        // SAFETY: passed on to the caller.
        let submitted = unsafe { kernel::submit(context, count as isize, list) };
        if let Some(noted) = noted {
            self.watch.begun(&noted, submitted.unwrap_or(0));
        }
        let missing = count - submitted.unwrap_or(0);
        if missing > 0 {
            self.in_flight.fetch_sub(missing as u64, Ordering::SeqCst);
        }
        submitted
    }

    /// Whether the kernel has requests whose events were not taken.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) != 0
    }

    /// Whether an event may be there to be taken. No system call.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.existing().is_some() && self.available() != Some(0)
    }

    /// How many events are there to be taken; `None` if the kernel's ring does not tell. No system call.
    #[inline]
    pub(super) fn available(&self) -> Option<usize> {
        let context = self.existing()?;
        // SAFETY: a context of the kernel's is the address of a ring, mapped until the context is destroyed, which waits for
        // us.
        let ring = unsafe { &*(context as *const Ring) };
        if ring.magic != RING_MAGIC {
            return None;
        }
        let (head, tail) = (ring.head.load(Ordering::Acquire), ring.tail.load(Ordering::Acquire));
        let count = if head <= tail { tail - head } else { (ring.nr + tail).saturating_sub(head) };
        Some(count as usize)
    }

    /// From now on requests go other ways, too. Comes before the first one does.
    #[inline]
    pub(super) fn mix(&self) {
        if !self.is_mixed.load(Ordering::Relaxed) {
            self.is_mixed.store(true, Ordering::SeqCst);
        }
    }

    /// Whether the kernel's events are all that can come.
    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        !self.is_mixed.load(Ordering::SeqCst)
    }

    /// A thread is about to sleep in the kernel for so many events.
    pub(super) fn want(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if self.wanted.load(Ordering::Relaxed) < count {
            self.wanted.fetch_max(count, Ordering::SeqCst);
        }
    }

    /// Ends the sleep of the threads in the kernel, where the kernel lets one end. Nothing is done while kicks are
    /// under way, so that its ring has room for the program's events: whoever takes these looks for events, and kicks
    /// again for others.
    pub(super) fn kick(&self, ready: &EventFd) {
        let (Some(context), wanted) = (self.existing(), self.wanted.load(Ordering::SeqCst)) else { return };
        // They are under way if some lie in the ring, too. Those of which there are none were taken by a call that a
        // handler may have interrupted before it counted them.
        let kicks = self.kicks.load(Ordering::SeqCst);
        if kicks != 0 && self.available() != Some(0) {
            return;
        }
        // Kicks that are counted are made: a handler that came in between would count on them, and sleep for ever.
        let _masked = MaskedSignals::new();
        let more = kicks.saturating_add(wanted);
        if self.kicks.compare_exchange(kicks, more, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return;
        }
        let mut block = Iocb {
            data: kick_name(),
            opcode: command::POLL,
            fd: ready.as_raw_fd(),
            buffer: libc::POLLIN as u64,
            ..Iocb::default()
        };
        let list = [&raw mut block; 32];
        let mut left = wanted as usize;
        while left > 0 {
            let count = left.min(list.len());
            // SAFETY: valid entries without buffers, which are done at once.
            match unsafe { kernel::submit(context, count as isize, list.as_ptr()) } {
                Ok(submitted) => left -= submitted,
                // Full: of the program's requests, whose ends are as good as kicks.
                Err(_) => break,
            }
        }
        self.kicks.fetch_sub(left as u32, Ordering::SeqCst);
    }

    /// Takes events from the kernel.
    ///
    /// # Errors
    /// As [`kernel::reap`].
    ///
    /// # Safety
    /// As [`kernel::reap`].
    pub(super) unsafe fn reap(
        &self,
        context: Handle,
        (min, max): (usize, usize),
        events: *mut IoEvent,
        timeout: *const libc::timespec,
        mask: *const SignalSet,
    ) -> Result<Reaped, Errno> {
        // SAFETY: passed on to the caller.
        let all = unsafe { kernel::reap(context, min as isize, max as isize, events, timeout, mask) }?;
        // SAFETY: the kernel has written so many.
        let real = unsafe { self.sift(events, all) };
        if real > 0 {
            if Counters::current().is_timed() {
                // SAFETY: so many are left.
                unsafe { self.watch.ended(events, real) };
            }
            self.in_flight.fetch_sub(real as u64, Ordering::SeqCst);
        }
        Ok(Reaped { all, real })
    }

    /// Takes kicks out of events that the kernel gave: how many others are left.
    ///
    /// # Safety
    /// There are so many events.
    unsafe fn sift(&self, events: *mut IoEvent, count: usize) -> usize {
        if self.kicks.load(Ordering::SeqCst) == 0 {
            return count;
        }
        let mut real = 0;
        for index in 0..count {
            // SAFETY: by contract.
            unsafe {
                let event = *events.add(index);
                if event.data != kick_name() {
                    events.add(real).write(event);
                    real += 1;
                }
            }
        }
        self.kicks.fetch_sub((count - real) as u32, Ordering::SeqCst);
        // What was put into the queue by someone who kept from kicking again is seen from here on.
        fence(Ordering::SeqCst);
        real
    }

    /// Ends the kernel's context, when everything in it has ended.
    pub(super) fn destroy(&self, requests: u32, registry: &Registry) {
        if let Some(context) = self.existing() {
            registry.in_kernel.fetch_sub(u64::from(requests), Ordering::Relaxed);
            self.context.store(REFUSED, Ordering::SeqCst);
            let _ = kernel::destroy(context);
        }
    }
}

fn kick_name() -> u64 {
    &raw const KICK as u64
}
