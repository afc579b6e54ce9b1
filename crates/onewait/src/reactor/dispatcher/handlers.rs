//! The handlers of a dispatcher, in slots with generations: a name that is not good any more names nothing.

use super::{Dispatcher, Next};
use crate::errno::Errno;
use crate::reactor::Events;
use crate::reactor::watchable::{Target, Watchable};
use std::io;

/// The bit that a handler's token has.
const HANDLER: u64 = 1 << 63;
/// So many uses a slot has; what is above them is that bit.
const GENERATIONS: u32 = 1 << 31;

/// The name of a source with its handler. Of one that was removed it names nothing, and is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandlerId(pub(super) u64);

/// All handlers.
pub(super) struct Handlers<S> {
    slots: Vec<Slot<S>>,
    free: Vec<u32>,
    /// Slots that are not free.
    live: usize,
}

struct Slot<S> {
    /// Goes up when the slot is used again: an event of what was here before is for nobody.
    generation: u32,
    state: State<S>,
}

/// What a slot holds.
pub(super) enum State<S> {
    Free,
    Source(Box<dyn Handler<S>>),
    Timer(Box<Expiry<S>>),
    /// The handler is being called.
    Away,
}

/// What to call when a timer expires.
pub(super) type Expiry<S> = dyn FnOnce(&mut Dispatcher<S>, &mut S) -> io::Result<()>;

/// A source, and what to call for it.
pub(super) trait Handler<S> {
    fn target(&self) -> Target<'_>;
    fn call(&mut self, dispatcher: &mut Dispatcher<S>, state: &mut S, events: Events) -> io::Result<Next>;
}

pub(super) struct Pair<T, F> {
    pub(super) source: T,
    pub(super) handler: F,
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

impl<S> Handlers<S> {
    pub(super) fn new() -> Handlers<S> {
        Handlers { slots: Vec::new(), free: Vec::new(), live: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// A name, whose handler is away at first.
    ///
    /// # Errors
    /// ENOMEM if there are too many.
    pub(super) fn take(&mut self) -> Result<HandlerId, Errno> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).map_err(|_| Errno(libc::ENOMEM))?;
                self.slots.push(Slot { generation: 0, state: State::Free });
                index
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.state = State::Away;
        self.live += 1;
        Ok(HandlerId(HANDLER | u64::from(slot.generation) << 32 | u64::from(index)))
    }

    /// What the name stands for, as long as it is good.
    pub(super) fn get(&mut self, id: HandlerId) -> Option<&mut State<S>> {
        let slot = self.slots.get_mut(id.0 as u32 as usize)?;
        let is_it = id.0 >> 32 == (HANDLER >> 32 | u64::from(slot.generation)) && !matches!(slot.state, State::Free);
        is_it.then_some(&mut slot.state)
    }

    /// What the name stands for from now on, if it is good.
    pub(super) fn put(&mut self, id: HandlerId, state: State<S>) {
        if let Some(place) = self.get(id) {
            *place = state;
        }
    }

    /// The name, which is good, is good no more.
    pub(super) fn give_back(&mut self, id: HandlerId) {
        let index = id.0 as u32;
        let Some(slot) = self.slots.get_mut(index as usize) else { return };
        slot.state = State::Free;
        self.live -= 1;
        // A slot whose generations are used up is used no more.
        slot.generation += 1;
        if slot.generation < GENERATIONS {
            self.free.push(index);
        }
    }
}

/// A target that was asked for already.
pub(super) struct At<'a>(pub(super) Target<'a>);

impl Watchable for At<'_> {
    fn target(&self) -> Target<'_> {
        self.0
    }
}
