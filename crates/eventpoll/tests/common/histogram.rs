//! What happened, how often.

use std::collections::BTreeMap;

/// Plays a round so many times, and counts its outcomes.
pub(crate) fn outcomes<T: Ord>(rounds: usize, mut round: impl FnMut() -> T) -> BTreeMap<T, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..rounds {
        *seen.entry(round()).or_insert(0) += 1;
    }
    seen
}
