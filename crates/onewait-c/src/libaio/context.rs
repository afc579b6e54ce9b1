//! A context: what `io_setup` makes, requests are submitted to, and completions are taken from.
//!
//! The memory of a context is never given back, only reused, so that a thread may look at one that another thread destroys.
//! What it finds is its business only if it could take a reference ([`Held`]): while somebody has one, the content stays.

use super::abi::IoEvent;
use super::direct::Direct;
use super::queue::Queue;
use super::registry::Registry;
use super::vectors::UsedVectors;
use onewait::aio::Key;
use onewait::sys;
use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// A place for a context.
#[repr(align(128))]
pub(super) struct Context {
    /// References: one of the program's, until it destroys the context, one for each thread that is inside a call, and one
    /// for each request in the engine. At 0 there is no content that anybody could use.
    references: AtomicU32,
    /// The next one in the list of places that are free again; for the registry.
    pub(super) next: AtomicPtr<Context>,
    content: UnsafeCell<Option<Content>>,
}

// SAFETY: the content is changed while there are no references (by the registry, which then owns the place alone), and
// shared while there are; it is `Sync` itself.
unsafe impl Sync for Context {}

/// What a context consists of while it exists.
pub(super) struct Content {
    pub(super) registry: &'static Registry,
    /// What the program knows it by.
    pub(super) handle: usize,
    /// What the program asked for: so much counts against the system's limit.
    pub(super) asked: u32,
    /// So many requests may be submitted and not yet taken as completions.
    limit: u32,
    pub(super) queue: Queue,
    /// Requests that were let in, of those that end in `queue`.
    admitted: AtomicU64,
    /// Requests in the engine. Sequentially consistent, with `is_dead`: a submitter counts first and then looks whether the
    /// context is being destroyed; who destroys it says so first and then waits for the count.
    in_engine: AtomicU32,
    pub(super) is_dead: AtomicBool,
    /// Threads that sleep: those on `word` in the lower half, those in the kernel's AIO in the upper.
    sleepers: AtomicU32,
    /// Changes when sleepers have to look again.
    pub(super) word: AtomicU32,
    /// The kernel's context behind this one.
    pub(super) direct: Direct,
    /// Requests that can be cancelled, by the address of their control blocks. Locked with signals held back.
    pub(super) cancellable: Mutex<HashMap<u64, Key>>,
    pub(super) used_vectors: UsedVectors,
}

/// Where a thread sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bed {
    /// On the context's word, or in the ring of a lone thread.
    Word,
    /// In the kernel's AIO.
    Kernel,
}

impl Bed {
    const fn unit(self) -> u32 {
        match self {
            Bed::Word => 1,
            Bed::Kernel => 1 << 16,
        }
    }
}

impl Context {
    /// A place without a context.
    pub(super) const fn empty() -> Context {
        Context {
            references: AtomicU32::new(0),
            next: AtomicPtr::new(std::ptr::null_mut()),
            content: UnsafeCell::new(None),
        }
    }

    /// Puts a context into an empty place; the reference is the program's.
    ///
    /// # Safety
    /// The place is the caller's alone: it has no references, and is in no list.
    pub(super) unsafe fn fill(&self, content: Content) {
        // SAFETY: nobody else may touch the content now, by contract; what was there before goes.
        unsafe { *self.content.get() = Some(content) };
        self.references.store(1, Ordering::Release);
    }

    /// A reference, if there still is a context here.
    #[inline]
    pub(super) fn hold(&'static self) -> Option<Held> {
        let mut references = self.references.load(Ordering::Relaxed);
        loop {
            if references == 0 {
                return None;
            }
            let more = references + 1;
            match self.references.compare_exchange_weak(references, more, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Held(self)),
                Err(now) => references = now,
            }
        }
    }

    /// Gives up the program's own reference. For the one who destroys the context.
    pub(super) fn let_go(&'static self) {
        drop(Held(self));
    }
}

/// A reference to a context. Giving it up frees no memory, so it may be done in a signal handler.
pub(super) struct Held(&'static Context);

impl Held {
    /// Where the context is.
    pub(super) fn place(&self) -> &'static Context {
        self.0
    }

    /// Whether no other thread is inside a call on the context. For the one who destroys it, beside whom there are the
    /// program's reference and those of requests.
    pub(super) fn is_only_caller(&self) -> bool {
        let requests = self.in_engine.load(Ordering::SeqCst);
        self.0.references.load(Ordering::SeqCst) <= requests + 2
    }
}

impl Clone for Held {
    fn clone(&self) -> Held {
        self.0.references.fetch_add(1, Ordering::Relaxed);
        Held(self.0)
    }
}

