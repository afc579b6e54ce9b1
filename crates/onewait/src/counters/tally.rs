//! Counts that one thread keeps for itself for a while: plain additions, where the counters that all see are atomic.

use super::{Counters, KINDS, Kind, Route};
use std::sync::atomic::{AtomicU64, Ordering};

/// What has happened since it was last [added](Counters::add).
#[derive(Debug, Default)]
pub(crate) struct Tally {
    submitted: [u64; KINDS],
    completed: [u64; KINDS],
    failed: [u64; KINDS],
    bytes: [u64; KINDS],
    has_any: bool,
}

impl Tally {
    /// As [`Counters::submitted`].
    #[inline]
    pub(crate) fn submitted(&mut self, kind: Kind) {
        self.has_any = true;
        self.submitted[kind as usize] += 1;
    }

    /// As [`Counters::completed`].
    #[inline]
    pub(crate) fn completed(&mut self, kind: Kind, result: i64) {
        self.has_any = true;
        self.completed[kind as usize] += 1;
        if result < 0 {
            self.failed[kind as usize] += 1;
        } else if kind.transfers() {
            self.bytes[kind as usize] += result as u64;
        }
    }
}

impl Counters {
    /// Adds what a thread has counted for itself, all of which went by `route`.
    #[inline]
    pub(crate) fn add(&self, tally: &mut Tally, route: Route) {
        if tally.has_any {
            self.add_all(std::mem::take(tally), route);
        }
    }

    fn add_all(&self, tally: Tally, route: Route) {
        let shard = self.shard();
        shard.routes[route as usize].fetch_add(tally.submitted.iter().sum(), Ordering::Relaxed);
        let pairs = [
            (&shard.submitted, tally.submitted),
            (&shard.completed, tally.completed),
            (&shard.failed, tally.failed),
            (&shard.bytes, tally.bytes),
        ];
        for (all, ours) in pairs {
            all.iter().zip(ours).for_each(|(all, ours): (&AtomicU64, u64)| {
                if ours > 0 {
                    all.fetch_add(ours, Ordering::Relaxed);
                }
            });
        }
    }
}
