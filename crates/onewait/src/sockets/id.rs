//! The sockets' names, and what is known of each.

use super::outgoing::Chain;
use crate::sys::socket::SocketKind;
use std::fmt;
use std::os::fd::OwnedFd;

/// Names a socket that a [`Sockets`](super::Sockets) owns. It means nothing any more, and does no harm, once that socket
/// was closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SocketId {
    /// As a number, for languages that have no such types. Never 0.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64 + 1) << 32 | self.index as u64
    }

    /// From the number that [`SocketId::to_bits`] gave. `None` if no socket has this number.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Option<SocketId> {
        match ((bits >> 32) as u32).checked_sub(1) {
            Some(generation) if generation >> GENERATION_BITS == 0 => Some(SocketId { index: bits as u32, generation }),
            _ => None,
        }
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({}.{})", self.index, self.generation)
    }
}

/// Generations have so many bits: with an index and a kind they make the 64 bits that the kernel gives back.
pub(super) const GENERATION_BITS: u32 = 28;

/// What a socket is asked for besides sending: one thing at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    Nothing,
    Accept { again: bool },
    Connect,
    Receive { again: bool },
}

impl Intake {
    pub(super) fn goes_on(self) -> bool {
        matches!(self, Intake::Accept { again: true } | Intake::Receive { again: true })
    }
}

/// A socket. An idle one is this and nothing else.
#[derive(Debug)]
pub(super) struct Slot {
    /// Of the intake.
    pub(super) token: u64,
    /// `None`: the slot is free.
    pub(super) fd: Option<OwnedFd>,
    pub(super) generation: u32,
    pub(super) sends: Chain,
    pub(super) intake: Intake,
    /// The driver is at the intake: the ring has it, or it is in the list of those that are ready.
    pub(super) is_armed: bool,
    /// The driver is at the first of the sends: the ring has it, or it waits for room.
    pub(super) is_sending: bool,
    /// It stands in the line of those that found no buffer to receive into.
    pub(super) is_starved: bool,
    /// The last completion of the intake before was not taken.
    pub(super) is_untaken: bool,
    /// The intake is to end.
    pub(super) is_stopping: bool,
    /// The program has closed it: nothing more is reported but last completions.
    pub(super) is_closing: bool,
    pub(super) kind: SocketKind,
    /// There may be something to receive or accept.
    pub(super) is_readable: bool,
    /// The other end has sent its last, or the socket failed: receives go on until they say so.
    pub(super) is_ending: bool,
}

const _: () = assert!(size_of::<Slot>() <= 60, "with its number in the free list, 64 bytes");

/// All sockets, by index.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Table {
    pub(super) fn insert(&mut self, fd: OwnedFd, kind: SocketKind) -> SocketId {
        let new = |generation| Slot {
            token: 0,
            fd: Some(fd),
            generation,
            sends: Chain::default(),
            intake: Intake::Nothing,
            is_armed: false,
            is_sending: false,
            is_starved: false,
            is_untaken: false,
            is_stopping: false,
            is_closing: false,
            kind,
            is_readable: false,
            is_ending: false,
        };
        let id = self.next();
        match self.free.pop() {
            Some(index) => self.slots[index as usize] = new(id.generation),
            None => self.slots.push(new(id.generation)),
        }
        id
    }

    /// The name that the next socket gets.
    pub(super) fn next(&self) -> SocketId {
        match self.free.last() {
            Some(&index) => {
                let generation = self.slots[index as usize].generation.wrapping_add(1);
                SocketId { index, generation: generation & ((1 << GENERATION_BITS) - 1) }
            }
            // There are fewer descriptors than that.
            None => SocketId { index: self.slots.len() as u32, generation: 0 },
        }
    }

    /// The slot is free from now on, and whatever named it is stale; the descriptor is the caller's to close.
    pub(super) fn remove(&mut self, index: u32) -> Option<OwnedFd> {
        let fd = self.slots.get_mut(index as usize)?.fd.take()?;
        self.free.push(index);
        Some(fd)
    }

    /// A socket of the program's: not one that it has closed.
    pub(super) fn named(&mut self, id: SocketId) -> Option<&mut Slot> {
        self.at(id).filter(|slot| !slot.is_closing)
    }

    /// A socket that the driver is at, closed or not.
    pub(super) fn at(&mut self, id: SocketId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id.index as usize)?;
        (slot.generation == id.generation && slot.fd.is_some()).then_some(slot)
    }

    pub(super) fn peek(&self, id: SocketId) -> Option<&Slot> {
        self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation && !slot.is_closing)
    }

    /// How many sockets there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
