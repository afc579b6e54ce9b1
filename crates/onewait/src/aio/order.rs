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

/// So many files are remembered although nothing on them is in flight.
const IDLE_FILES: usize = 64;

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

#[derive(Default)]
struct File {
    /// Writes in flight of closed epochs, oldest first; the number of the first is `first`.
    closed: VecDeque<usize>,
    first: u64,
    /// The `fsync` requests that are held back, oldest first, each with the epoch that it closed or found closed last.
    syncs: VecDeque<(u64, Key)>,
    /// Writes of the current epoch, whose number is `first + closed.len()`.
    writes: usize,
    lanes: [Lane; 2],
}

impl File {
    fn is_idle(&self) -> bool {
        self.closed.is_empty()
            && self.syncs.is_empty()
            && self.writes == 0
            && self.lanes.iter().all(|lane| !lane.is_busy)
    }

    fn release_syncs(&mut self, released: &mut Vec<Key>) {
        while self.closed.front() == Some(&0) {
            self.closed.pop_front();
            self.first += 1;
        }
        while let Some((_, key)) = self.syncs.pop_front_if(|(epoch, _)| *epoch < self.first) {
            released.push(key);
        }
    }
}

/// The state of all files that have something to be ordered.
#[derive(Default)]
pub(crate) struct Order {
    files: HashMap<u64, File>,
    names: HashMap<FileId, u64>,
    last: u64,
    /// With more files than this, idle ones are looked for.
    limit: usize,
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
        self.sweep();
        let last = &mut self.last;
        let id = *self.names.entry(operation.file).or_insert_with(|| {
            *last += 1;
            *last
        });
        let file = self.files.entry(id).or_default();
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
            let writes = std::mem::take(&mut file.writes);
            file.closed.push_back(writes);
        }
        if file.closed.is_empty() {
            return false;
        }
        let last = file.first + file.closed.len() as u64 - 1;
        file.syncs.push_back((last, key));
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
    }

    /// Takes a request out that is still held back. False if it is not held back: then it is with the driver.
    pub(crate) fn withdraw(&mut self, key: Key, ticket: Ticket, released: &mut Vec<Key>) -> bool {
        if let Some(direction) = ticket.lane {
            let Some(file) = self.files.get_mut(&ticket.file) else { return false };
            let waiting = &mut file.lanes[direction as usize].waiting;
            let Some(place) = waiting.iter().position(|other| *other == key) else { return false };
            waiting.remove(place);
            Order::uncount(file, ticket, released);
            return true;
        }
        for file in self.files.values_mut() {
            if let Some(place) = file.syncs.iter().position(|(_, other)| *other == key) {
                file.syncs.remove(place);
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
            Some(writes) => *writes -= 1,
            None => file.writes -= 1,
        }
        file.release_syncs(released);
    }

    /// Forgets files that have nothing to be ordered, when there are many. Not when a request ends: that can happen in a
    /// signal handler, which must not free memory.
    fn sweep(&mut self) {
        if self.files.len() > self.limit.max(IDLE_FILES) {
            self.files.retain(|_, file| !file.is_idle());
            self.limit = self.files.len() * 2;
            let files = &self.files;
            self.names.retain(|_, id| files.contains_key(id));
        }
    }

    /// Whether nothing is ordered.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.files.values().all(File::is_idle)
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
