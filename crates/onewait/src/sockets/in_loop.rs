//! What a reactor does with its sockets, in each turn and for its requests on files, which are in the same ring.

use super::{Driver, Sockets, TAKEN_A_TURN};
use crate::aio::LoopRing;
use crate::errno::Errno;
use crate::face::InFlight;
use eventpoll::Ring;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// What came of a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// Here; and whether the others, who were watched meanwhile, have news.
    Here { others_have_news: bool },
    /// Not at all: it is to be slept with the others, where the sockets are watched.
    WithOthers,
}

impl Sockets {
    /// A turn begins.
    #[inline]
    pub(crate) fn begin_turn(&mut self) {
        self.left = TAKEN_A_TURN;
        if let Some(bell) = &mut self.bell {
            bell.has_rung = false;
        }
    }

    /// The ring that these are in, for requests on files.
    ///
    /// # Errors
    /// ECHILD, EEXIST; EINVAL if there is none.
    pub(crate) fn loop_ring(&mut self) -> Result<&mut LoopRing<InFlight>, Errno> {
        self.check_owner()?;
        self.requests_mut().ok_or(Errno::INVAL)
    }

    /// The same, whoever asks: for what does not enter it.
    #[inline]
    pub(crate) fn requests_mut(&mut self) -> Option<&mut LoopRing<InFlight>> {
        match &mut self.driver {
            Driver::Uring(ring) => Some(ring.loop_ring_mut()),
            Driver::Epoll(_) => None,
        }
    }

    /// The same, to look at.
    pub(crate) fn requests(&self) -> Option<&LoopRing<InFlight>> {
        match &self.driver {
            Driver::Uring(ring) => Some(ring.loop_ring()),
            Driver::Epoll(_) => None,
        }
    }

    /// Where somebody polls the reactor instead of waiting in it: lets the kernel tell of requests on files, and those end
    /// that have meanwhile.
    pub(crate) fn tell_of_files(&mut self) {
        let is_ours = self.check_owner().is_ok();
        if let Driver::Uring(ring) = &mut self.driver
            && is_ours
        {
            ring.tell_of_files(&mut self.common);
        }
    }

    /// Lets requests on files end that the kernel, or a thread, is done with. Nothing in the child of a fork, and on another
    /// thread.
    #[inline]
    pub(crate) fn finish_files(&mut self) {
        if let Ok(ring) = self.loop_ring() {
            ring.finish();
        }
    }

    /// Whether something may be taken.
    pub(crate) fn has_news(&mut self) -> bool {
        if let Driver::Epoll(epoll) = &mut self.driver
            && epoll.has_news(&mut self.common)
        {
            return true;
        }
        !self.common.done.is_empty()
    }

    /// Whether a turn would find something, whatever has told of it before.
    pub(crate) fn is_pending(&mut self) -> bool {
        let is_pending = match &mut self.driver {
            Driver::Uring(ring) => ring.is_pending(),
            // The others watch its epoll by level.
            Driver::Epoll(_) => false,
        };
        is_pending || self.has_news()
    }

    /// Takes what there is without sleeping: at most a system call.
    ///
    /// # Errors
    /// EINTR; ECHILD, EEXIST.
    pub(crate) fn turn(&mut self) -> Result<(), Errno> {
        self.check_owner()?;
        match &mut self.driver {
            Driver::Uring(ring) => ring.turn(&mut self.common),
            Driver::Epoll(epoll) => epoll.turn(&mut self.common, Some(Duration::ZERO)),
        }
    }

    /// Sleeps until there is something, here or with the `others`, a descriptor that is readable then.
    ///
    /// # Errors
    /// As [`Sockets::turn`].
    pub(crate) fn sleep(
        &mut self,
        others: BorrowedFd<'_>,
        has_others: bool,
        timeout: Option<Duration>,
    ) -> Result<Slept, Errno> {
        self.check_owner()?;
        match &mut self.driver {
            Driver::Uring(ring) => {
                let slept = ring.sleep(&mut self.common, others, timeout)?;
                Ok(slept.map_or(Slept::WithOthers, |others_have_news| Slept::Here { others_have_news }))
            }
            Driver::Epoll(_) if has_others => Ok(Slept::WithOthers),
            Driver::Epoll(epoll) => {
                epoll.turn(&mut self.common, timeout)?;
                Ok(Slept::Here { others_have_news: false })
            }
        }
    }

    /// What the others watch, if they are to sleep for the sockets, too.
    pub(crate) fn watched_by_others(&self) -> Option<BorrowedFd<'_>> {
        match &self.driver {
            Driver::Uring(_) => None,
            Driver::Epoll(epoll) => Some(epoll.as_fd()),
        }
    }

    /// The reactor is polled from now on: its doorbell, an eventfd with this number, is rung when there is news and nobody
    /// waits.
    ///
    /// # Errors
    /// Those of `io_uring_register(2)`.
    pub(crate) fn tell(&mut self, doorbell: Arc<dyn Ring + Send + Sync>, number: RawFd) -> Result<(), Errno> {
        if let Driver::Uring(ring) = &mut self.driver {
            ring.tell(number)?;
        }
        self.bell = Some(Bell { doorbell, has_rung: false });
        Ok(())
    }

    /// Whoever polls the reactor hears of what a call has brought: what ended in it the kernel does not tell of.
    #[inline]
    pub(super) fn tell_of_news(&mut self) {
        if self.bell.as_ref().is_some_and(|bell| !bell.has_rung)
            && self.is_pending()
            && let Some(bell) = &mut self.bell
        {
            bell.doorbell.ring();
            bell.has_rung = true;
        }
    }
}

/// For whoever polls the reactor.
pub(super) struct Bell {
    doorbell: Arc<dyn Ring + Send + Sync>,
    /// It is heard until somebody waits.
    has_rung: bool,
}
