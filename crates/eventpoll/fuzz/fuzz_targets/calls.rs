//! Any calls on a few event polls and sources, with any arguments: nothing may panic or hang, and what is reported must
//! have been asked for.
#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use eventpoll::sources::{Clock, Event, PipeReader, PipeWriter, Receiver, Sender, Timer, bounded, pipe};
use eventpoll::{AsSource, Error, EventPoll, Events, Interest, Ready};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Call {
    Add { poll: u8, source: u8, interest: u32, token: u64 },
    Modify { poll: u8, source: u8, interest: u32, token: u64 },
    Delete { poll: u8, source: u8 },
    Wait { poll: u8, max: u8, nanoseconds: u8 },
    WaitAndFail { poll: u8, max: u8, stored: u8 },
    Poll { poll: u8 },
    Wake { poll: u8 },
    Limit { poll: u8, items: u8 },
    Close { poll: u8 },
    RenewPoll { poll: u8 },
    RenewSource { source: u8 },
    Write { source: u8, amount: u64 },
    Read { source: u8, amount: u16 },
    Turn { seconds: u64 },
    Watches { poll: u8 },
}

enum Source {
    Event(Event),
    Reader(PipeReader, PipeWriter),
    Writer(PipeReader, PipeWriter),
    Channel(Sender<u64>, Receiver<u64>),
    Timer(Timer),
}

impl Source {
    fn new(kind: usize, clock: &Clock) -> Self {
        match kind % 5 {
            0 => Self::Event(Event::new(kind as u64 / 5)),
            1 => {
                let (reader, writer) = pipe();
                Self::Reader(reader, writer)
            }
            2 => {
                let (reader, writer) = pipe();
                Self::Writer(reader, writer)
            }
            3 => {
                let (sender, receiver) = bounded(2);
                Self::Channel(sender, receiver)
            }
            _ => Self::Timer(Timer::new(clock)),
        }
    }

    fn as_source(&self) -> &dyn AsSource {
        match self {
            Self::Event(event) => event,
            Self::Reader(reader, _) => reader,
            Self::Writer(_, writer) => writer,
            Self::Channel(_, receiver) => receiver,
            Self::Timer(timer) => timer,
        }
    }

    fn write(&self, amount: u64) {
        let bytes = [0; 1 << 16];
        match self {
            Self::Event(event) => _ = event.write(amount),
            Self::Reader(_, writer) | Self::Writer(_, writer) => _ = writer.write(&bytes[..amount as u16 as usize]),
            Self::Channel(sender, _) => _ = sender.try_send(amount),
            Self::Timer(timer) => timer.set(Duration::from_nanos(amount), Some(Duration::from_secs(amount))),
        }
    }

    fn read(&self, amount: u16) {
        let mut bytes = [0; 1 << 16];
        match self {
            Self::Event(event) => _ = event.read(),
            Self::Reader(reader, _) | Self::Writer(reader, _) => _ = reader.read(&mut bytes[..usize::from(amount)]),
            Self::Channel(_, receiver) => _ = receiver.try_recv(),
            Self::Timer(timer) => _ = timer.read(),
        }
    }
}

const POLLS: usize = 7;
const SOURCES: usize = 10;

fuzz_target!(|calls: Vec<Call>| {
    let clock = Clock::manual();
    let mut polls: Vec<_> = (0..POLLS).map(|_| EventPoll::new()).collect();
    let mut sources: Vec<_> = (0..SOURCES).map(|kind| Source::new(kind, &clock)).collect();
    for call in calls {
        play(call, &clock, &mut polls, &mut sources);
    }
});

fn play(call: Call, clock: &Clock, polls: &mut [EventPoll], sources: &mut [Source]) {
    let at = |poll: u8| usize::from(poll) % POLLS;
    // Beyond the sources are the event polls.
    let source = |number: u8| -> &dyn AsSource {
        match usize::from(number) % (SOURCES + POLLS) {
            number if number < SOURCES => sources[number].as_source(),
            number => &polls[number - SOURCES],
        }
    };
    match call {
        Call::Add { poll, source: number, interest, token } => {
            let before = polls[at(poll)].len();
            let added = polls[at(poll)].add(source(number), Interest::from(interest), token);
            assert!(added.is_err() || before.is_ok());
            assert_eq!(polls[at(poll)].len(), before.map(|before| before + usize::from(added.is_ok())));
        }
        Call::Modify { poll, source: number, interest, token } => {
            let _ = polls[at(poll)].modify(source(number), Interest::from(interest), token);
        }
        Call::Delete { poll, source: number } => {
            let before = polls[at(poll)].len();
            let deleted = polls[at(poll)].delete(source(number));
            assert!(deleted.is_err() || before.is_ok());
            assert_eq!(polls[at(poll)].len(), before.map(|before| before - usize::from(deleted.is_ok())));
        }
        Call::Wait { poll, max, nanoseconds } => {
            let mut out = [Ready::default(); 256];
            let result =
                polls[at(poll)].wait(&mut out[..usize::from(max)], Some(Duration::from_nanos(nanoseconds.into())));
            match result {
                Ok(count) => assert!(out[..count].iter().all(|ready| !ready.events.is_empty())),
                Err(error) => assert!(matches!(error, Error::Invalid | Error::Closed | Error::Interrupted)),
            }
        }
        Call::WaitAndFail { poll, max, stored } => {
            let (mut left, ready) = (stored, polls[at(poll)].poll());
            let result = polls[at(poll)].wait_with(usize::from(max), Some(Duration::ZERO), |_| {
                left = left.wrapping_sub(1);
                left < stored
            });
            if result == Err(Error::Fault) {
                assert_eq!((stored, polls[at(poll)].poll()), (0, ready), "a failed store consumed something");
            }
        }
        Call::Poll { poll } => {
            let level = polls[at(poll)].poll();
            assert!(level.is_empty() || level == Events::IN | Events::RDNORM);
        }
        Call::Wake { poll } => polls[at(poll)].waker().wake(),
        Call::Limit { poll, items } => polls[at(poll)].set_limit(items.into()),
        Call::Close { poll } => polls[at(poll)].close(),
        Call::RenewPoll { poll } => polls[at(poll)] = EventPoll::new(),
        Call::RenewSource { source } => {
            let number = usize::from(source) % SOURCES;
            sources[number] = Source::new(usize::from(source), clock);
        }
        Call::Write { source, amount } => sources[usize::from(source) % SOURCES].write(amount),
        Call::Read { source, amount } => sources[usize::from(source) % SOURCES].read(amount),
        Call::Turn { seconds } => clock.turn(Duration::from_secs(seconds)),
        Call::Watches { poll } => {
            for watch in polls[at(poll)].watches().unwrap_or_default() {
                assert!(watch.interest.events().contains(watch.level));
            }
        }
    }
}
