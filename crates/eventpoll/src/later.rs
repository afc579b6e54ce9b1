//! What a call leaves to be done when nothing is locked any more.

use alloc::vec::Vec;

use crate::slots::Slot;
use crate::waiters::Wakes;

/// Waiters to wake and items to drop. Both run the user's code: a parking, and the drop of a source's state.
///
/// Where event polls are nested, the inner ones leave it to the outermost, which is locked longest.
#[derive(Default)]
#[must_use]
pub(crate) struct Later {
    pub(crate) wakes: Wakes,
    pub(crate) removed: Vec<Slot>,
}

impl Later {
    #[inline]
    pub(crate) fn run(self) {
        if !self.removed.is_empty() {
            drop(self.removed);
        }
        self.wakes.fire();
    }
}
