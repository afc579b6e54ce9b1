//! Plays steps on one side.

use std::sync::Arc;
use std::time::Duration;

use super::step::{COUNTERS, PIPES, POLLS, Place, Step};
use crate::common::bits::Named;
use crate::common::world::{Counter, Errno, Event, Poll, Reader, Watched, World, Writer};

/// What a step gave.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// Something that it names is closed.
    Closed,
    Done,
    Failed(Errno),
    Number(u64),
    Events(Vec<Event>),
    Level(u32),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Closed => write!(f, "closed"),
            Answer::Done => write!(f, "done"),
            Answer::Failed(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(*errno)),
            Answer::Number(number) => write!(f, "{number}"),
            Answer::Events(events) => write!(f, "{events:?}"),
            Answer::Level(0) => write!(f, "not ready"),
            Answer::Level(bits) => write!(f, "{:?}", Named(*bits)),
        }
    }
}

impl<T: Into<u64>> From<Result<T, Errno>> for Answer {
    fn from(result: Result<T, Errno>) -> Self {
        result.map_or_else(Answer::Failed, |number| Answer::Number(number.into()))
    }
}

/// Each end may be closed.
struct Pipe<W: World> {
    reader: Option<W::Reader>,
    writer: Option<W::Writer>,
}

/// A side with all its things.
pub(super) struct Player<W: World> {
    polls: [Option<Arc<W::Poll>>; POLLS],
    counters: [Option<W::Counter>; COUNTERS],
    pipes: [Pipe<W>; PIPES],
}

impl<W: World> Player<W> {
    pub(super) fn new() -> Self {
        Self {
            polls: std::array::from_fn(|_| Some(Arc::new(W::poll()))),
            counters: std::array::from_fn(|place| Some(Self::counter(place))),
            pipes: std::array::from_fn(|_| Self::pipe()),
        }
    }

    fn counter(place: usize) -> W::Counter {
        if place == COUNTERS - 1 { W::semaphore(0) } else { W::counter(0) }
    }

    fn pipe() -> Pipe<W> {
        let (reader, writer) = W::pipe();
        Pipe { reader: Some(reader), writer: Some(writer) }
    }

    /// The event poll at a place, which another thread may use as well.
    pub(super) fn poll(&self, place: usize) -> Option<&Arc<W::Poll>> {
        self.polls[place].as_ref()
    }

    fn source(&self, place: Place) -> Option<W::Source<'_>> {
        match place {
            Place::Poll(place) => self.polls[place].as_ref().map(|poll| poll.source()),
            Place::Counter(place) => self.counters[place].as_ref().map(Watched::source),
            Place::Reader(place) => self.pipes[place].reader.as_ref().map(Watched::source),
            Place::Writer(place) => self.pipes[place].writer.as_ref().map(Watched::source),
        }
    }

    pub(super) fn play(&mut self, step: Step) -> Answer {
        self.try_play(step).unwrap_or(Answer::Closed)
    }

    fn try_play(&mut self, step: Step) -> Option<Answer> {
        Some(match step {
            Step::Control { poll, op, source, bits, data } => {
                let result = self.polls[poll].as_ref()?.control(op, self.source(source)?, bits, data);
                result.map_or_else(Answer::Failed, |()| Answer::Done)
            }
            Step::Wait { poll, max } => {
                let result = self.polls[poll].as_ref()?.wait(max, Some(Duration::ZERO));
                result.map_or_else(Answer::Failed, Answer::Events)
            }
            Step::Look { poll } => Answer::Level(self.polls[poll].as_ref()?.level()),
            Step::Fault { poll, max, writable } => {
                self.polls[poll].as_ref()?.wait_where_stores_fail(max, writable).map(|stored| stored as u64).into()
            }
            Step::Write { counter, n } => {
                self.counters[counter].as_ref()?.write(n).map_or_else(Answer::Failed, |()| Answer::Done)
            }
            Step::Read { counter } => self.counters[counter].as_ref()?.read().into(),
            Step::WritePipe { pipe, n } => {
                self.pipes[pipe].writer.as_ref()?.write(n).map(|written| written as u64).into()
            }
            Step::ReadPipe { pipe, n } => self.pipes[pipe].reader.as_ref()?.read(n).map(|read| read as u64).into(),
            Step::Close { place } => {
                match place {
                    Place::Poll(place) => drop(self.polls[place].take()),
                    Place::Counter(place) => drop(self.counters[place].take()),
                    Place::Reader(place) => drop(self.pipes[place].reader.take()),
                    Place::Writer(place) => drop(self.pipes[place].writer.take()),
                }
                Answer::Done
            }
            Step::Renew { place } => {
                match place {
                    Place::Poll(place) => self.polls[place] = Some(Arc::new(W::poll())),
                    Place::Counter(place) => self.counters[place] = Some(Self::counter(place)),
                    Place::Reader(place) | Place::Writer(place) => self.pipes[place] = Self::pipe(),
                }
                Answer::Done
            }
        })
    }
}