impl Deref for Held {
    type Target = Content;

    #[inline]
    fn deref(&self) -> &Content {
        // SAFETY: there is content while there is a reference, and it is only shared then.
        match unsafe { &*self.0.content.get() } {
            Some(content) => content,
            None => unreachable!("a context without content was referred to"),
        }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if self.0.references.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.registry.recycle(self.0);
        }
    }
}

impl Content {
    /// A context for `asked` requests of which `limit` are let in. `None` if memory is short.
    pub(super) fn new(registry: &'static Registry, handle: usize, asked: u32, limit: u32) -> Option<Content> {
        Some(Content {
            registry,
            handle,
            asked,
            limit,
            queue: Queue::new(limit)?,
            admitted: AtomicU64::new(0),
            in_engine: AtomicU32::new(0),
            is_dead: AtomicBool::new(false),
            sleepers: AtomicU32::new(0),
            word: AtomicU32::new(0),
            direct: Direct::new(),
            cancellable: Mutex::default(),
            used_vectors: UsedVectors::default(),
        })
    }

    /// The most requests in flight.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Lets a request in, if the limit allows.
    #[inline]
    pub(super) fn admit(&self) -> bool {
        let mut admitted = self.admitted.load(Ordering::Relaxed);
        loop {
            let in_flight = admitted.saturating_sub(self.queue.taken());
            if in_flight >= u64::from(self.limit) {
                return false;
            }
            let more = admitted + 1;
            match self.admitted.compare_exchange_weak(admitted, more, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => admitted = now,
            }
        }
    }

    /// A request that was let in has come to nothing.
    pub(super) fn dismiss(&self) {
        self.admitted.fetch_sub(1, Ordering::AcqRel);
    }

    /// A request goes into the engine. False if the context is being destroyed: then it must not.
    pub(super) fn enter_engine(&self) -> bool {
        self.in_engine.fetch_add(1, Ordering::SeqCst);
        let may_enter = !self.is_dead.load(Ordering::SeqCst);
        if !may_enter {
            self.leave_engine();
        }
        may_enter
    }

    /// A request has left the engine.
    pub(super) fn leave_engine(&self) {
        if self.in_engine.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_dead.load(Ordering::SeqCst) {
            sys::futex_wake(self.in_engine.as_ptr() as usize, i32::MAX);
        }
    }

    /// Whether any request is in the engine.
    #[inline]
    pub(super) fn is_in_engine(&self) -> bool {
        self.in_engine.load(Ordering::Relaxed) != 0
    }

    /// How many requests are in the engine; the word to sleep on while the context is destroyed.
    pub(super) fn in_engine(&self) -> &AtomicU32 {
        &self.in_engine
    }

    /// A thread is about to sleep: it has to look once more after this. (See [`Content::announce`].)
    pub(super) fn lie_down(&self, bed: Bed) {
        self.sleepers.fetch_add(bed.unit(), Ordering::SeqCst);
    }

    /// The thread is up again.
    pub(super) fn get_up(&self, bed: Bed) {
        self.sleepers.fetch_sub(bed.unit(), Ordering::SeqCst);
    }

    /// Whether a thread sleeps there.
    pub(super) fn has_sleepers(&self, bed: Bed) -> bool {
        let sleepers = self.sleepers.load(Ordering::SeqCst);
        match bed {
            Bed::Word => sleepers & 0xffff != 0,
            Bed::Kernel => sleepers >> 16 != 0,
        }
    }

    /// Wakes those who sleep, after events were put into the queue. Either they see the events when they look once more, or
    /// we see them asleep: they say that they sleep and look in sequentially consistent order, and here a fence stands
    /// between the two.
    #[inline]
    pub(super) fn announce(&self) {
        fence(Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) != 0 {
            self.wake();
        }
    }

    /// Wakes those who sleep on the word, so that they look where to sleep now.
    pub(super) fn rouse(&self) {
        if self.has_sleepers(Bed::Word) {
            self.word.fetch_add(1, Ordering::SeqCst);
            sys::futex_wake(self.word.as_ptr() as usize, i32::MAX);
        }
    }

    /// Wakes all who sleep.
    #[cold]
    pub(super) fn wake(&self) {
        self.rouse();
        if self.has_sleepers(Bed::Kernel)
            && let Some(ready) = self.registry.ready()
        {
            self.direct.kick(ready);
        }
    }

    /// Puts a completion into the queue; [`Content::announce`] has to follow.
    #[inline]
    pub(super) fn complete(&self, data: u64, object: u64, result: i64) {
        self.queue.push(IoEvent { data, object, result, result2: 0 });
    }
}
