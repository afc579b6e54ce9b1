//! Sources of the process: an event poll for each class of them.

use super::class::Class;
use super::doorbell::Doorbell;
use eventpoll::{AsSource, Error, EventPoll, Interest, Ready, Result, Ring, Waker};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The sources that a reactor watches.
pub(super) struct Sources {
    normal: EventPoll,
    /// Made when the first urgent one is watched.
    urgent: OnceLock<EventPoll>,
    doorbell: Arc<Doorbell>,
}

impl Sources {
    pub(super) fn new(doorbell: Arc<Doorbell>) -> Sources {
        Sources { normal: EventPoll::new(), urgent: OnceLock::new(), doorbell }
    }

    pub(super) fn normal(&self) -> &EventPoll {
        &self.normal
    }

    /// `None` if there never was an urgent one.
    #[inline]
    pub(super) fn urgent(&self) -> Option<&EventPoll> {
        self.urgent.get()
    }

    pub(super) fn waker(&self) -> Waker {
        self.normal.waker()
    }

    /// # Errors
    /// Those of [`EventPoll::add`]; EEXIST also if it is watched in the other class.
    pub(super) fn add(
        &self,
        source: &(impl AsSource + ?Sized),
        interest: Interest,
        token: u64,
        class: Class,
    ) -> Result<()> {
        let own = match class {
            Class::Normal => &self.normal,
            Class::Urgent => self.begin_urgent(),
        };
        if self.is_in_other(source, class)? {
            return Err(Error::Exists);
        }
        own.add(source, interest, token)?;
        // No lock: levels are the user's code, which may come here. Who adds it to the other class meanwhile looks, too,
        // after it has added; the later one of both sees the other's.
        if self.is_in_other(source, class)? {
            own.delete(source)?;
            return Err(Error::Exists);
        }
        Ok(())
    }

    /// # Errors
    /// Those of [`EventPoll::modify`].
    pub(super) fn modify(&self, source: &(impl AsSource + ?Sized), interest: Interest, token: u64) -> Result<()> {
        match (self.normal.modify(source, interest, token), self.urgent.get()) {
            (Err(Error::NotFound), Some(urgent)) => urgent.modify(source, interest, token),
            (result, _) => result,
        }
    }

    /// # Errors
    /// Those of [`EventPoll::delete`].
    pub(super) fn delete(&self, source: &(impl AsSource + ?Sized)) -> Result<()> {
        match (self.normal.delete(source), self.urgent.get()) {
            (Err(Error::NotFound), Some(urgent)) => urgent.delete(source),
            (result, _) => result,
        }
    }

    /// # Errors
    /// Those of [`EventPoll::wait`].
    pub(super) fn take(&self, out: &mut [Ready], class: Class) -> Result<usize> {
        match (class, self.urgent.get()) {
            _ if out.is_empty() => Ok(0),
            (Class::Normal, _) => self.normal.wait(out, Some(Duration::ZERO)),
            (Class::Urgent, None) => Ok(0),
            (Class::Urgent, Some(urgent)) => urgent.wait(out, Some(Duration::ZERO)),
        }
    }

    fn begin_urgent(&self) -> &EventPoll {
        let mut is_new = false;
        let urgent = self.urgent.get_or_init(|| {
            is_new = true;
            EventPoll::new()
        });
        if is_new {
            // A reactor that sleeps knows nothing of it, and so has no bell there.
            self.doorbell.ring();
        }
        urgent
    }

    fn is_in_other(&self, source: &(impl AsSource + ?Sized), class: Class) -> Result<bool> {
        match class {
            Class::Normal => self.urgent.get().map_or(Ok(false), |urgent| urgent.contains(source)),
            Class::Urgent => self.normal.contains(source),
        }
    }
}
