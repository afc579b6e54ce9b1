//! What can be watched: a state with a current level, and the place where its watchers hang.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use smallvec::SmallVec;

use crate::item::Item;
use crate::later::Later;
use crate::poll_core::Core;
use crate::sync::{ShortGuard, ShortLock};
use crate::waiters::Wakes;
use crate::{Events, Interest};

/// A state that can become ready. Put it into a [`Watched`], which gives it an id and watchers.
///
/// The page [bring your own source](crate::bring_your_own_source) goes through it step by step.
pub trait Source: Send + Sync + 'static {
    /// What the source is ready for now.
    ///
    /// Called by `add`, `modify`, `wait` and `poll`, from any thread, with the event poll locked: be quick. It may
    /// notify, and drop sources and event polls; control calls and waits fail in it with
    /// [`Error::Deadlock`](crate::Error::Deadlock). Only the bits that were asked for are used.
    fn level(&self) -> Events;
}

/// The name of a source; never used again in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u64);

impl SourceId {
    fn next() -> Self {
        // 64 bits, where there are atomics of 64 bits, do not run out. Not loom's: it has no statics.
        static LAST: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
        Self(LAST.fetch_add(1, core::sync::atomic::Ordering::Relaxed) + 1)
    }

    /// As a number, for logs and maps.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

type Items = SmallVec<[Arc<Item>; 1]>;

/// Where watchers hang.
pub(crate) struct Hub {
    id: SourceId,
    /// In the reverse of the order in which they are notified, so that the usual one is added at the end: exclusive
    /// ones, the newest first, then the others, the newest last (rule 30).
    watchers: ShortLock<Items>,
    /// The event poll that this is the outside of, if it is one. A circle of nothing: that has a weak reference here.
    poll: Option<Arc<Core>>,
}

impl Hub {
    pub(crate) fn id(&self) -> SourceId {
        self.id
    }

    pub(crate) fn poll(&self) -> Option<&Arc<Core>> {
        self.poll.as_ref()
    }

    /// Holds notifications off.
    pub(crate) fn lock(&self) -> ShortGuard<'_, Items> {
        self.watchers.lock()
    }

    pub(crate) fn hang(&self, item: Arc<Item>) {
        let mut watchers = self.watchers.lock();
        let first_of_others = if item.is_exclusive() { 0 } else { watchers.len() };
        watchers.insert(first_of_others, item);
        if let Some(poll) = &self.poll {
            poll.intake.set(crate::intake::WATCHED);
        }
    }

    /// After this no notification is under way to the item. Returns the item, so that it is dropped without the lock.
    pub(crate) fn unhang(&self, item: &Arc<Item>) -> Option<Arc<Item>> {
        let mut watchers = self.watchers.lock();
        let place = watchers.iter().rposition(|other| Arc::ptr_eq(other, item))?;
        let item = watchers.remove(place);
        if let (Some(poll), true) = (&self.poll, watchers.is_empty()) {
            poll.intake.clear(crate::intake::WATCHED);
        }
        Some(item)
    }

