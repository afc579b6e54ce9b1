//! What a reactor watches: a part of it that other threads may have.

use super::class::Class;
use super::descriptors::Descriptors;
use super::sources::Sources;
use super::watchable::{Target, Watchable};
use crate::errno::Errno;
use eventpoll::{Interest, Waker};
use std::fmt;
use std::sync::Arc;

/// What a [`Reactor`](super::Reactor) watches. A clone is the same; any thread may use it at any time, also while the reactor
/// waits. It outlives the reactor, without effect.
///
/// After `fork(2)` parent and child share the descriptors that are watched: what one adds, changes and deletes, the other's
/// waits see (epoll rule 46), once they have themselves watched a descriptor; before that they ask the kernel only when they
/// sleep, that is, when nothing else is ready. All else each has for itself.
#[derive(Clone)]
pub struct Registry {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) in_process: Sources,
    pub(super) descriptors: Descriptors,
}

impl Shared {
    /// Whether there ever was something urgent.
    #[inline]
    pub(super) fn any_urgent(&self) -> bool {
        self.in_process.urgent().is_some() || self.descriptors.any_urgent()
    }
}

impl Registry {
    /// Watches something. If it is ready, the next wait reports it, whatever the trigger.
    ///
    /// # Errors
    /// Those of `epoll_ctl(2)`, for sources of the process too: EEXIST (watched already), EINVAL (interests that do not go
    /// together, such as `EXCLUSIVE` with `ONESHOT`; the reactor in itself), ELOOP (event polls in a circle, or too deep),
    /// ENOSPC (`/proc/sys/fs/epoll/max_user_watches` is reached), ENOMEM, EBADF. A file without a poll of its own, such as a
    /// regular one, is always ready; EPERM if the reactor refuses those.
    pub fn add(&self, what: impl Watchable, interest: Interest, token: u64) -> Result<(), Errno> {
        self.add_to(Class::Normal, what.target(), interest, token)
    }

    /// As [`Registry::add`], but what it has to report comes before all else, timers too. At most half of a turn's room is for
    /// what is urgent (with room for one event every other turn), so that it starves nobody, be it always ready; and what
    /// is ready and fits there is in the next turn, however much else is ready.
    ///
    /// Something is watched in one class at a time: EEXIST if it is in the other. [`Registry::modify`] and
    /// [`Registry::delete`] find it in either; for another class, delete it and add it again.
    ///
    /// What is urgent sits in an epoll, and an event poll, of its own, which are made when they are first needed. That epoll
    /// is a source of the usual one. So an urgent epoll, or other reactor, may have one link less below it (rule 19: ELOOP),
    /// and of several processes that watch one descriptor as `EXCLUSIVE` and urgent, all are woken. A turn makes at
    /// most one system call more if something urgent was, or may be, ready; and [`Registry::add`] two more for a
    /// descriptor, to see that it is not urgent.
    ///
    /// # Errors
    /// Those of [`Registry::add`]; EMFILE or ENFILE with the first descriptor, which takes one more; EINVAL for the first
    /// descriptor in a child of `fork(2)`, of which its parent would know nothing.
    pub fn add_urgent(&self, what: impl Watchable, interest: Interest, token: u64) -> Result<(), Errno> {
        self.add_to(Class::Urgent, what.target(), interest, token)
    }

    pub(super) fn add_to(&self, class: Class, target: Target<'_>, interest: Interest, token: u64) -> Result<(), Errno> {
        let Shared { in_process, descriptors } = &*self.shared;
        match target {
            Target::Descriptor(fd) => descriptors.add(fd, interest, token, class, in_process),
            Target::InProcess(source) => Ok(in_process.add(&source, interest, token, class)?),
        }
    }

    /// Changes interest and token of something that is watched; an event that waits to be reported gets the new token, too.
    /// If it is ready, the next wait reports it, whatever the trigger: so a oneshot is armed again.
    ///
    /// # Errors
    /// ENOENT (not watched), EINVAL (`EXCLUSIVE` now, or when it was added), and those of [`Registry::add`].
    pub fn modify(&self, what: impl Watchable, interest: Interest, token: u64) -> Result<(), Errno> {
        let Shared { in_process, descriptors } = &*self.shared;
        match what.target() {
            Target::Descriptor(fd) => descriptors.modify(fd, interest, token, in_process),
            Target::InProcess(source) => Ok(in_process.modify(&source, interest, token)?),
        }
    }

    /// Watches something no more. Closing the last descriptor of a file, and dropping a source, does the same; a file
    /// without a poll of its own has to be deleted before it is closed. Otherwise it is reported until a call for its number
    /// finds another file there; the same file, opened again, is not told from it.
    ///
    /// # Errors
    /// ENOENT (not watched), EBADF.
    pub fn delete(&self, what: impl Watchable) -> Result<(), Errno> {
        match what.target() {
            Target::Descriptor(fd) => self.shared.descriptors.delete(fd),
            Target::InProcess(source) => Ok(self.shared.in_process.delete(&source)?),
        }
    }

    /// Something that ends a wait of the reactor's, without an event: from any thread, and from signal handlers.
    ///
    /// While the reactor is at work that is one atomic operation, and no system call; several such wake-ups are one.
    pub fn waker(&self) -> Waker {
        self.shared.in_process.waker()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("in_process", self.shared.in_process.normal()).finish_non_exhaustive()
    }
}
