//! Turns that find one thing.

use std::io::{PipeReader, PipeWriter, Write};
use std::time::Duration;

use eventpoll::sources::Event;
use onewait::reactor::{Interest, Reactor, Ready};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::kernel::{Epoll, EventFlags, Eventfd};
use crate::report::{Report, Required};

const NOW: Option<Duration> = Some(Duration::ZERO);
const BATCH: usize = 64;

pub(crate) fn rows(report: &mut Report) {
    if report.wants("notify + wait, only sources") {
        notify(report, "notify + wait, only sources", Required::Cheaper(4.0), false);
    }
    if report.wants("notify + wait, beside a descriptor") {
        notify(report, "notify + wait, beside a descriptor", Required::AtMost(1.0), true);
    }
    if report.wants("turn with one pipe ready") {
        pipe(report, "turn with one pipe ready, no time", NOW);
        pipe(report, "turn with one pipe ready, any time", None);
    }
}

fn notify(report: &mut Report, name: &str, required: Required, with_descriptor: bool) {
    let (mut reactor, event, idle) = (Reactor::new().unwrap(), Event::new(0), std::io::pipe().unwrap());
    reactor.registry().add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    if with_descriptor {
        reactor.registry().add(&idle.0, Interest::IN, 2).unwrap();
    }
    let mut out = [Ready::default(); BATCH];
    let (mut epoll, eventfd) = (Epoll::new(), Eventfd::new());
    epoll.add(&eventfd, EventFlags::IN | EventFlags::ET, 1);
    report.race(
        name,
        required,
        "eventfd, epoll",
        |count| {
            for _ in 0..count {
                event.write(1).unwrap();
                assert_eq!(reactor.wait(&mut out, None).unwrap().len(), 1);
            }
        },
        |count| {
            for _ in 0..count {
                eventfd.write();
                assert_eq!(epoll.wait(), 1);
            }
        },
    );
}

/// A pipe with a byte in it.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"x").unwrap();
    (reader, writer)
}

fn pipe(report: &mut Report, name: &str, timeout: Option<Duration>) {
    let (mut reactor, (reader, _writer)) = (Reactor::new().unwrap(), full_pipe());
    reactor.registry().add(&reader, Interest::IN, 1).unwrap();
    let mut out = [Ready::default(); BATCH];
    let bare = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&bare, &reader, epoll::EventData::new_u64(1), EventFlags::IN).unwrap();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(BATCH);
    let time = timeout.map(|_| Timespec { tv_sec: 0, tv_nsec: 0 });
    report.race(
        name,
        Required::AtMost(1.5),
        "epoll_wait",
        |count| {
            for _ in 0..count {
                assert_eq!(reactor.wait(&mut out, timeout).unwrap().len(), 1);
            }
        },
        |count| {
            for _ in 0..count {
                events.clear();
                assert_eq!(epoll::wait(&bare, spare_capacity(&mut events), time.as_ref()).unwrap(), 1);
            }
        },
    );
}
