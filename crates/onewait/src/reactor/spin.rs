//! Looking again and again for a while before sleeping: what it takes to wake a sleeping processor (20 microseconds and more,
//! in a virtual machine) is more than many an answer takes.

use std::time::Duration;

/// How long to look before sleeping. It adapts: where looking was of use, the next time is longer; where not, shorter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spin {
    most: Duration,
    now: Duration,
}

/// Below this it is not worth the clock; once there, one sleep in [`PROBE`] is preceded by a look all the same.
const LEAST: Duration = Duration::from_micros(1);
const PROBE: Duration = Duration::from_nanos(15);

impl Spin {
    /// At most so long; zero never looks.
    pub(super) fn new(most: Duration) -> Spin {
        Spin { most, now: most }
    }

    /// How long to look this time, if at all.
    pub(super) fn time(&mut self) -> Option<Duration> {
        if self.most < LEAST {
            return None;
        }
        if self.now >= LEAST {
            return Some(self.now);
        }
        // A few dozen sleeps from the least to a microsecond.
        self.now += PROBE;
        (self.now >= LEAST).then_some(self.most)
    }

    /// It was, or was not, of use.
    pub(super) fn was(&mut self, useful: bool) {
        self.now = if useful { self.most } else { self.now / 2 };
        if self.now < LEAST {
            self.now = Duration::ZERO;
        }
    }
}
