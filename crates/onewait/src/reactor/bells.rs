//! What tells a sleeping reactor of its sources: a bell for each class of them.

use super::doorbell::Doorbell;
use super::registry::Shared;
use eventpoll::{Armed, Bell, Result};
use std::fmt;
use std::sync::Arc;

/// As one [`Bell`].
pub(super) struct Bells {
    shared: Arc<Shared>,
    normal: Bell,
    /// Made when there is something urgent.
    urgent: Option<Bell>,
}

impl Bells {
    pub(super) fn new(shared: &Arc<Shared>) -> Bells {
        let ring = Arc::<Doorbell>::clone(shared.descriptors.doorbell());
        Bells { shared: Arc::clone(shared), normal: shared.in_process.normal().bell(ring), urgent: None }
    }

    /// As [`Bell::arm`]. Both are armed, or none needs to be.
    pub(super) fn arm(&mut self) -> Result<Armed> {
        let armed = self.normal.arm()?;
        // Asked for each time: it may have begun since.
        let Some(urgent) = self.shared.in_process.urgent() else { return Ok(armed) };
        if armed != Armed::Sleep {
            return Ok(armed);
        }
        let doorbell = self.shared.descriptors.doorbell();
        let bell = self.urgent.get_or_insert_with(|| urgent.bell(Arc::<Doorbell>::clone(doorbell)));
        let armed = bell.arm()?;
        // Whoever is at work need not be rung for.
        if armed != Armed::Sleep && self.normal.disarm() {
            return Ok(Armed::Interrupted);
        }
        Ok(armed)
    }

    /// As [`Bell::disarm`].
    pub(super) fn disarm(&mut self) -> bool {
        // Wakers are those of the normal class.
        self.urgent.as_mut().map(Bell::disarm);
        self.normal.disarm()
    }
}

impl fmt::Debug for Bells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bells").finish_non_exhaustive()
    }
}
