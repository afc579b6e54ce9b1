//! What is urgent comes first, and yet not alone.

use super::{Class, Errno, Reactor, Ready};

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Nobody has seen that no urgent descriptor is ready.
    pub(super) may_be_urgent: bool,
    /// With room for one event: the normal class had the last.
    urgent_is_next: bool,
    /// With room for one urgent event: descriptors are first.
    descriptors_are_first: bool,
}

impl Reactor {
    /// As `collect`, if there are two classes. What is urgent has half of the room, rounded down, and at least
    /// one place; with one place in all the classes take turns at it.
    pub(super) fn collect_by_class(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        if events.len() == 1 {
            return self.collect_one(events, asks_kernel);
        }
        let part = part_of(events.len());
        let sources = self.part_of_sources(part);
        let mut urgent = self.take_urgent_sources(&mut events[..sources])?;
        let end = events.len() - (part - urgent);
        self.classes.may_be_urgent = true;
        let mut count = urgent + self.collect_normal(&mut events[urgent..end], asks_kernel || urgent > 0)?;
        // If the kernel was asked, and had room to say all, it has said whether there is something.
        if asks_kernel || count > 0 {
            let found = self.take_urgent_descriptors(&mut events[count..][..part - urgent])?;
            events[urgent..count + found].rotate_right(found);
            (urgent, count) = (urgent + found, count + found);
        }
        if sources == 0 && urgent == 0 {
            let found = self.take_urgent_sources(&mut events[count..][..part])?;
            events[..count + found].rotate_right(found);
            count += found;
        }
        Ok(count)
    }

    fn collect_one(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        let is_urgent = self.classes.urgent_is_next;
        // What comes second comes only if there is nothing else: then the sleep that follows asks the kernel.
        self.classes.may_be_urgent = is_urgent || asks_kernel;
        let first = match is_urgent {
            true => self.collect_urgent(events)?,
            // What is urgent may always be ready, and there is no sleep then.
            false => self.collect_normal(events, true)?,
        };
        self.classes.urgent_is_next = is_urgent == (first == 0);
        match (first, is_urgent) {
            (0, true) => self.collect_normal(events, asks_kernel),
            (0, false) => self.collect_urgent(events),
            (count, _) => Ok(count),
        }
    }

    /// What is urgent. The kernel is asked if something may be.
    fn collect_urgent(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        let sources = self.part_of_sources(events.len());
        let mut count = self.take_urgent_sources(&mut events[..sources])?;
        count += self.take_urgent_descriptors(&mut events[count..])?;
        if count == 0 && sources == 0 {
            count = self.take_urgent_sources(events)?;
        }
        Ok(count)
    }

    /// How much of the room for what is urgent is for sources of the process.
    fn part_of_sources(&mut self, room: usize) -> usize {
        if !self.registry.shared.descriptors.any_urgent() || room == 0 {
            return room;
        }
        self.classes.descriptors_are_first = !self.classes.descriptors_are_first;
        if room == 1 { usize::from(!self.classes.descriptors_are_first) } else { room.div_ceil(2) }
    }

    fn take_urgent_sources(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        Ok(self.registry.shared.in_process.take(events, Class::Urgent)?)
    }

    fn take_urgent_descriptors(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        if !self.classes.may_be_urgent {
            return Ok(0);
        }
        self.registry.shared.descriptors.take_urgent(&mut self.buffer, events)
    }

    /// Room for a sleep: what is urgent is taken behind it.
    pub(super) fn room_of_descriptors(&self, room: usize) -> usize {
        if self.registry.shared.any_urgent() && room > 1 { room - part_of(room) } else { room }
    }

    /// After a sleep that has found `count` events: what else there is, and what is urgent in front of all.
    pub(super) fn collect_after(&mut self, events: &mut [Ready], count: usize) -> Result<usize, Errno> {
        if !self.registry.shared.any_urgent() {
            return self.collect_in_process(&mut events[count..]);
        }
        let part = part_of(events.len()).min(events.len() - count);
        let urgent = self.collect_urgent(&mut events[count..][..part])?;
        events[..count + urgent].rotate_right(urgent);
        self.classes.urgent_is_next = urgent == 0;
        Ok(urgent + self.collect_in_process(&mut events[count + urgent..])?)
    }
}

/// The part of the room that is for what is urgent.
fn part_of(room: usize) -> usize {
    (room / 2).max(1)
}
