//! Looking again and again for a while before sleeping: what it takes to wake a sleeping processor (20 microseconds and more,
//! in a virtual machine) is more than many an answer takes.

use std::time::Duration;

/// Whether to look before sleeping. It adapts: looking that was of use earns some more of it, looking that was not costs.
///
/// It is for the whole time or not at all. Looking for half of it finds nothing where answers take most of it, so one
/// answer that came late would end it for all that come in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spin {
    most: Duration,
    /// How many more times it may be of no use.
    credit: u32,
    /// Sleeps without a look since there was no credit.
    sleeps: u32,
}

/// Below this it is not worth the clock.
const LEAST: Duration = Duration::from_micros(1);
const MOST_CREDIT: u32 = 8;
/// What a look that was of use is worth. So looking goes on if one in three is.
const EARNED: u32 = 2;
/// Without credit, one sleep in so many is preceded by a look all the same.
const PROBE: u32 = 64;

impl Spin {
    /// At most so long; zero never looks.
    pub(super) fn new(most: Duration) -> Spin {
        Spin { most, credit: MOST_CREDIT, sleeps: 0 }
    }

    /// The state as a number, without the time. Zero is that of a new one.
    pub(super) fn pack(self) -> u64 {
        u64::from(MOST_CREDIT - self.credit) << 32 | u64::from(self.sleeps)
    }

    /// What [`Spin::pack`] made a number of; of any other number, too, it makes a valid state.
    pub(super) fn unpack(most: Duration, state: u64) -> Spin {
        let spent = (state >> 32) as u32;
        Spin { most, credit: MOST_CREDIT.saturating_sub(spent), sleeps: state as u32 % PROBE }
    }

    /// How long to look this time, if at all.
    #[inline]
    pub(super) fn time(&mut self) -> Option<Duration> {
        if self.most < LEAST {
            return None;
        }
        if self.credit == 0 {
            self.sleeps += 1;
            if self.sleeps < PROBE {
                return None;
            }
            self.sleeps = 0;
        }
        Some(self.most)
    }

    /// It was, or was not, of use.
    pub(super) fn was(&mut self, useful: bool) {
        self.credit = if useful { (self.credit + EARNED).min(MOST_CREDIT) } else { self.credit.saturating_sub(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_micros(50);

    /// How many of so many sleeps are preceded by a look, where each look is of use or not.
    fn looks(spin: &mut Spin, sleeps: usize, mut useful: impl FnMut() -> bool) -> usize {
        let mut looked = || spin.time().inspect(|_| spin.was(useful())).is_some();
        (0..sleeps).filter(|_| looked()).count()
    }

    #[test]
    fn no_time_never_looks() {
        assert_eq!(looks(&mut Spin::new(Duration::ZERO), 1000, || true), 0);
    }

    #[test]
    fn answers_that_come_late_now_and_then_do_not_end_it() {
        let mut spin = Spin::new(TIME);
        for _ in 0..1000 {
            assert_eq!(looks(&mut spin, 1, || true), 1);
            assert_eq!(looks(&mut spin, 2, || false), 2);
        }
    }

    #[test]
    fn its_state_is_a_number() {
        let mut spin = Spin::new(TIME);
        assert_eq!(spin.pack(), 0);
        looks(&mut spin, 10, || false);
        let unpacked = Spin::unpack(TIME, spin.pack());
        assert_eq!((unpacked.credit, unpacked.sleeps), (spin.credit, spin.sleeps));
        assert_eq!((spin.credit, spin.sleeps), (0, 2));
        Spin::unpack(TIME, u64::MAX).time();
    }

    #[test]
    fn where_it_is_of_no_use_few_sleeps_have_a_look() {
        let mut spin = Spin::new(TIME);
        assert_eq!(looks(&mut spin, 1000, || false), 8 + 992 / 64);
    }

    #[test]
    fn it_begins_again_when_it_is_of_use_again() {
        let mut spin = Spin::new(TIME);
        looks(&mut spin, 1000, || false);
        assert_eq!(looks(&mut spin, 64 + 100, || true), 101 + 32);
    }
}
