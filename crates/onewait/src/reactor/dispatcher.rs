//! The Reactor pattern (Schmidt, 1995): sources with handlers, and one loop that calls them.

use super::class::Class;
use super::registry::Registry;
use super::turn::{Reactor, TimerKey};
use super::watchable::{Target, Watchable};
use super::{Events, Interest, Ready};
use crate::errno::Errno;
use crate::face::Completion;
use crate::files::Files;
use crate::sockets::{SocketCompletion, Sockets};
use std::fmt;
use std::io;
use std::mem;
use std::time::Duration;

/// Events taken from the reactor in a turn.
const ROOM: usize = 256;
/// The bit that a handler's token has.
const HANDLER: u64 = 1 << 63;
/// So many uses a slot has; what is above them is that bit.
const GENERATIONS: u32 = 1 << 31;

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
    handlers: Vec<Slot<S>>,
    free: Vec<u32>,
    /// Slots that are not free.
    live: usize,
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

/// The name of a source with its handler. Of one that was removed it names nothing, and is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandlerId(u64);

/// The name of a timer of a [`Dispatcher`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    handler: HandlerId,
    key: TimerKey,
}

struct Slot<S> {
    /// Goes up when the slot is used again: an event of what was here before is for nobody.
    generation: u32,
    state: State<S>,
}

enum State<S> {
    Free,
    Source(Box<dyn Handler<S>>),
    Timer(Box<Expiry<S>>),
    /// The handler is being called.
    Away,
}

/// What to call when a timer expires.
type Expiry<S> = dyn FnOnce(&mut Dispatcher<S>, &mut S) -> io::Result<()>;

/// What to call for each completion.
type OnCompletion<S, C> = dyn FnMut(&mut Dispatcher<S>, &mut S, C) -> io::Result<()>;

/// Where the handler of completions is kept.
type Place<S, C> = fn(&mut Dispatcher<S>) -> &mut Option<Box<OnCompletion<S, C>>>;

/// A source, and what to call for it.
trait Handler<S> {
    fn target(&self) -> Target<'_>;
    fn call(&mut self, dispatcher: &mut Dispatcher<S>, state: &mut S, events: Events) -> io::Result<Next>;
}

struct Pair<T, F> {
    source: T,
    handler: F,
}

impl<S, T, F> Handler<S> for Pair<T, F>
where
    T: Watchable,
    F: FnMut(&mut Dispatcher<S>, &mut S, &mut T, Events) -> io::Result<Next>,
{
    fn target(&self) -> Target<'_> {
        self.source.target()
    }

    fn call(&mut self, dispatcher: &mut Dispatcher<S>, state: &mut S, events: Events) -> io::Result<Next> {
        (self.handler)(dispatcher, state, &mut self.source, events)
    }
}

/// A target that was asked for already.
struct At<'a>(Target<'a>);

