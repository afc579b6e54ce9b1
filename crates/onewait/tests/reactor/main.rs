//! The reactor, through its public face.

#[path = "../common/mod.rs"]
mod common;

mod calls_of_turns;
mod classes;
mod dispatcher;
mod embedded;
mod examples;
mod limits;
mod nested;
mod poller;
mod sources;
mod system_calls;
mod timers;
mod tokens;
mod turns;
mod urgent;
mod waits;

use onewait::reactor::{Events, Reactor, Ready};
use std::io::{PipeReader, PipeWriter, Write};
use std::time::Duration;

pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

pub(crate) fn reactor() -> Reactor {
    Reactor::new().expect("a reactor can be made")
}

/// What a wait of no time reports.
pub(crate) fn reported(reactor: &mut Reactor) -> Vec<(u64, Events)> {
    waited(reactor, NOW)
}

pub(crate) fn waited(reactor: &mut Reactor, timeout: Option<Duration>) -> Vec<(u64, Events)> {
    let mut events = [Ready::default(); 64];
    let events = reactor.wait(&mut events, timeout).expect("a wait works");
    events.iter().map(|ready| (ready.token, ready.events)).collect()
}

/// One that other loops can poll.
pub(crate) fn embeddable() -> Reactor {
    Reactor::builder().embeddable().build().unwrap()
}

/// As another loop would: wait with no time until nothing is reported.
pub(crate) fn drain(reactor: &mut Reactor) -> Vec<u64> {
    let mut tokens = Vec::new();
    loop {
        let found = reported(reactor);
        if found.is_empty() {
            return tokens;
        }
        tokens.extend(found.into_iter().map(|(token, _)| token));
    }
}

/// A pipe that is readable.
pub(crate) fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    (reader, writer)
}
