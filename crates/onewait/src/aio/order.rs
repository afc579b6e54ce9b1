//! What has to wait for what.
//!
//! Requests are unordered, with three exceptions:
//!
//! - `fsync` covers every earlier write to the same file, and nothing else (rules 57–59): it is held back until
//!   those have completed. Writes are counted in epochs; an `fsync` closes the current epoch and waits for it and the ones
//!   before.
//! - On something without positions (a pipe, a socket, a terminal) the first request asked for the first bytes: one
//!   request a direction is with the driver, the others wait in a lane.
//! - Appending writes go to the file in the order of the calls (POSIX, `aio_write`): a lane as well.
//!
//! Files are told apart by what they are, not by descriptor: a file may have several. Only what has no identity of its
//! own (an eventfd, a terminal) is known by its number, which names it only until it is closed; then [`Order::forget`]
//! cuts the tie.

use super::slots::Key;
use crate::driver::operation::Operation;
use crate::sys::FileId;
use std::collections::{HashMap, VecDeque};

/// Which rule a request falls under; kept with the request until it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket {
    file: u64,
    epoch: u64,
    counted: bool,
    lane: Option<Direction>,
}

impl Ticket {
    /// Whether the request is ordered at all.
    pub(crate) fn is_ordered(self) -> bool {
        self.counted || self.lane.is_some()
    }

