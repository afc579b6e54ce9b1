//! Waiting: look, sleep, look again.

use core::time::Duration;

use crate::intake::{CLOSED, Intake};
use crate::park::Inside;
use crate::poll_core::Core;
use crate::waiters::Slept;
use crate::{Error, Ready, Result};

impl Core {
    #[inline]
    pub(crate) fn wait(
        &self,
        max: usize,
        timeout: Option<Duration>,
        mut store: impl FnMut(Ready) -> bool,
    ) -> Result<usize> {
        let word = self.intake.load();
        if word & CLOSED != 0 {
            return Err(Error::Closed);
        }
        if max == 0 {
            return Err(Error::Invalid);
        }
        if Intake::may_have_events(word) {
            let stored = self.harvest(max, &mut store)?;
            if stored > 0 {
                return Ok(stored);
            }
        }
        let inside = Inside::enter(self.place)?;
        // With no time to wait, whoever races a notification has to come again (rule 60).
        if timeout == Some(Duration::ZERO) {
            return Ok(0);
        }
        drop(inside);
        self.wait_asleep(max, timeout, store)
    }

    fn wait_asleep(
        &self,
        max: usize,
        timeout: Option<Duration>,
        mut store: impl FnMut(Ready) -> bool,
    ) -> Result<usize> {
        // A time beyond what the clock can say is for ever.
        let deadline = timeout.and_then(|timeout| self.place.now().checked_add(timeout));
        loop {
            let (over, interrupted) = match self.waiters.sleep(&self.intake, self.place, deadline) {
                Slept::TimedOut => return Ok(0),
                Slept::Closed => return Err(Error::Closed),
                Slept::Look { timed_out, interrupted } => (timed_out, interrupted),
            };
            // Events are reported rather than an interruption (rule 56), and rather than the end of the time (rule 59).
            let stored = self.harvest(max, &mut store)?;
            if stored > 0 {
                return Ok(stored);
            }
            if interrupted {
                return Err(Error::Interrupted);
            }
            // Sources that notify again and again without being ready must not keep anybody for ever.
            if over || deadline.is_some_and(|deadline| self.place.now() >= deadline) {
                return Ok(0);
            }
        }
    }
}
