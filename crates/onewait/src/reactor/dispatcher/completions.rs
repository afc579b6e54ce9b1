//! Completions of a dispatcher's sockets and of its requests on files, with a handler for each of the two.

use super::Dispatcher;
use crate::errno::Errno;
use crate::face::Completion;
use crate::files::Files;
use crate::reactor::turn::Reactor;
use crate::sockets::{SocketCompletion, Sockets};
use std::io;

/// What to call for each completion.
pub(super) type OnCompletion<S, C> = dyn FnMut(&mut Dispatcher<S>, &mut S, C) -> io::Result<()>;

/// Where the handler of completions is kept.
type Place<S, C> = fn(&mut Dispatcher<S>) -> &mut Option<Box<OnCompletion<S, C>>>;

impl<S> Dispatcher<S> {
    /// Sockets by completion, as [`Reactor::sockets`] has them; their completions go to the handler of
    /// [`Dispatcher::on_completion`]. While there is none they are the program's to take, and no turn sleeps before it has.
    ///
    /// # Errors
    /// Those of [`Reactor::sockets`].
    pub fn sockets(&mut self) -> Result<&mut Sockets, Errno> {
        self.reactor.sockets()
    }

    /// Calls this handler for each completion of [`Dispatcher::sockets`] from now on. An error of the handler's ends
    /// [`Dispatcher::run`] with it.
    pub fn on_completion(
        &mut self,
        handler: impl FnMut(&mut Dispatcher<S>, &mut S, SocketCompletion) -> io::Result<()> + 'static,
    ) {
        self.on_completion = Some(Box::new(handler));
    }

    /// Requests on files, as [`Reactor::files`] has them; their completions go to the handler of
    /// [`Dispatcher::on_file_completion`]. While there is none they are the program's to take, and no turn sleeps before it
    /// has.
    ///
    /// # Errors
    /// Those of [`Reactor::files`].
    pub fn files(&mut self) -> Result<Files<'_>, Errno> {
        self.reactor.files()
    }

    /// Calls this handler for each completion of [`Dispatcher::files`] from now on. An error of the handler's ends
    /// [`Dispatcher::run`] with it.
    pub fn on_file_completion(
        &mut self,
        handler: impl FnMut(&mut Dispatcher<S>, &mut S, Completion) -> io::Result<()> + 'static,
    ) {
        self.on_file_completion = Some(Box::new(handler));
    }

    pub(super) fn has_sockets(&mut self) -> bool {
        self.on_completion.is_some() && self.reactor.has_sockets()
    }

    pub(super) fn has_files(&mut self) -> bool {
        self.on_file_completion.is_some() && self.reactor.has_requests()
    }

    /// What an error leaves is told again by the next wait.
    pub(super) fn complete_all<C>(
        &mut self,
        state: &mut S,
        place: Place<S, C>,
        take: fn(&mut Reactor) -> Result<Option<C>, Errno>,
    ) -> io::Result<()> {
        let Some(mut handler) = place(self).take() else { return Ok(()) };
        let mut result = Ok(());
        while result.is_ok() && !self.is_stopping {
            match take(&mut self.reactor) {
                Ok(Some(done)) => result = handler(self, state, done),
                Ok(None) => break,
                Err(errno) => result = Err(errno.into()),
            }
        }
        // The handler may have set another one.
        place(self).get_or_insert(handler);
        result
    }
}
