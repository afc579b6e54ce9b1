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
    /// Nothing most of the time, and then its end is no call.
    removed: Option<Vec<Slot>>,
}

impl Later {
    #[inline]
    pub(crate) fn drop_all(&mut self, slots: Vec<Slot>) {
        if !slots.is_empty() {
            self.removed.get_or_insert_default().extend(slots);
        }
    }

    /// By reference: moved, it would be read back as one piece just after it was written in pieces, and a processor waits
    /// for that.
    #[inline]
    pub(crate) fn run(&mut self) {
        if let Some(removed) = &mut self.removed {
            drop(core::mem::take(removed));
        }
        self.wakes.fire();
    }
}
