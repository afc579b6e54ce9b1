//! The Reactor pattern (Schmidt, 1995): sources with handlers, and one loop that calls them.

mod completions;
mod handlers;

pub use handlers::HandlerId;

use super::class::Class;
use super::registry::Registry;
use super::turn::{Reactor, TimerKey};
use super::watchable::Watchable;
use super::{Events, Interest, Ready};
use crate::errno::Errno;
use crate::face::Completion;
use crate::sockets::SocketCompletion;
use completions::OnCompletion;
use handlers::{At, Handler, Handlers, Pair, State};
use std::fmt;
use std::io;
use std::mem;
use std::time::Duration;

/// Events taken from the reactor in a turn.
const ROOM: usize = 256;

/// Calls a handler for each event: `run` it, and it is the program's loop.
///
/// It owns the sources that it watches, and lends each to its handler; `S` is the state that all handlers share. Handlers
/// may watch, remove, and arm timers themselves. They run one after the other on the thread that runs the loop, and must
/// not wait; other threads reach it by the [`Registry`](super::Registry)'s waker, or by a channel that it watches.
///
/// ```
/// use onewait::reactor::{Dispatcher, Interest, Next};
/// use std::io::{Read, Write};
///
/// let (reader, mut writer) = std::io::pipe()?;
/// writer.write_all(b"hello")?;
///
/// let mut dispatcher = Dispatcher::<Vec<u8>>::new()?;
/// dispatcher.watch(reader, Interest::IN, |dispatcher, received, reader, _events| {
///     let mut buffer = [0; 64];
///     let count = reader.read(&mut buffer)?;
///     received.extend_from_slice(&buffer[..count]);
///     dispatcher.stop();
///     Ok(Next::Remove)
/// })?;
///
/// let mut received = Vec::new();
/// dispatcher.run(&mut received)?;
/// assert_eq!(received, b"hello");
/// # std::io::Result::Ok(())
/// ```
pub struct Dispatcher<S = ()> {
    reactor: Reactor,
    handlers: Handlers<S>,
    /// A turn's events; those from `next` to `count` are still to be called for.
    events: Vec<Ready>,
    next: usize,
    count: usize,
    is_stopping: bool,
    /// Away while it is called.
    on_completion: Option<Box<OnCompletion<S, SocketCompletion>>>,
    /// The same.
    on_file_completion: Option<Box<OnCompletion<S, Completion>>>,
}

/// What becomes of a source after its handler was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is watched as before. A oneshot is silent.
    Keep,
    /// It is watched for this from now on; a oneshot is armed again.
    Watch(Interest),
    /// It is watched no more, and dropped.
    Remove,
}

/// The name of a timer of a [`Dispatcher`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    handler: HandlerId,
    key: TimerKey,
}

impl<S> Dispatcher<S> {
    /// A dispatcher on a reactor of its own.
    ///
    /// # Errors
    /// Those of [`Reactor::new`].
    pub fn new() -> Result<Dispatcher<S>, Errno> {
        Ok(Dispatcher::on(Reactor::new()?))
    }

    /// A dispatcher on a reactor of one's own. What that watches already has no handler, and is not heard of; its tokens
    /// must be below 2⁶³, where those of handlers begin.
    pub fn on(reactor: Reactor) -> Dispatcher<S> {
        Dispatcher {
            reactor,
            handlers: Handlers::new(),
            events: vec![Ready::default(); ROOM],
            next: 0,
            count: 0,
            is_stopping: false,
            on_completion: None,
            on_file_completion: None,
        }
    }

