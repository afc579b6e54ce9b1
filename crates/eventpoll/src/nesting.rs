//! Event polls in event polls: no circles, no chains of more than five, no flood of wake-ups (rules 19–21).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::later::Later;
use crate::poll_core::Core;
use crate::source::{Node, Source, SourceRef};
use crate::{Error, Events, Result};

/// How many links a chain of event polls may have.
const MAX_LINKS: usize = 4;

/// How many ways there may be from a source to outermost event polls, by the number of event polls in between. Without
/// any in between, there is no limit.
const MAX_PATHS: [u32; MAX_LINKS + 1] = [u32::MAX, 500, 100, 50, 10];

/// The lock of all links, and what is reachable through the one that is about to be made.
pub(crate) struct Links<'a> {
    below: &'a [Arc<Node>],
    _alone: lock::Guard,
}

#[cfg(feature = "std")]
mod lock {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    pub(super) type Guard = MutexGuard<'static, ()>;

    pub(super) fn lock() -> Guard {
        // loom has no statics; its models link no event polls at the same time.
        static LINKS: Mutex<()> = Mutex::new(());
        LINKS.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(feature = "std"))]
mod lock {
    use spin::mutex::{SpinMutex, SpinMutexGuard};

    pub(super) type Guard = SpinMutexGuard<'static, ()>;

    pub(super) fn lock() -> Guard {
        static LINKS: SpinMutex<()> = SpinMutex::new(());
        LINKS.lock()
    }
}

impl<'a> Links<'a> {
    /// Whether `outer` may watch `source`. If so, nobody else makes links as long as the result lives.
    /// What is reachable goes to `below`, which is to be dropped when nothing is locked any more.
    pub(crate) fn check(outer: &Core, source: SourceRef<'_>, below: &'a mut Vec<Arc<Node>>) -> Result<Self> {
        let alone = lock::lock();
        if let Some(inner) = source.hub().poll() {
            let mut walk = Downward { from: outer, seen: BTreeMap::new(), below };
            let links_below = walk.links(inner, 0).ok_or(Error::Loop)?;
            let above = links_above(outer, &mut BTreeMap::new());
            if links_below + 1 + above > MAX_LINKS {
                return Err(Error::Loop);
            }
        } else {
            below.push(source.share());
        }
        Ok(Self { below, _alone: alone })
    }

    /// Whether now, with the new link, a source has more ways upward than it may.
    pub(crate) fn too_many_paths(&self) -> bool {
        let mut sources = self.below.iter().filter(|source| source.hub.poll().is_none());
        sources.any(|source| !within_limits(&watching(source), 0, &mut [0; MAX_LINKS + 1]))
    }
}

fn address(core: &Core) -> usize {
    core::ptr::from_ref(core).addr()
}

struct Downward<'a> {
    from: &'a Core,
    seen: BTreeMap<usize, usize>,
    /// All that was reached, event polls too.
    below: &'a mut Vec<Arc<Node>>,
}

impl Downward<'_> {
    /// The longest chain of links below an event poll. `None` if it leads back to where it begins, or is too long.
    fn links(&mut self, core: &Arc<Core>, depth: usize) -> Option<usize> {
        if let Some(links) = self.seen.get(&address(core)) {
            return Some(*links);
        }
        let first = self.below.len();
        {
            let interests = core.interests.lock();
            let alive = interests.slots.iter().filter(|slot| !slot.item.is_dead());
            self.below.extend(alive.map(|slot| slot.source.clone()));
        }
        self.below.extend(core.finish_closing().into_iter().map(|slot| slot.source));
        let mut longest = 0;
        for place in first..self.below.len() {
            let source = self.below[place].clone();
            let Some(inner) = source.hub.poll() else { continue };
            if core::ptr::eq(&**inner, self.from) || depth > MAX_LINKS {
                return None;
            }
            longest = longest.max(self.links(inner, depth + 1)? + 1);
            if longest > MAX_LINKS {
                return None;
            }
        }
        self.seen.insert(address(core), longest);
        Some(longest)
    }
}

/// The longest chain of links above an event poll.
fn links_above(core: &Core, seen: &mut BTreeMap<usize, usize>) -> usize {
    if let Some(links) = seen.get(&address(core)) {
        return *links;
    }
    let links = outers(core).iter().map(|outer| links_above(outer, seen) + 1).max().unwrap_or(0);
    seen.insert(address(core), links);
    links
}

/// The event polls that watch this one.
fn outers(core: &Core) -> Vec<Arc<Core>> {
    core.outside.upgrade().map_or_else(Vec::new, |outside| watching(&outside))
}

fn watching(source: &Node) -> Vec<Arc<Core>> {
    source.hub.lock().iter().map(|item| item.core.clone()).collect()
}

fn within_limits(cores: &[Arc<Core>], between: usize, paths: &mut [u32; MAX_LINKS + 1]) -> bool {
    let Some(limit) = MAX_PATHS.get(between) else { return false };
    for core in cores {
        let outers = outers(core);
        if !outers.is_empty() {
            if !within_limits(&outers, between + 1, paths) {
                return false;
            }
        } else {
            paths[between] += 1;
            if paths[between] > *limit {
                return false;
            }
        }
    }
    true
}

/// An event poll as a source.
pub(crate) struct Outside {
    pub(crate) core: Arc<Core>,
}

impl Source for Outside {
    /// For whoever asks without being able to take what is left to be done; event polls ask the core.
    fn level(&self) -> Events {
        let mut later = Later::default();
        let level = self.core.level(&mut later);
        later.run();
        level
    }
}
