//! What sockets by completion have to do with a turn.

use super::{Errno, Events, Reactor, ReactorBuilder, Ready, Registry};
use crate::driver::Choice;
use crate::reactor::doorbell::Doorbell;
use crate::sockets::{Setting, Slept, Sockets};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

impl Reactor {
    /// Sockets by completion: made by the first call, which chooses the driver.
    ///
    /// # Errors
    /// Of the first call: EMFILE, ENFILE, ENOMEM, ENOSPC; EINVAL if the environment asks for a driver that there is none of,
    /// and what the system refuses a driver with that nothing else may stand in for.
    #[inline]
    pub fn sockets(&mut self) -> Result<&mut Sockets, Errno> {
        made(&mut self.sockets, self.how, &self.registry)
    }

    /// Whether there is a socket.
    pub(in super::super) fn has_sockets(&self) -> bool {
        self.sockets.as_ref().is_some_and(|sockets| !sockets.is_empty())
    }

    /// What a wait reports when sockets have something.
    pub(in super::super) fn sockets_token(&self) -> u64 {
        self.how.sockets_token
    }

    /// What the thread sleeps in: a ring or an epoll of the sockets' where there are some, which the descriptors' epoll wakes,
    /// too; that one otherwise.
    pub(super) fn sleep_in_kernel(&mut self, events: &mut [Ready], timeout: Option<Duration>) -> Result<usize, Errno> {
        let descriptors = &self.registry.shared.descriptors;
        let Some(sockets) = &mut self.sockets else { return self.take_descriptors(events, timeout) };
        match sockets.sleep(descriptors.as_fd(), descriptors.any(), timeout)? {
            Slept::Here { others_have_news: false } => {
                self.classes.may_be_urgent = false;
                Ok(0)
            }
            Slept::Here { others_have_news: true } => self.take_descriptors(events, Some(Duration::ZERO)),
            Slept::WithOthers => {
                let count = self.take_descriptors(events, timeout)?;
                if let Some(sockets) = &mut self.sockets {
                    sockets.turn()?;
                }
                Ok(count)
            }
        }
    }

    /// One event, if completions are to be taken.
    pub(super) fn collect_sockets(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        let Some(sockets) = &mut self.sockets else { return Ok(0) };
        // What is still to be taken does not keep the others waiting.
        if asks_kernel || sockets.has_news() {
            sockets.turn()?;
            self.finish_files();
        }
        Ok(self.tell_of_sockets(events))
    }

    pub(super) fn tell_of_sockets(&mut self, events: &mut [Ready]) -> usize {
        let (Some(sockets), Some(place)) = (&mut self.sockets, events.first_mut()) else { return 0 };
        if !sockets.has_news() {
            return 0;
        }
        *place = Ready { token: self.how.sockets_token, events: Events::IN };
        1
    }
}

/// Those that there are, or new ones.
#[inline]
pub(super) fn made<'s>(
    sockets: &'s mut Option<Box<Sockets>>,
    how: ReactorBuilder,
    registry: &Registry,
) -> Result<&'s mut Sockets, Errno> {
    match sockets {
        Some(sockets) => Ok(sockets),
        none => Ok(none.insert(Box::new(make(how, registry)?))),
    }
}

fn make(how: ReactorBuilder, registry: &Registry) -> Result<Sockets, Errno> {
    let choice = match how.choice {
        Some(choice) => choice,
        None => Choice::from_environment().map_err(|_| Errno::INVAL)?,
    };
    let (descriptors, waker) = (&registry.shared.descriptors, registry.waker());
    let doorbell = descriptors.doorbell();
    let setting = Setting { choice, memory: how.socket_memory, waker, doorbell: doorbell.number() };
    let mut sockets = Sockets::new(setting)?;
    if let Some(epoll) = sockets.watched_by_others() {
        descriptors.add_place(epoll.as_raw_fd())?;
    }
    if how.embeddable {
        sockets.tell(Arc::<Doorbell>::clone(doorbell), doorbell.number())?;
    }
    Ok(sockets)
}