    /// Watches a source from now on, and calls the handler for each of its events. An error of the handler's ends
    /// [`Dispatcher::run`] with it.
    ///
    /// # Errors
    /// Those of [`Registry::add`](super::Registry::add). The source is dropped.
    pub fn watch<T: Watchable + 'static>(
        &mut self,
        source: T,
        interest: Interest,
        handler: impl FnMut(&mut Dispatcher<S>, &mut S, &mut T, Events) -> io::Result<Next> + 'static,
    ) -> Result<HandlerId, Errno> {
        self.watch_in(Class::Normal, source, interest, handler)
    }

    /// As [`Dispatcher::watch`], but [urgent](super::Registry::add_urgent): called for before all else in a turn.
    ///
    /// # Errors
    /// Those of [`Registry::add_urgent`](super::Registry::add_urgent). The source is dropped.
    pub fn watch_urgent<T: Watchable + 'static>(
        &mut self,
        source: T,
        interest: Interest,
        handler: impl FnMut(&mut Dispatcher<S>, &mut S, &mut T, Events) -> io::Result<Next> + 'static,
    ) -> Result<HandlerId, Errno> {
        self.watch_in(Class::Urgent, source, interest, handler)
    }

    fn watch_in<T: Watchable + 'static>(
        &mut self,
        class: Class,
        source: T,
        interest: Interest,
        handler: impl FnMut(&mut Dispatcher<S>, &mut S, &mut T, Events) -> io::Result<Next> + 'static,
    ) -> Result<HandlerId, Errno> {
        let id = self.handlers.take()?;
        let pair = Pair { source, handler };
        if let Err(errno) = self.reactor.registry().add_to(class, pair.source.target(), interest, id.0) {
            self.handlers.give_back(id);
            return Err(errno);
        }
        self.handlers.put(id, State::Source(Box::new(pair)));
        Ok(id)
    }

    /// Watches a source for something else; a oneshot is armed again. For the handler of the source itself there is
    /// [`Next::Watch`].
    ///
    /// # Errors
    /// ENOENT if there is no such source (any more), or if its handler is being called; those of
    /// [`Registry::modify`](super::Registry::modify).
    pub fn modify(&mut self, id: HandlerId, interest: Interest) -> Result<(), Errno> {
        let registry = self.reactor.registry().clone();
        match self.handlers.get(id) {
            Some(State::Source(handler)) => registry.modify(At(handler.target()), interest, id.0),
            _ => Err(Errno(libc::ENOENT)),
        }
    }

    /// Watches a source no more, and drops it with its handler. False if there is no such source (any more). A handler that
    /// removes its own source is not called again, and goes when it returns.
    pub fn remove(&mut self, id: HandlerId) -> bool {
        let Some(place) = self.handlers.get(id) else { return false };
        match mem::replace(place, State::Away) {
            State::Source(handler) => {
                self.handlers.give_back(id);
                self.forget(handler);
                true
            }
            State::Away => {
                self.handlers.give_back(id);
                true
            }
            // A timer's name is no source's.
            state => {
                *place = state;
                false
            }
        }
    }

    /// Calls `handler` once, after some time.
    ///
    /// # Errors
    /// EAGAIN if as many timers are armed as may be, ENOMEM if there are too many handlers.
    pub fn after(
        &mut self,
        time: Duration,
        handler: impl FnOnce(&mut Dispatcher<S>, &mut S) -> io::Result<()> + 'static,
    ) -> Result<TimerId, Errno> {
        let id = self.handlers.take()?;
        match self.reactor.arm_timer_in(time, id.0) {
            Ok(key) => {
                self.handlers.put(id, State::Timer(Box::new(handler)));
                Ok(TimerId { handler: id, key })
            }
            Err(errno) => {
                self.handlers.give_back(id);
                Err(errno)
            }
        }
    }

    /// Ends a timer before its time. False if its handler was called, or it was ended, before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let is_armed = self.handlers.get(timer.handler).is_some();
        if is_armed {
            self.reactor.cancel_timer(timer.key);
            self.handlers.give_back(timer.handler);
        }
        is_armed
    }

    /// Lets [`Dispatcher::run`] return after the handler that calls this.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// Calls handlers until one of them calls [`Dispatcher::stop`], or nothing is left to be called for: no source, no timer,
    /// no socket, and no request on a file. May be called again.
    ///
    /// # Errors
    /// That of a handler, whose source is removed; that of watching a source for what its handler said, and it stays.
    pub fn run(&mut self, state: &mut S) -> io::Result<()> {
        self.is_stopping = false;
        while !self.is_stopping && (self.handlers.len() > 0 || self.has_sockets() || self.has_files()) {
            // Not an error of a handler's, whatever it is.
            match self.fill(None) {
                Err(Errno::INTR) => continue,
                result => result?,
            }
            self.call_all(state)?;
        }
        Ok(())
    }

    /// One wait, and the handlers of what it reports; returns for how many events. What a handler that stops the loop, or
    /// fails, leaves is for the next turn.
    ///
    /// # Errors
    /// EINTR if a signal was handled and there is nothing to report; that of a handler.
    pub fn turn(&mut self, state: &mut S, timeout: Option<Duration>) -> io::Result<usize> {
        self.is_stopping = false;
        self.fill(timeout)?;
        self.call_all(state)
    }

    /// Waits for events, unless some are left.
    fn fill(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        if self.next == self.count {
            let count = self.reactor.wait(&mut self.events, timeout)?.len();
            (self.next, self.count) = (0, count);
        }
        Ok(())
    }

    fn call_all(&mut self, state: &mut S) -> io::Result<usize> {
        let mut called = 0;
        while self.next < self.count && !self.is_stopping {
            let Ready { token, events } = self.events[self.next];
            self.next += 1;
            called += 1;
            if token == self.reactor.sockets_token() {
                self.complete_all(state, |this| &mut this.on_completion, |reactor| Ok(reactor.sockets()?.take()))?;
            } else if token == self.reactor.files_token() {
                self.complete_all(state, |this| &mut this.on_file_completion, |reactor| Ok(reactor.files()?.take()))?;
            } else {
                self.call(HandlerId(token), events, state)?;
            }
        }
        Ok(called)
    }

    /// What it watches, and how it is woken. What is added there directly has no handler, and is not heard of; its token
    /// must be below 2⁶³, where those of handlers begin.
    pub fn registry(&self) -> &Registry {
        self.reactor.registry()
    }

    fn call(&mut self, id: HandlerId, events: Events, state: &mut S) -> io::Result<()> {
        let Some(place) = self.handlers.get(id) else { return Ok(()) };
        match mem::replace(place, State::Away) {
            State::Timer(handler) => {
                self.handlers.give_back(id);
                handler(self, state)
            }
            State::Source(mut handler) => {
                let next = handler.call(self, state, events);
                // It may have removed itself meanwhile.
                let is_there = self.handlers.get(id).is_some();
                match next {
                    Ok(Next::Keep) if is_there => self.handlers.put(id, State::Source(handler)),
                    Ok(Next::Watch(interest)) if is_there => {
                        let modified = self.reactor.registry().modify(At(handler.target()), interest, id.0);
                        self.handlers.put(id, State::Source(handler));
                        modified?;
                    }
                    next => {
                        if is_there {
                            self.handlers.give_back(id);
                        }
                        self.forget(handler);
                        next?;
                    }
                }
                Ok(())
            }
            state => {
                *place = state;
                Ok(())
            }
        }
    }

    fn forget(&mut self, handler: Box<dyn Handler<S>>) {
        // It may be gone already: its descriptor's file was closed elsewhere, or never was in the kernel's list.
        let _ = self.reactor.registry().delete(At(handler.target()));
    }
}

impl<S> fmt::Debug for Dispatcher<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("reactor", &self.reactor)
            .field("handlers", &self.handlers.len())
            .finish_non_exhaustive()
    }
}
