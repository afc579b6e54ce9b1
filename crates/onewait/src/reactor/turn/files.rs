//! What requests on files in the loop's own ring have to do with a turn.
//!
//! They are in the ring of the sockets, and go with it. Their completions are a source like any other.

use super::sockets::made;
use super::{Errno, Reactor};
use crate::files::{Files, OwnFiles};
use crate::reactor::{InProcess, Interest};

impl Reactor {
    /// Requests on files: made by the first call, which chooses the driver, unless [`Reactor::sockets`] has.
    ///
    /// # Errors
    /// Of the first call: those of [`Reactor::sockets`], and on the `epoll` driver those of
    /// [`Aio::with_driver`](crate::Aio::with_driver).
    pub fn files(&mut self) -> Result<Files<'_>, Errno> {
        let sockets = made(&mut self.sockets, self.how, &self.registry)?;
        let own = match &mut self.files {
            Some(own) => own,
            none => {
                let own = OwnFiles::new(sockets)?;
                self.registry.add(InProcess(&own), Interest::IN, self.how.files_token)?;
                none.insert(Box::new(own))
            }
        };
        Ok(Files::new(own, sockets))
    }

    /// Whether there are requests on files that have not ended, or were not taken.
    pub(in super::super) fn has_requests(&self) -> bool {
        self.files.as_ref().zip(self.sockets.as_ref()).is_some_and(|(files, sockets)| files.outstanding(sockets) > 0)
    }

    /// What a wait reports when requests have ended.
    pub(in super::super) fn files_token(&self) -> u64 {
        self.how.files_token
    }

    /// Completions may be taken again.
    #[inline]
    pub(super) fn begin_turn_of_completions(&mut self) {
        if let Some(sockets) = &mut self.sockets {
            sockets.begin_turn();
        }
        if let Some(files) = &mut self.files {
            files.begin_turn();
        }
    }

    /// Completions that a turn, or a sleep, has brought become events. Not during a sleep: the bell would ring for them.
    #[inline]
    pub(super) fn finish_files(&mut self) {
        if let (Some(files), Some(sockets)) = (&self.files, &mut self.sockets) {
            sockets.finish_files();
            files.tell(sockets);
        }
    }

    /// Whoever polls the reactor is to hear of requests on files.
    pub(super) fn tell_of_files(&mut self) {
        if let (Some(files), Some(sockets)) = (&self.files, &mut self.sockets) {
            sockets.tell_of_files();
            files.tell(sockets);
        }
    }
}