    /// The request was withdrawn: its end no longer means anything to the order.
    pub(crate) fn settle(&mut self) {
        self.file = 0;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// Requests of one direction, of which one may be under way.
#[derive(Default)]
struct Lane {
    is_busy: bool,
    waiting: VecDeque<Key>,
}

/// Writes that no `fsync` separates.
#[derive(Default)]
struct Epoch {
    writes: usize,
    syncs: Vec<Key>,
}

#[derive(Default)]
struct File {
    /// Closed epochs, oldest first; the number of the first is `first`.
    closed: VecDeque<Epoch>,
    first: u64,
    /// Writes of the current epoch, whose number is `first + closed.len()`.
    writes: usize,
    lanes: [Lane; 2],
    name: FileId,
}

impl File {
    fn is_idle(&self) -> bool {
        self.closed.is_empty() && self.writes == 0 && self.lanes.iter().all(|lane| !lane.is_busy)
    }

    fn release_syncs(&mut self, released: &mut Vec<Key>) {
        while self.closed.front().is_some_and(|epoch| epoch.writes == 0) {
            if let Some(epoch) = self.closed.pop_front() {
                self.first += 1;
                released.extend(epoch.syncs);
            }
        }
    }
}

/// The state of all files that have something to be ordered.
#[derive(Default)]
pub(crate) struct Order {
    files: HashMap<u64, File>,
    names: HashMap<FileId, u64>,
    last: u64,
}

impl Order {
    /// Takes a request in. It may be handed to the driver now if the second value is true; otherwise it is released
    /// later, by [`Order::done`].
    pub(crate) fn admit(&mut self, key: Key, operation: &Operation) -> (Ticket, bool) {
        let lane = match () {
            () if operation.is_stream() && operation.is_read() => Some(Direction::In),
            () if operation.is_write() && (operation.is_stream() || operation.append) => Some(Direction::Out),
            () => None,
        };
        let counted = operation.is_write();
        if operation.is_sync() {
            return (Ticket::default(), !self.hold_sync(key, operation.file));
        }
        if lane.is_none() && !counted {
            return (Ticket::default(), true);
        }
        let last = &mut self.last;
        let id = *self.names.entry(operation.file).or_insert_with(|| {
            *last += 1;
            *last
        });
        let file = self.files.entry(id).or_insert_with(|| File { name: operation.file, ..File::default() });
        let ticket = Ticket { file: id, epoch: file.first + file.closed.len() as u64, counted, lane };
        if counted {
            file.writes += 1;
        }
        let may_go = lane.is_none_or(|direction| {
            let lane = &mut file.lanes[direction as usize];
            if lane.is_busy {
                lane.waiting.push_back(key);
            }
            !std::mem::replace(&mut lane.is_busy, true)
        });
        (ticket, may_go)
    }

    fn hold_sync(&mut self, key: Key, file: FileId) -> bool {
        let Some(file) = self.names.get(&file).and_then(|id| self.files.get_mut(id)) else { return false };
        if file.writes > 0 {
            let epoch = Epoch { writes: std::mem::take(&mut file.writes), syncs: vec![key] };
            file.closed.push_back(epoch);
            return true;
        }
        match file.closed.back_mut() {
            Some(epoch) => epoch.syncs.push(key),
            None => return false,
        }
        true
    }

    /// A request is done, or was withdrawn by [`Order::withdraw`]; `released` receives those that may go now.
    pub(crate) fn done(&mut self, ticket: Ticket, released: &mut Vec<Key>) {
        let Some(file) = self.files.get_mut(&ticket.file) else { return };
        if let Some(direction) = ticket.lane {
            let lane = &mut file.lanes[direction as usize];
            match lane.waiting.pop_front() {
                Some(next) => released.push(next),
                None => lane.is_busy = false,
            }
        }
        Order::uncount(file, ticket, released);
        self.sweep(ticket.file);
    }

    /// Takes a request out that is still held back. False if it is not held back: then it is with the driver.
    pub(crate) fn withdraw(&mut self, key: Key, ticket: Ticket, released: &mut Vec<Key>) -> bool {
        if let Some(direction) = ticket.lane {
            let Some(file) = self.files.get_mut(&ticket.file) else { return false };
            let waiting = &mut file.lanes[direction as usize].waiting;
            let Some(place) = waiting.iter().position(|other| *other == key) else { return false };
            waiting.remove(place);
            Order::uncount(file, ticket, released);
            self.sweep(ticket.file);
            return true;
        }
        for epoch in self.files.values_mut().flat_map(|file| file.closed.iter_mut()) {
            if let Some(place) = epoch.syncs.iter().position(|other| *other == key) {
                epoch.syncs.remove(place);
                return true;
            }
        }
        false
    }

    fn uncount(file: &mut File, ticket: Ticket, released: &mut Vec<Key>) {
        if !ticket.counted {
            return;
        }
        let closed = ticket.epoch.checked_sub(file.first).and_then(|place| file.closed.get_mut(place as usize));
        match closed {
            Some(epoch) => epoch.writes -= 1,
            None => file.writes -= 1,
        }
        file.release_syncs(released);
    }

    fn sweep(&mut self, id: u64) {
        if let Some(file) = self.files.get(&id)
            && file.is_idle()
        {
            let name = file.name;
            self.files.remove(&id);
            if self.names.get(&name) == Some(&id) {
                self.names.remove(&name);
            }
        }
    }

    /// Whether nothing is ordered.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The name is about to mean another file, or none: later requests under it are unrelated to earlier ones.
    pub(crate) fn forget(&mut self, name: FileId) {
        self.names.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::operation::{Code, STREAM};

    fn key(number: u64) -> Key {
        Key::from_bits(1 << 32 | number)
    }

    fn on(file: i32, code: Code) -> Operation {
        Operation { file: FileId::of_number(file), ..Operation::new(code, 9) }
    }

    #[test]
    fn fsync_waits_for_earlier_writes_and_not_for_later_ones() {
        let mut order = Order::default();
        let (write, sync) = (on(3, Code::Write), on(3, Code::Fsync));
        let (first, may_go) = order.admit(key(1), &write);
        assert!(may_go);
        assert!(!order.admit(key(2), &sync).1);
        let (later, may_go) = order.admit(key(3), &write);
        assert!(may_go);
        let mut released = Vec::new();
        order.done(later, &mut released);
        assert!(released.is_empty());
        order.done(first, &mut released);
        assert_eq!(released, [key(2)]);
        assert!(order.is_empty());
    }

    #[test]
    fn fsync_ignores_other_files() {
        let mut order = Order::default();
        order.admit(key(1), &on(3, Code::Write));
        assert!(order.admit(key(2), &on(4, Code::Fsync)).1);
    }

    #[test]
    fn a_second_fsync_waits_for_all_earlier_epochs() {
        let mut order = Order::default();
        let (write, sync) = (on(3, Code::Write), on(3, Code::Fsync));
        let first = order.admit(key(1), &write).0;
        order.admit(key(2), &sync);
        let second = order.admit(key(3), &write).0;
        order.admit(key(4), &sync);
        let mut released = Vec::new();
        order.done(second, &mut released);
        assert!(released.is_empty());
        order.done(first, &mut released);
        assert_eq!(released, [key(2), key(4)]);
    }

    #[test]
    fn streams_go_one_by_one_in_each_direction() {
        let mut order = Order::default();
        let stream = |code| Operation { offset: STREAM, ..on(5, code) };
        let (first, may_go) = order.admit(key(1), &stream(Code::Read));
        assert!(may_go);
        let (second, may_go) = order.admit(key(2), &stream(Code::Read));
        assert!(!may_go);
        assert!(order.admit(key(3), &stream(Code::Write)).1);
        let mut released = Vec::new();
        order.done(first, &mut released);
        assert_eq!(released, [key(2)]);
        order.done(second, &mut released);
        assert_eq!(released, [key(2)]);
    }

    #[test]
    fn a_withdrawn_write_no_longer_holds_back_an_fsync() {
        let mut order = Order::default();
        let append = Operation { append: true, ..on(3, Code::Write) };
        let first = order.admit(key(1), &append).0;
        let second = order.admit(key(2), &append).0;
        order.admit(key(3), &on(3, Code::Fsync));
        let mut released = Vec::new();
        assert!(order.withdraw(key(2), second, &mut released));
        assert!(!order.withdraw(key(1), first, &mut released));
        order.done(first, &mut released);
        assert_eq!(released, [key(3)]);
        assert!(order.is_empty());
    }

    #[test]
    fn a_reused_number_is_another_file() {
        let mut order = Order::default();
        let read = Operation { offset: STREAM, ..on(5, Code::Read) };
        order.admit(key(1), &read);
        order.admit(key(2), &read);
        order.forget(FileId::of_number(5));
        assert!(order.admit(key(3), &read).1);
    }
}
