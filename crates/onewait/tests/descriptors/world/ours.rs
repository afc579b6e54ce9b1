//! Our side: a reactor that watches descriptors.

use super::{Errno, Event, List, Op, World, event};
use onewait::reactor::{Fd, Interest, Reactor, Ready, Registry};
use std::os::fd::AsFd;
use std::time::Duration;

/// A reactor.
pub(crate) struct Ours(Reactor);

impl List for Registry {
    fn control(&self, op: Op, fd: &impl AsFd, bits: u32, data: u64) -> Result<(), Errno> {
        let interest = Interest::from_bits_retain(bits);
        let result = match op {
            Op::Add => Registry::add(self, Fd(fd), interest, data),
            Op::Modify => Registry::modify(self, Fd(fd), interest, data),
            Op::Delete => Registry::delete(self, Fd(fd)),
        };
        result.map_err(|errno| errno.0)
    }
}

impl World for Ours {
    type List = Registry;

    fn try_new() -> Result<Ours, Errno> {
        Reactor::new().map(Ours).map_err(|errno| errno.0)
    }

    fn strict() -> Ours {
        Ours(Reactor::builder().refuse_files().build().expect("a reactor can be made"))
    }

    fn list(&self) -> &Registry {
        self.0.registry()
    }

    fn wait(&mut self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        let mut events = vec![Ready::default(); max];
        let events = self.0.wait(&mut events, timeout).map_err(|errno| errno.0)?;
        Ok(events.iter().map(|ready| event(ready.events.bits(), ready.token)).collect())
    }
}
