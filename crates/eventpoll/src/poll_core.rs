//! What an event poll, its items and its wakers share.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::intake::{CLOSED, Intake, SLEEPERS, WATCHED};
use crate::interests::Interests;
use crate::item::Item;
use crate::later::Later;
use crate::park::{Inside, Place};
use crate::slots::Slot;
use crate::source::{Node, SourceRef};
use crate::sync::{AtomicU32, Guard, Lock, Ordering};
use crate::waiters::{Waiters, Wakes};
use crate::{Error, Events, Result};

pub(crate) struct Core {
    pub(crate) intake: Intake,
    pub(crate) waiters: Waiters,
    pub(crate) interests: Lock<Interests>,
    pub(crate) place: Place,
    /// The event poll as a source: those who watch it hang there.
    pub(crate) outside: Weak<Node>,
    limit: AtomicU32,
}

impl Core {
    pub(crate) fn new(place: Place, outside: Weak<Node>) -> Self {
        Self {
            intake: Intake::new(),
            waiters: Waiters::new(),
            interests: Lock::new(Interests::new()),
            place,
            outside,
            limit: AtomicU32::new(u32::MAX),
        }
    }

    /// Above this many items `add` fails.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_limit(&self, items: usize) {
        self.limit.store(u32::try_from(items).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.intake.load() & CLOSED != 0
    }

    pub(crate) fn is(&self, source: SourceRef<'_>) -> bool {
        source.hub().poll().is_some_and(|poll| core::ptr::eq(&**poll, self))
    }

    /// Does something with the interests locked, by a thread that is not inside an event poll already. What it removes
    /// is dropped, and whom it wakes is woken, when nothing is locked any more: both may be the user's code.
    #[inline]
    pub(crate) fn locked<R>(&self, f: impl FnOnce(&mut Interests, &mut Later) -> Result<R>) -> Result<R> {
        let inside = Inside::enter(self.place)?;
        self.locked_inside(inside, f)
    }

    /// As `locked`, by a thread that has been marked.
    #[inline]
    pub(crate) fn locked_inside<R>(
        &self,
        inside: Inside,
        f: impl FnOnce(&mut Interests, &mut Later) -> Result<R>,
    ) -> Result<R> {
        let mut later = Later::default();
        let result = self.with_interests(&mut later, f);
        // Closed by a level that ran in `f`, on this thread, which sees its own change. Of another thread's it may see
        // nothing yet: then who calls next sees to it, or the drop of the event poll, which is still to come.
        if self.is_closed() {
            later.drop_all(self.empty_if_free());
        }
        drop(inside);
        later.run();
        result
    }

    /// The part of it that an outer event poll's scan does too.
    #[inline]
    fn with_interests<R>(
        &self,
        later: &mut Later,
        f: impl FnOnce(&mut Interests, &mut Later) -> Result<R>,
    ) -> Result<R> {
        let mut interests = self.interests.lock();
        let result = if self.is_closed() { Err(Error::Closed) } else { f(&mut interests, later) };
        interests.give_removed(later);
        result
    }

    /// As a source: `IN` and `RDNORM` if a wait would report something (rule 22). Asked by the scan of an outer event
    /// poll, with that one's interests locked.
    pub(crate) fn level(&self, later: &mut Later) -> Events {
        let level = self.with_interests(later, |interests, later| Ok(self.look(interests, later)));
        later.drop_all(self.finish_closing());
        level.unwrap_or(Events::empty())
    }

    /// Whoever had the interests locked without a reference to the [`EventPoll`](crate::EventPoll) itself calls this when
    /// they are free: it may have been dropped meanwhile, in a level, where nobody may wait for the lock.
    ///
    /// `close` sets `CLOSED` and then tries to lock; this comes after the unlock and reads the word by a
    /// read-modify-write. Either that comes after the one of `close`, and sees `CLOSED`; or before, and then the unlock
    /// happened before the lock was tried, so that `close` had it, or somebody who comes here in turn.
    pub(crate) fn finish_closing(&self) -> Vec<Slot> {
        if self.intake.latest() & CLOSED == 0 { Vec::new() } else { self.empty_if_free() }
    }

    /// There is something new to report: rules 25 and 69.
    pub(crate) fn announce(&self, wakes: &mut Wakes) {
        let flags = self.intake.load();
        if flags & SLEEPERS != 0 {
            self.waiters.wake_one(&self.intake, wakes);
        }
        if flags & WATCHED != 0 {
            self.notify_watchers(wakes);
        }
    }

    /// Tells the event polls that watch this one. The key is `IN`, whatever happened inside.
    pub(crate) fn notify_watchers(&self, wakes: &mut Wakes) {
        if let Some(outside) = self.outside.upgrade() {
            outside.hub.notify(Events::IN, 1, wakes);
        }
    }

    /// Removes an item whose source is gone and which hangs nowhere any more: now, if the interests are free, else by
    /// who has them or comes next. Waits for nobody, since the source may have been dropped anywhere.
    pub(crate) fn source_closed(item: &Arc<Item>) {
        let core = &item.core;
        let Some(mut interests) = core.interests.try_lock() else {
            item.bury();
            return;
        };
        let is_there = interests.slots.get(item.slot).is_some_and(|slot| Arc::ptr_eq(&slot.item, item));
        let slot = if is_there { interests.remove(item.slot, &core.intake) } else { None };
        let mut later = Later::default();
        interests.give_removed(&mut later);
        drop(interests);
        later.drop_all(core.finish_closing());
        drop(slot);
        later.run();
    }

    /// The end: removes all items, wakes all waiters, and makes all calls fail.
    pub(crate) fn close(&self) {
        self.intake.set(CLOSED);
        let mut wakes = Wakes::default();
        self.waiters.wake_all(&self.intake, &mut wakes);
        let removed = match Inside::enter(self.place) {
            Ok(inside) => {
                let removed = Self::empty(self.interests.lock());
                drop(inside);
                removed
            }
            // In a source's level: whoever has the interests locked empties them afterwards; see `finish_closing`.
            Err(_) => self.empty_if_free(),
        };
        drop(removed);
        wakes.fire();
    }

    fn empty_if_free(&self) -> Vec<Slot> {
        self.interests.try_lock().map_or_else(Vec::new, Self::empty)
    }

    fn empty(mut interests: Guard<'_, Interests>) -> Vec<Slot> {
        let slots = interests.remove_all();
        drop(interests);
        for slot in &slots {
            slot.source.hub.unhang(&slot.item);
        }
        slots
    }
}
