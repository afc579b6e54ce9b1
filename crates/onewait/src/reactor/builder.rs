//! How a reactor is to be.

use super::turn::Reactor;
use crate::driver::Choice;
use crate::errno::Errno;
use std::time::Duration;

#[cfg(doc)]
use super::Events;

/// How a reactor is to be. From [`Reactor::builder`].
#[derive(Clone, Copy, Debug)]
pub struct ReactorBuilder {
    pub(super) spin: Duration,
    pub(super) refuses_files: bool,
    pub(super) timers: usize,
    pub(super) embeddable: bool,
    pub(super) sockets_token: u64,
    pub(super) files_token: u64,
    pub(super) socket_memory: usize,
    pub(super) choice: Option<Choice>,
}

impl ReactorBuilder {
    pub(super) fn new() -> ReactorBuilder {
        ReactorBuilder {
            spin: Duration::ZERO,
            refuses_files: false,
            timers: usize::MAX,
            embeddable: false,
            sockets_token: Reactor::SOCKETS,
            files_token: Reactor::FILES,
            socket_memory: 4 << 20,
            choice: None,
        }
    }

    /// Looks for events for up to `most` before it sleeps, and for less where that is of no use. Zero, which is the default,
    /// sleeps at once. An answer that comes meanwhile finds the thread awake: that is worth 50 microseconds where a
    /// processor has little else to do, and costs as much of it.
    #[must_use]
    pub fn spin(mut self, most: Duration) -> Self {
        self.spin = most;
        self
    }

    /// Refuses files without a poll of their own with EPERM, as `epoll_ctl(2)` does. Otherwise they are always ready, as
    /// `poll(2)` says.
    #[must_use]
    pub fn refuse_files(mut self) -> Self {
        self.refuses_files = true;
        self
    }

    /// How many timers can be armed at a time; otherwise as many as memory holds, up to 2³² − 2.
    #[must_use]
    pub fn timers(mut self, limit: usize) -> Self {
        self.timers = limit;
        self
    }

    /// Lets other loops poll the reactor: it has a [descriptor](Reactor::descriptor), which takes a timerfd more, and system
    /// calls when sources or timers are ready and nobody waits.
    #[must_use]
    pub fn embeddable(mut self) -> Self {
        self.embeddable = true;
        self
    }

    /// What a wait reports, with [`Events::IN`], when there are completions of [`sockets`](Reactor::sockets) to be taken;
    /// otherwise it is [`Reactor::SOCKETS`].
    #[must_use]
    pub fn sockets_token(mut self, token: u64) -> Self {
        self.sockets_token = token;
        self
    }

    /// What a wait reports, with [`Events::IN`], when there are completions of [`files`](Reactor::files) to be taken;
    /// otherwise it is [`Reactor::FILES`].
    #[must_use]
    pub fn files_token(mut self, token: u64) -> Self {
        self.files_token = token;
        self
    }

    /// How many bytes the buffers that sockets receive into may have, all together; otherwise 4 MiB. They are made as they
    /// are needed. While all are with the program, nothing is received. Buffers for messages (64 KiB each) take at most half
    /// of it, or 1 MiB if that is more.
    #[must_use]
    pub fn socket_memory(mut self, bytes: usize) -> Self {
        self.socket_memory = bytes;
        self
    }

    /// Which driver sockets and files are to have; otherwise the best that the system allows, or what the environment variable
    /// `ONEWAIT_DRIVER` asks for.
    #[must_use]
    pub fn driver(mut self, choice: Choice) -> Self {
        self.choice = Some(choice);
        self
    }

    /// # Errors
    /// EMFILE or ENFILE (it takes two descriptors), ENOMEM, ENOSPC.
    pub fn build(self) -> Result<Reactor, Errno> {
        Reactor::with(self)
    }
}
