//! The event poll itself: the face of it all.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::bell::{Bell, Ring};
use crate::interests::Interests;
use crate::later::Later;
use crate::nesting::Outside;
use crate::park::{Parking, Place};
use crate::poll_core::Core;
use crate::source::{AsSource, Node, SourceRef, Watched};
use crate::watch::Watch;
use crate::{Events, Interest, Ready, Result, Waker};

/// A set of watched sources, and the one place to wait for all of them.
///
/// All calls may be made from any thread at any time, also while others wait; share it by `Arc` or by reference.
/// Dropping it removes its items. See the [crate's page](crate) for a complete loop.
pub struct EventPoll {
    outside: Watched<Outside>,
    /// The outside has it too, but further away.
    core: Arc<Core>,
}

impl EventPoll {
    /// An event poll whose waiters sleep on a futex.
    #[cfg(all(feature = "std", not(loom)))]
    #[must_use]
    pub fn new() -> Self {
        Self::with_place(Place::Futex)
    }

    /// An event poll whose waiters sleep as `parking` says.
    #[must_use]
    pub fn with_parking(parking: &'static dyn Parking) -> Self {
        Self::with_place(Place::Own(parking))
    }

    fn with_place(place: Place) -> Self {
        let outside = Watched::of_poll(|outside: &Weak<Node<Outside>>| {
            let outside = outside.clone();
            let core = Arc::new(Core::new(place, outside));
            (core.clone(), Outside { core })
        });
        let core = outside.core.clone();
        Self { outside, core }
    }

    /// Lets the event poll have at most this many items (rule 14); those that it has it keeps. At first there is no limit
    /// but that of 32 bits.
    pub fn set_limit(&self, items: usize) {
        self.core.set_limit(items);
    }

    /// Watches a source. If it is ready, it is reported by the next wait, whatever the trigger.
    ///
    /// Errors: [`Invalid`](crate::Error::Invalid) for an event poll in itself, for a use of `EXCLUSIVE` that rules 16 and
    /// 18 exclude, and for too many ways from a source to outer event polls (rule 21); [`Loop`](crate::Error::Loop) (rules
    /// 19, 20); [`Exists`](crate::Error::Exists) (rule 10); [`NoSpace`](crate::Error::NoSpace) (rule 14);
    /// [`Closed`](crate::Error::Closed); [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn add(&self, source: &(impl AsSource + ?Sized), interest: Interest, token: u64) -> Result<()> {
        self.core.add(source.as_source(), interest, token)
    }

    /// Changes what is watched and the token, which also an event that waits to be reported gets (rule 13). If the source
    /// is ready, it is reported by the next wait, whatever the trigger (rules 33, 36).
    ///
    /// Errors: [`Invalid`](crate::Error::Invalid) if `EXCLUSIVE` is in the interest or was in that of `add` (rule 17);
    /// [`NotFound`](crate::Error::NotFound) (rule 10); [`Closed`](crate::Error::Closed);
    /// [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn modify(&self, source: &(impl AsSource + ?Sized), interest: Interest, token: u64) -> Result<()> {
        self.core.modify(source.as_source(), interest, token)
    }

    /// Watches a source no more. What waited to be reported is not reported (rule 32), but another thread may still have
    /// an event in its hands that it got before (rule 70).
    ///
    /// Errors: [`NotFound`](crate::Error::NotFound) (rule 10); [`Closed`](crate::Error::Closed);
    /// [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn delete(&self, source: &(impl AsSource + ?Sized)) -> Result<()> {
        self.core.delete(source.as_source())
    }

    /// Waits until there is something to report, at most for `timeout` (`None`: for ever), and writes up to `out.len()`
    /// events to the beginning of `out`. Returns their number; 0 only when the time is over. Never returns early, and with
    /// a timeout of zero does not sleep (rule 52).
    ///
    /// Errors: [`Invalid`](crate::Error::Invalid) if `out` is empty (rule 48); [`Interrupted`](crate::Error::Interrupted)
    /// by a [`Waker`] or, with the futex, by a handled signal (rule 55); [`Closed`](crate::Error::Closed);
    /// [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    ///
    /// One deviation from rule 55: the kernel's wait also fails with EINTR when its process was stopped and goes on
    /// (SIGSTOP, SIGCONT); this one waits on.
    #[inline]
    pub fn wait(&self, out: &mut [Ready], timeout: Option<Duration>) -> Result<usize> {
        let max = out.len();
        let mut places = out.iter_mut();
        self.core.wait(max, timeout, |ready| match places.next() {
            Some(place) => {
                *place = ready;
                true
            }
            None => false,
        })
    }

    /// As [`wait`](Self::wait), but gives up to `max` events to `store`, which may say `false`: it could not be stored.
    /// That event and those behind it stay as they are. If it was the first, the error is
    /// [`Fault`](crate::Error::Fault) (rule 50).
    ///
    /// `store` is called with the event poll locked; for it the same holds as for
    /// [`Source::level`](crate::Source::level).
    pub fn wait_with(&self, max: usize, timeout: Option<Duration>, store: impl FnMut(Ready) -> bool) -> Result<usize> {
        self.core.wait(max, timeout, store)
    }

    /// Whether a wait would report something: `IN | RDNORM`, or nothing. Drops what is queued but not ready, and consumes
    /// no edge (rule 22). Nothing if it is closed, or inside a source's level.
    #[must_use]
    pub fn poll(&self) -> Events {
        let look = |interests: &mut Interests, later: &mut Later| Ok(self.core.look(interests, later));
        self.core.locked(look).unwrap_or(Events::empty())
    }

    /// Something that ends a wait from any thread, and from signal handlers.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker { core: self.core.clone() }
    }

    /// Something that tells a thread which sleeps elsewhere, in a system call of its own or in another loop, that it is
    /// time to come back and wait here. See [`Bell`].
    #[must_use]
    pub fn bell(&self, ring: Arc<dyn Ring>) -> Bell {
        Bell::new(self.core.clone(), ring)
    }

    /// Ends it for all threads: removes all items, and makes the waits under way and all later calls fail with
    /// [`Closed`](crate::Error::Closed). The kernel has no such call; it lets waiters sleep (rule 47).
    ///
    /// Inside a source's level it waits for nobody: then whoever is inside this event poll at the moment removes the items
    /// on leaving, or else the next call does, at the latest the drop.
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether a source is watched.
    ///
    /// Errors: [`Closed`](crate::Error::Closed); [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn contains(&self, source: &(impl AsSource + ?Sized)) -> Result<bool> {
        let source = source.as_source();
        self.core.locked(|interests, _| Ok(interests.find(source.hub()).is_some()))
    }

    /// How many sources are watched.
    ///
    /// Errors: [`Closed`](crate::Error::Closed); [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn len(&self) -> Result<usize> {
        self.core.count()
    }

    /// Whether no source is watched.
    ///
    /// Errors: as [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        self.len().map(|items| items == 0)
    }

    /// All items, in no particular order: what is watched, what is ready and why, what was counted. Asks every source
    /// for its level.
    ///
    /// Errors: [`Closed`](crate::Error::Closed); [`Deadlock`](crate::Error::Deadlock) inside a source's level.
    pub fn watches(&self) -> Result<Vec<Watch>> {
        self.core.watches()
    }
}

#[cfg(all(feature = "std", not(loom)))]
impl Default for EventPoll {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for EventPoll {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl AsSource for EventPoll {
    fn as_source(&self) -> SourceRef<'_> {
        self.outside.as_source()
    }
}

impl fmt::Debug for EventPoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventPoll").field("id", &self.outside.id()).finish_non_exhaustive()
    }
}
