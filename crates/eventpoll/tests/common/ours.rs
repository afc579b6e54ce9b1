//! Our side: the crate's event poll over the sources that it brings.

use std::time::Duration;

use eventpoll::sources::{Clock, Event as EventCounter, PipeReader, PipeWriter, Timer as ClockTimer, pipe};
use eventpoll::{AsSource, Error, EventPoll, Interest, Ready};

use super::bytes::BYTES;
use super::world::{self, Errno, Event, Op, Watched, World};

/// Our event poll over our sources.
pub(crate) struct Ours;

impl World for Ours {
    type Source<'a> = &'a dyn AsSource;
    type Poll = EventPoll;
    type Counter = EventCounter;
    type Reader = PipeReader;
    type Writer = PipeWriter;
    type Timer = Timer;

    fn poll() -> EventPoll {
        EventPoll::new()
    }

    fn counter(initial: u32) -> EventCounter {
        EventCounter::new(initial.into())
    }

    fn semaphore(initial: u32) -> EventCounter {
        EventCounter::semaphore(initial.into())
    }

    fn pipe() -> (PipeReader, PipeWriter) {
        pipe()
    }

    fn timer() -> Timer {
        let clock = Clock::manual();
        Timer { timer: ClockTimer::new(&clock), clock }
    }
}

/// A timer, and the clock that the test turns.
pub(crate) struct Timer {
    clock: Clock,
    timer: ClockTimer,
}

macro_rules! watched {
    ($($kind:ty),+) => {
        $(impl Watched<Ours> for $kind {
            fn source(&self) -> &dyn AsSource {
                self
            }
        })+
    };
}
watched!(EventPoll, EventCounter, PipeReader, PipeWriter);

impl Watched<Ours> for Timer {
    fn source(&self) -> &dyn AsSource {
        &self.timer
    }
}

fn number(error: Error) -> Errno {
    error.raw_os_error()
}

fn event(ready: Ready) -> Event {
    world::event(ready.events.bits(), ready.token)
}

impl world::Poll<Ours> for EventPoll {
    fn control(&self, op: Op, source: &dyn AsSource, bits: u32, data: u64) -> Result<(), Errno> {
        match op {
            Op::Add => self.add(source, Interest::from(bits), data),
            Op::Modify => self.modify(source, Interest::from(bits), data),
            Op::Delete => self.delete(source),
        }
        .map_err(number)
    }

    fn wait_into(&self, events: &mut [Event], timeout: Option<Duration>) -> Result<usize, Errno> {
        let mut raw = [Ready::default(); world::MOST_EVENTS];
        let got = EventPoll::wait(self, &mut raw[..events.len()], timeout).map_err(number)?;
        for (to, from) in events.iter_mut().zip(&raw[..got]) {
            *to = event(*from);
        }
        Ok(got)
    }

    fn wait_where_stores_fail(&self, max: usize, writable: usize) -> Result<usize, Errno> {
        let mut room = writable;
        let store = |_| {
            let fits = room > 0;
            room = room.saturating_sub(1);
            fits
        };
        self.wait_with(max, Some(Duration::ZERO), store).map_err(number)
    }

    fn wait_with_hook(&self, max: usize, hook: impl FnOnce() + Send) -> Option<Result<Vec<Event>, Errno>> {
        let (mut events, mut hook) = (Vec::new(), Some(hook));
        let store = |ready| {
            if let Some(hook) = hook.take() {
                hook();
            }
            events.push(event(ready));
            true
        };
        let stored = self.wait_with(max, Some(Duration::ZERO), store).map_err(number);
        Some(stored.map(|_| events))
    }

    fn wait_interrupted(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        self.waker().wake();
        world::Poll::wait(self, max, timeout)
    }

    fn interrupt(&self, _task: i32) {
        self.waker().wake();
    }

    fn level(&self) -> u32 {
        self.poll().bits()
    }
}

impl world::Counter<Ours> for EventCounter {
    fn write(&self, n: u64) -> Result<(), Errno> {
        EventCounter::write(self, n).map_err(number)
    }

    fn read(&self) -> Result<u64, Errno> {
        EventCounter::read(self).map_err(number)
    }
}

impl world::Reader<Ours> for PipeReader {
    fn read(&self, n: usize) -> Result<usize, Errno> {
        PipeReader::read(self, &mut vec![0; n]).map_err(number)
    }
}

impl world::Writer<Ours> for PipeWriter {
    fn write(&self, n: usize) -> Result<usize, Errno> {
        PipeWriter::write(self, &BYTES[..n]).map_err(number)
    }
}

const PERIOD: Duration = Duration::from_millis(2);

impl world::Timer<Ours> for Timer {
    fn start(&self) {
        self.timer.set(PERIOD, Some(PERIOD));
    }

    fn pass(&self, periods: u32) {
        self.clock.turn(self.clock.now() + PERIOD * periods);
    }

    fn postpone(&self) {
        self.timer.set(Duration::from_secs(1 << 20), None);
    }

    fn read(&self) -> Result<u64, Errno> {
        self.timer.read().map_err(number)
    }
}