impl Watchable for At<'_> {
    fn target(&self) -> Target<'_> {
        self.0
    }
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
            handlers: Vec::new(),
            free: Vec::new(),
            live: 0,
            events: vec![Ready::default(); ROOM],
            next: 0,
            count: 0,
            is_stopping: false,
            on_completion: None,
            on_file_completion: None,
        }
    }

    /// Sockets by completion, as [`Reactor::sockets`] has them; their completions go to the handler of
    /// [`Dispatcher::on_completion`].
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
    /// [`Dispatcher::on_file_completion`].
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
        let id = self.take_slot()?;
        let pair = Pair { source, handler };
        if let Err(errno) = self.reactor.registry().add_to(class, pair.source.target(), interest, id.0) {
            self.give_back(id);
            return Err(errno);
        }
        if let Some(slot) = self.slot(id) {
            slot.state = State::Source(Box::new(pair));
        }
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
        match self.slot(id).map(|slot| &slot.state) {
            Some(State::Source(handler)) => registry.modify(At(handler.target()), interest, id.0),
            _ => Err(Errno(libc::ENOENT)),
        }
    }

    /// Watches a source no more, and drops it with its handler. False if there is no such source (any more). A handler that
    /// removes its own source is not called again, and goes when it returns.
    pub fn remove(&mut self, id: HandlerId) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        match mem::replace(&mut slot.state, State::Away) {
            State::Source(handler) => {
                self.give_back(id);
                self.forget(handler);
                true
            }
            State::Away => {
                self.give_back(id);
                true
            }
            // A timer's name is no source's.
            state => {
                slot.state = state;
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
        let id = self.take_slot()?;
        match self.reactor.arm_timer_in(time, id.0) {
            Ok(key) => {
                if let Some(slot) = self.slot(id) {
                    slot.state = State::Timer(Box::new(handler));
                }
                Ok(TimerId { handler: id, key })
            }
            Err(errno) => {
                self.give_back(id);
                Err(errno)
            }
        }
    }

    /// Ends a timer before its time. False if its handler was called, or it was ended, before.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let is_armed = self.slot(timer.handler).is_some();
        if is_armed {
            self.reactor.cancel_timer(timer.key);
            self.give_back(timer.handler);
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
    /// That of a handler, whose source is removed.
    pub fn run(&mut self, state: &mut S) -> io::Result<()> {
        self.is_stopping = false;
        while !self.is_stopping && (self.live > 0 || self.has_sockets() || self.has_files()) {
            // Not an error of a handler's, whatever it is.
            match self.fill(None) {
                Err(Errno::INTR) => continue,
                result => result?,
            }
            self.call_all(state)?;
        }
        Ok(())
    }

    /// One wait, and the handlers of what it reports; returns how many were called. What a handler that stops the loop, or
    /// fails, leaves is for the next turn.
    ///
    /// # Errors
    /// EINTR if a signal was handled and there is nothing to report; that of a handler.
    pub fn turn(&mut self, state: &mut S, timeout: Option<Duration>) -> io::Result<usize> {
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
        while self.next < self.count && (called == 0 || !self.is_stopping) {
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

    fn has_sockets(&mut self) -> bool {
        self.on_completion.is_some() && self.reactor.has_sockets()
    }

    fn has_files(&mut self) -> bool {
        self.on_file_completion.is_some() && self.reactor.has_requests()
    }

    /// What an error leaves is told again by the next wait.
    fn complete_all<C>(
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

    fn call(&mut self, id: HandlerId, events: Events, state: &mut S) -> io::Result<()> {
        let Some(slot) = self.slot(id) else { return Ok(()) };
        match mem::replace(&mut slot.state, State::Away) {
            State::Timer(handler) => {
                self.give_back(id);
                handler(self, state)
            }
            State::Source(mut handler) => {
                let next = handler.call(self, state, events);
                // It may have removed itself meanwhile.
                let is_there = self.slot(id).is_some();
                match next {
                    Ok(Next::Keep) if is_there => self.put_back(id, handler),
                    Ok(Next::Watch(interest)) if is_there => {
                        let modified = self.reactor.registry().modify(At(handler.target()), interest, id.0);
                        self.put_back(id, handler);
                        modified?;
                    }
                    next => {
                        if is_there {
                            self.give_back(id);
                        }
                        self.forget(handler);
                        next?;
                    }
                }
                Ok(())
            }
            state => {
                slot.state = state;
                Ok(())
            }
        }
    }

    fn take_slot(&mut self) -> Result<HandlerId, Errno> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.handlers.len()).map_err(|_| Errno(libc::ENOMEM))?;
                self.handlers.push(Slot { generation: 0, state: State::Free });
                index
            }
        };
        let slot = &mut self.handlers[index as usize];
        slot.state = State::Away;
        self.live += 1;
        Ok(HandlerId(HANDLER | u64::from(slot.generation) << 32 | u64::from(index)))
    }

    /// The slot, as long as its name is good.
    fn slot(&mut self, id: HandlerId) -> Option<&mut Slot<S>> {
        let slot = self.handlers.get_mut(id.0 as u32 as usize)?;
        let is_it = id.0 >> 32 == (HANDLER >> 32 | u64::from(slot.generation)) && !matches!(slot.state, State::Free);
        is_it.then_some(slot)
    }

    fn put_back(&mut self, id: HandlerId, handler: Box<dyn Handler<S>>) {
        if let Some(slot) = self.slot(id) {
            slot.state = State::Source(handler);
        }
    }

    fn give_back(&mut self, id: HandlerId) {
        let index = id.0 as u32;
        let Some(slot) = self.handlers.get_mut(index as usize) else { return };
        slot.state = State::Free;
        self.live -= 1;
        // A slot whose generations are used up is used no more.
        slot.generation += 1;
        if slot.generation < GENERATIONS {
            self.free.push(index);
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
            .field("handlers", &self.live)
            .finish_non_exhaustive()
    }
}
