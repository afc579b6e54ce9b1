//! Which contexts there are, and which of the values that programs pass as contexts name one of ours.
//!
//! A context is known to its program by an address in a range of readable memory that holds nothing but zeros: programs that
//! look for the kernel's ring there find none. Addresses come round again after all others were used, so that a context
//! that was destroyed is not taken for a new one. Looking one up takes no lock: the address's place in the range is an index.

use super::context::{Content, Context, Held};
use super::limits;
use onewait::Errno;
use onewait::sys::{EventFd, MaskedSignals};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// As many contexts as the system lets all processes have, unless somebody has changed `fs.aio-max-nr`.
const PLACES: usize = 1 << 16;
/// Between two addresses: the head of the kernel's ring is half of that.
const STRIDE: usize = 64;

/// The contexts of a process. Never freed.
pub(crate) struct Registry {
    /// The first address.
    base: usize,
    places: &'static [AtomicPtr<Context>],
    /// Where to look for the next free address.
    next: AtomicU32,
    /// What all contexts were asked to hold.
    asked: AtomicU64,
    /// The part of it that the kernel knows of, because there are contexts of its own behind ours.
    pub(super) in_kernel: AtomicU64,
    /// Contexts that nobody uses any more, to be reused: a stack to which everybody pushes.
    spare: AtomicPtr<Context>,
    /// Held, with signals held back, while a context is made. Only its holder takes from `spare`.
    making: Mutex<()>,
    ready: OnceLock<EventFd>,
}

impl Registry {
    /// No contexts yet. `None` if memory is short.
    pub(crate) fn new() -> Option<Registry> {
        let base = map(PLACES * STRIDE, libc::PROT_READ)?;
        let Some(places) = map(PLACES * size_of::<AtomicPtr<Context>>(), libc::PROT_READ | libc::PROT_WRITE) else {
            // SAFETY: just mapped, and known to nobody.
            unsafe { libc::munmap(base, PLACES * STRIDE) };
            return None;
        };
        Some(Registry {
            base: base as usize,
            // SAFETY: so much was mapped, never to be unmapped, and zeros are null pointers.
            places: unsafe { std::slice::from_raw_parts(places.cast(), PLACES) },
            next: AtomicU32::new(0),
            asked: AtomicU64::new(0),
            in_kernel: AtomicU64::new(0),
            spare: AtomicPtr::default(),
            making: Mutex::new(()),
            ready: OnceLock::new(),
        })
    }

    fn place(&self, handle: usize) -> Option<&AtomicPtr<Context>> {
        let distance = handle.wrapping_sub(self.base);
        if !distance.is_multiple_of(STRIDE) {
            return None;
        }
        self.places.get(distance / STRIDE)
    }

    /// The context that a program means; `None` if it is none of ours (any more).
    #[inline]
    pub(super) fn find(&self, handle: usize) -> Option<Held> {
        let place = self.place(handle)?;
        // SAFETY: contexts are never freed.
        let context: &'static Context = unsafe { place.load(Ordering::Acquire).as_ref() }?;
        let held = context.hold()?;
        // Between the two, the context may have been destroyed, and its memory may be another one by now.
        ptr::eq(place.load(Ordering::SeqCst), context).then_some(held)
    }

    /// Makes a context for so many requests: what the program will know it by.
    ///
    /// # Errors
    /// EINVAL, EAGAIN: the limits (`limits.rs`); ENOMEM.
    pub(super) fn make(&'static self, asked: u32) -> Result<usize, Errno> {
        let limit = limits::in_flight(asked)?;
        let _masked = MaskedSignals::new();
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = self.asked.load(Ordering::Relaxed).saturating_sub(self.in_kernel.load(Ordering::Relaxed));
        limits::check_system(asked, unknown)?;
        let index = self.free_index().ok_or(Errno::AGAIN)?;
        let handle = self.base + index * STRIDE;
        let content = Content::new(self, handle, asked, limit).ok_or(Errno(libc::ENOMEM))?;
        let context = self.take_spare().unwrap_or_else(|| Box::leak(Box::new(Context::empty())));
        // SAFETY: new, or taken from the list, to which it came without references.
        unsafe { context.fill(content) };
        self.asked.fetch_add(u64::from(asked), Ordering::Relaxed);
        self.places[index].store(ptr::from_ref(context).cast_mut(), Ordering::Release);
        Ok(handle)
    }

    /// Takes a context out of the table: from now on its handle means nothing. For one caller only; `None` for the others.
    pub(super) fn remove(&self, context: &Held) -> Option<&'static Context> {
        let place = self.place(context.handle)?;
        let known = context.place();
        let removed = place.compare_exchange(
            ptr::from_ref(known).cast_mut(),
            ptr::null_mut(),
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        removed.is_ok().then_some(known)
    }

    /// So many requests count against the system's limit no longer.
    pub(super) fn forget(&self, asked: u32) {
        self.asked.fetch_sub(u64::from(asked), Ordering::Relaxed);
    }

    fn free_index(&self) -> Option<usize> {
        let first = self.next.load(Ordering::Relaxed) as usize;
        let index = (first..first + PLACES)
            .map(|index| index % PLACES)
            .find(|index| self.places[*index].load(Ordering::Relaxed).is_null())?;
        self.next.store(index as u32 + 1, Ordering::Relaxed);
        Some(index)
    }

    /// Takes back a context to which nobody refers. Its content goes when the place is used again: this may be a signal
    /// handler, which has no time for that.
    pub(super) fn recycle(&self, context: &'static Context) {
        let fresh = ptr::from_ref(context).cast_mut();
        let mut first = self.spare.load(Ordering::Relaxed);
        loop {
            context.next.store(first, Ordering::Relaxed);
            match self.spare.compare_exchange_weak(first, fresh, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    /// Takes a context for reuse. Only under the lock: with one taker at a time a context cannot come back meanwhile.
    fn take_spare(&self) -> Option<&'static Context> {
        let mut first = self.spare.load(Ordering::Acquire);
        loop {
            // SAFETY: contexts are never freed.
            let context: &'static Context = unsafe { first.as_ref() }?;
            let next = context.next.load(Ordering::Relaxed);
            match self.spare.compare_exchange_weak(first, next, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return Some(context),
                Err(now) => first = now,
            }
        }
    }

    /// A descriptor that always is readable; `None` if there cannot be one now.
    pub(super) fn ready(&self) -> Option<&EventFd> {
        if let Some(ready) = self.ready.get() {
            return Some(ready);
        }
        let _masked = MaskedSignals::new();
        let fresh = EventFd::new().ok()?;
        fresh.signal();
        Some(self.ready.get_or_init(|| fresh))
    }
}

/// Memory of zeros that stays for ever and costs nothing until it is touched.
fn map(size: usize, protection: i32) -> Option<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping where the kernel chooses.
    let address = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    (address != libc::MAP_FAILED).then_some(address)
}
