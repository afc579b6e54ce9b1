//! Bytes from one end to the other, with the pipe's rules.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;

use crate::source::{AsSource, Notifier, Source, SourceRef, Watched};
use crate::sync::Lock;
use crate::{Error, Events, Result};

/// A pipe as the kernel's: 16 slots of 4096 bytes, so that its rules for `OUT` hold (rules 38, 72).
///
/// A small write shares the newest slot if it fits there as a whole; a slot is free when all of it has been read.
#[must_use]
pub fn pipe() -> (PipeReader, PipeWriter) {
    let shared = Arc::new(Shared { buffer: Lock::new(Buffer::default()) });
    let reader = Watched::new(ReadEnd(shared.clone()));
    let writer = Watched::new(WriteEnd(shared.clone()));
    let to_reader = reader.notifier();
    let to_writer = writer.notifier();
    (PipeReader { end: reader, writer: to_writer }, PipeWriter { end: writer, reader: to_reader })
}

const SLOTS: usize = 16;
const SLOT: usize = 4096;

struct Shared {
    /// Held for a copy; not while anybody is notified.
    buffer: Lock<Buffer>,
}

#[derive(Default)]
struct Buffer {
    bytes: VecDeque<u8>,
    slots: VecDeque<Slot>,
    reader_gone: bool,
    writer_gone: bool,
}

/// A part of the bytes.
struct Slot {
    /// Not read yet.
    left: usize,
    /// Ever written; what was read does not make room.
    filled: usize,
}

impl Buffer {
    fn is_full(&self) -> bool {
        self.slots.len() == SLOTS
    }

    fn write(&mut self, mut bytes: &[u8]) -> usize {
        let all = bytes.len();
        // What would be left after full slots goes to the newest one, if it fits.
        let odd = all % SLOT;
        if odd > 0
            && let Some(newest) = self.slots.back_mut().filter(|newest| newest.filled + odd <= SLOT)
        {
            newest.filled += odd;
            newest.left += odd;
            self.bytes.extend(&bytes[..odd]);
            bytes = &bytes[odd..];
        }
        while !bytes.is_empty() && !self.is_full() {
            let part = bytes.len().min(SLOT);
            self.slots.push_back(Slot { left: part, filled: part });
            self.bytes.extend(&bytes[..part]);
            bytes = &bytes[part..];
        }
        all - bytes.len()
    }

    fn read(&mut self, bytes: &mut [u8]) -> usize {
        let read = bytes.len().min(self.bytes.len());
        for (to, from) in bytes.iter_mut().zip(self.bytes.drain(..read)) {
            *to = from;
        }
        let mut left = read;
        while left > 0
            && let Some(oldest) = self.slots.front_mut()
        {
            let part = left.min(oldest.left);
            oldest.left -= part;
            left -= part;
            if oldest.left == 0 {
                self.slots.pop_front();
            }
        }
        read
    }
}

struct ReadEnd(Arc<Shared>);

impl Source for ReadEnd {
    fn level(&self) -> Events {
        let buffer = self.0.buffer.lock();
        let mut level = Events::empty();
        level.set(Events::IN | Events::RDNORM, !buffer.slots.is_empty());
        level.set(Events::HUP, buffer.writer_gone);
        level
    }
}

struct WriteEnd(Arc<Shared>);

impl Source for WriteEnd {
    fn level(&self) -> Events {
        let buffer = self.0.buffer.lock();
        let mut level = Events::empty();
        level.set(Events::OUT | Events::WRNORM, !buffer.is_full());
        level.set(Events::ERR, buffer.reader_gone);
        level
    }
}

/// The end to read from: `IN | RDNORM` if there are bytes, `HUP` if the writer is gone (rule 71). Every write is an edge.
pub struct PipeReader {
    end: Watched<ReadEnd>,
    writer: Notifier,
}

/// The end to write to: `OUT | WRNORM` if a slot is free, `ERR` if the reader is gone (rules 71, 72). An edge is only
/// when a full pipe gets a free slot (rule 38).
pub struct PipeWriter {
    end: Watched<WriteEnd>,
    reader: Notifier,
}

impl PipeReader {
    /// Reads what there is, up to `bytes.len()`. Does not wait. `Ok(0)`: the writer is gone and nothing is left, or
    /// `bytes` is empty.
    ///
    /// Errors: [`Error::WouldBlock`] if there is nothing yet.
    pub fn read(&self, bytes: &mut [u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut buffer = self.end.0.buffer.lock();
        let was_full = buffer.is_full();
        let read = buffer.read(bytes);
        let slot_freed = was_full && !buffer.is_full();
        let at_end = buffer.writer_gone;
        drop(buffer);
        if slot_freed {
            self.writer.notify(Events::OUT | Events::WRNORM);
        }
        if read > 0 || at_end { Ok(read) } else { Err(Error::WouldBlock) }
    }
}

impl PipeWriter {
    /// Writes as much as fits. Does not wait, and raises no signal.
    ///
    /// Errors: [`Error::BrokenPipe`] if the reader is gone; [`Error::WouldBlock`] if nothing fits.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut buffer = self.end.0.buffer.lock();
        if buffer.reader_gone {
            return Err(Error::BrokenPipe);
        }
        let written = buffer.write(bytes);
        drop(buffer);
        // Also if nothing was written: the kernel's pipe does it, once it has been polled.
        self.reader.notify(Events::IN | Events::RDNORM);
        if written > 0 { Ok(written) } else { Err(Error::WouldBlock) }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.end.0.buffer.lock().reader_gone = true;
        self.writer.notify_all(Events::empty());
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end.0.buffer.lock().writer_gone = true;
        self.reader.notify_all(Events::empty());
    }
}

impl AsSource for PipeReader {
    fn as_source(&self) -> SourceRef<'_> {
        self.end.as_source()
    }
}

impl AsSource for PipeWriter {
    fn as_source(&self) -> SourceRef<'_> {
        self.end.as_source()
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeReader").field("id", &self.end.id()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeWriter").field("id", &self.end.id()).finish_non_exhaustive()
    }
}