    /// Tells the watchers: those that are not exclusive, and of the exclusive ones up to `exclusive` that have a sleeper
    /// (rule 65).
    #[inline]
    pub(crate) fn notify(&self, key: Events, exclusive: usize, wakes: &mut Wakes) {
        let watchers = self.watchers.lock();
        let mut left = exclusive;
        for item in watchers.iter().rev() {
            if item.notify(key, wakes) && item.is_exclusive() {
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
    }

    #[inline]
    fn notify_and_wake(&self, key: Events, exclusive: usize) {
        let mut wakes = Wakes::default();
        self.notify(key, exclusive, &mut wakes);
        wakes.fire();
    }

    /// The source is gone: so are its items, silently (rules 45, 47).
    fn close(&self) {
        let items = core::mem::take(&mut *self.watchers.lock());
        for item in items {
            Core::source_closed(&item);
        }
    }
}

/// A source's hub and its state, as the event polls that watch it share them.
pub(crate) struct Node<S: ?Sized = dyn Source> {
    pub(crate) hub: Hub,
    pub(crate) state: S,
}

impl Node {
    /// The level, as far as `interest` asks for it. An event poll is asked itself, so that it can hand on what it leaves
    /// to be done.
    #[inline]
    pub(crate) fn level(&self, interest: Interest, later: &mut Later) -> Events {
        let level = match self.hub.poll() {
            None => self.state.level(),
            Some(poll) => poll.level(later),
        };
        level.intersection(interest.events())
    }
}

/// A [`Source`] that can be watched: it owns the state, an id that is never used again, and the place where watchers
/// hang.
///
/// It dereferences to the state. Event polls hold it weakly: dropping it removes its items, silently, and drops the state
/// (a bit later if at that moment another thread is inside an event poll that watches it).
pub struct Watched<S: Source> {
    node: Arc<Node<S>>,
}

impl<S: Source> Watched<S> {
    /// Makes a state a source that nobody watches yet.
    pub fn new(state: S) -> Self {
        Self {
            node: Arc::new(Node {
                hub: Hub { id: SourceId::next(), watchers: ShortLock::new(Items::new()), poll: None },
                state,
            }),
        }
    }

    /// The outside of an event poll, which knows it weakly.
    pub(crate) fn of_poll(make: impl FnOnce(&alloc::sync::Weak<Node<S>>) -> (Arc<Core>, S)) -> Self {
        let node = Arc::new_cyclic(|weak| {
            let (core, state) = make(weak);
            Node { hub: Hub { id: SourceId::next(), watchers: ShortLock::new(Items::new()), poll: Some(core) }, state }
        });
        Self { node }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SourceId {
        self.node.hub.id
    }

    /// Says that the level changed, or that there is something new to see at an unchanged one: a new edge.
    ///
    /// `key` says in what; empty says: look at everything. Items that watch none of it are left alone (rule 26). Change
    /// the level first. Of exclusive watchers one that has a sleeper is told (rule 65).
    ///
    /// From any thread, but not from a signal handler. Does not allocate, and waits for nobody but another notification
    /// or registration of the same source. When it returns, the items are queued.
    #[inline]
    pub fn notify(&self, key: Events) {
        self.node.hub.notify_and_wake(key, 1);
    }

    /// As [`notify`](Self::notify), but all exclusive watchers are told: for what concerns everybody, as a hang-up does.
    pub fn notify_all(&self, key: Events) {
        self.node.hub.notify_and_wake(key, usize::MAX);
    }
}

impl<S: Source> Watched<S> {
    /// Something that notifies for this source from elsewhere: the other end of a pipe, a device.
    #[must_use]
    pub fn notifier(&self) -> Notifier {
        Notifier { node: self.node.clone() }
    }
}

/// Notifies for a source that somebody else owns. From [`Watched::notifier`].
///
/// It keeps the state from being dropped, but not its registrations: once the [`Watched`] is gone it has no effect. A
/// state must not have its own.
#[derive(Clone)]
pub struct Notifier {
    node: Arc<Node>,
}

impl Notifier {
    /// See [`Watched::notify`].
    #[inline]
    pub fn notify(&self, key: Events) {
        self.node.hub.notify_and_wake(key, 1);
    }

    /// See [`Watched::notify_all`].
    pub fn notify_all(&self, key: Events) {
        self.node.hub.notify_and_wake(key, usize::MAX);
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notifier").field(&self.node.hub.id).finish()
    }
}

impl<S: Source> Deref for Watched<S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.node.state
    }
}

impl<S: Source> Drop for Watched<S> {
    fn drop(&mut self) {
        self.node.hub.close();
    }
}

impl<S: Source + fmt::Debug> fmt::Debug for Watched<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("id", &self.id()).field("state", &self.node.state).finish()
    }
}

/// What can be given to `add`, `modify` and `delete`: a [`Watched`], or what contains one.
///
/// A type that keeps its `Watched` to itself implements this by passing the call on to it.
pub trait AsSource {
    /// The source.
    fn as_source(&self) -> SourceRef<'_>;
}

/// A source of whatever type.
#[derive(Clone, Copy)]
pub struct SourceRef<'a>(&'a dyn AnyNode);

impl fmt::Debug for SourceRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceRef").field(&self.0.hub().id).finish()
    }
}

impl<'a> SourceRef<'a> {
    /// Its name.
    #[must_use]
    pub fn id(self) -> SourceId {
        self.0.hub().id
    }

    #[inline]
    pub(crate) fn hub(self) -> &'a Hub {
        self.0.hub()
    }

    pub(crate) fn share(self) -> Arc<Node> {
        self.0.share()
    }
}

trait AnyNode {
    fn hub(&self) -> &Hub;
    fn share(&self) -> Arc<Node>;
}

impl<S: Source> AnyNode for Arc<Node<S>> {
    fn hub(&self) -> &Hub {
        &self.hub
    }

    fn share(&self) -> Arc<Node> {
        self.clone()
    }
}

impl<S: Source> AsSource for Watched<S> {
    #[inline]
    fn as_source(&self) -> SourceRef<'_> {
        SourceRef(&self.node)
    }
}

impl<T: AsSource + ?Sized> AsSource for Arc<T> {
    fn as_source(&self) -> SourceRef<'_> {
        (**self).as_source()
    }
}

impl AsSource for SourceRef<'_> {
    fn as_source(&self) -> SourceRef<'_> {
        *self
    }
}

impl<T: AsSource + ?Sized> AsSource for &T {
    fn as_source(&self) -> SourceRef<'_> {
        (**self).as_source()
    }
}
