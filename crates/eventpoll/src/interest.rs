//! What can be reported and what can be asked for: sets of bits with the kernel's values.

use bitflags::bitflags;

bitflags! {
    /// What a source is ready for: its current level, the key of a notification, what a wait reports.
    ///
    /// The values are those of `<sys/epoll.h>`. Bits without a name are kept.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Events: u32 {
        /// There is something to read, or a connection to accept.
        const IN = 0x001;
        /// There is something urgent to read.
        const PRI = 0x002;
        /// There is room to write.
        const OUT = 0x004;
        /// An error is pending, or nobody will read what is written. Watched whether asked for or not.
        const ERR = 0x008;
        /// The other side is gone. Watched whether asked for or not.
        const HUP = 0x010;
        /// As [`IN`](Self::IN), for ordinary data.
        const RDNORM = 0x040;
        /// There is something with priority to read.
        const RDBAND = 0x080;
        /// As [`OUT`](Self::OUT), for ordinary data.
        const WRNORM = 0x100;
        /// There is room to write something with priority.
        const WRBAND = 0x200;
        /// Accepted and never reported by the kernel.
        const MSG = 0x400;
        /// The other side writes no more.
        const RDHUP = 0x2000;
        const _ = !0;
    }
}

bitflags! {
    /// What one registration watches, and by which trigger. Without [`EDGE`](Self::EDGE) it is level-triggered.
    ///
    /// The values are those of `<sys/epoll.h>`. Bits without a name are accepted and watched (rule 11).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Interest: u32 {
        /// See [`Events::IN`].
        const IN = Events::IN.bits();
        /// See [`Events::PRI`].
        const PRI = Events::PRI.bits();
        /// See [`Events::OUT`].
        const OUT = Events::OUT.bits();
        /// See [`Events::ERR`].
        const ERR = Events::ERR.bits();
        /// See [`Events::HUP`].
        const HUP = Events::HUP.bits();
        /// See [`Events::RDNORM`].
        const RDNORM = Events::RDNORM.bits();
        /// See [`Events::RDBAND`].
        const RDBAND = Events::RDBAND.bits();
        /// See [`Events::WRNORM`].
        const WRNORM = Events::WRNORM.bits();
        /// See [`Events::WRBAND`].
        const WRBAND = Events::WRBAND.bits();
        /// See [`Events::MSG`].
        const MSG = Events::MSG.bits();
        /// See [`Events::RDHUP`].
        const RDHUP = Events::RDHUP.bits();
        /// Of several event polls on one source, a notification wakes those without it, and one with it (rule 65).
        /// Only with `add`, and only beside `IN`, `OUT`, `ERR`, `HUP`, `WAKEUP` and `EDGE` (rule 16).
        const EXCLUSIVE = 1 << 28;
        /// Accepted without effect: there is no system here that could be kept from sleeping (rule 15).
        const WAKEUP = 1 << 29;
        /// After one report the item is silent until `modify` arms it again (rule 33).
        const ONESHOT = 1 << 30;
        /// Report notifications rather than the level: what was reported is not reported again until the source
        /// notifies again (rules 34–42).
        const EDGE = 1 << 31;
        const _ = !0;
    }
}

impl Interest {
    /// The bits that say how to report, not what; they are never reported themselves (rule 12).
    pub(crate) const PRIVATE: Self = Self::EXCLUSIVE.union(Self::WAKEUP).union(Self::ONESHOT).union(Self::EDGE);

    /// What may stand beside `EXCLUSIVE` (rule 16).
    const BESIDE_EXCLUSIVE: Self = Self::EXCLUSIVE
        .union(Self::WAKEUP)
        .union(Self::EDGE)
        .union(Self::IN)
        .union(Self::OUT)
        .union(Self::ERR)
        .union(Self::HUP);

    /// The events that these bits ask for.
    #[must_use]
    pub const fn events(self) -> Events {
        Events::from_bits_retain(self.bits() & !Self::PRIVATE.bits())
    }

    /// Errors and hang-ups are always watched (rule 11).
    pub(crate) const fn with_always_watched(self) -> Self {
        self.union(Self::ERR).union(Self::HUP)
    }

    pub(crate) const fn may_be_added(self) -> bool {
        !self.contains(Self::EXCLUSIVE) || Self::BESIDE_EXCLUSIVE.contains(self)
    }
}

impl From<u32> for Events {
    fn from(bits: u32) -> Self {
        Self::from_bits_retain(bits)
    }
}

impl From<Events> for u32 {
    fn from(events: Events) -> Self {
        events.bits()
    }
}

impl From<u32> for Interest {
    fn from(bits: u32) -> Self {
        Self::from_bits_retain(bits)
    }
}

impl From<Interest> for u32 {
    fn from(interest: Interest) -> Self {
        interest.bits()
    }
}

impl From<Events> for Interest {
    fn from(events: Events) -> Self {
        Self::from_bits_retain(events.bits())
    }
}

/// One reported event: what the source of one registration is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ready {
    /// What was given to `add` or to the last `modify`.
    pub token: u64,
    /// What the source is ready for, as far as it was asked for.
    pub events: Events,
}
