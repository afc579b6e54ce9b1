//! Many idle items: the time of a wait, and the memory.

use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Interest, Ready};

use crate::counting;
use crate::report::{Figure, Report, Required, nanoseconds};

const ACTIVE: usize = 100;
/// What the kernel spends on a watch, by its slab caches.
const KERNEL_BYTES: f64 = 208.0;

pub(crate) fn rows(report: &mut Report) {
    if report.wants("wait, 100 active: 1,000,000 idle against 1,000") {
        let mut few = Crowd::new(1_000);
        let mut many = Crowd::new(1_000_000);
        let (mut with_few, mut with_many) = (Vec::new(), Vec::new());
        for _ in 0..61 {
            with_few.push(nanoseconds(&mut |events| few.go(events), 20_000));
            with_many.push(nanoseconds(&mut |events| many.go(events), 20_000));
        }
        report.samples(
            "wait, 100 active: 1,000,000 idle against 1,000",
            Required::Within(0.1),
            "1,000 idle",
            "ns",
            with_many,
            with_few,
        );
    }
    for items in [1_000, 1_025, 100_000] {
        let name = format!("memory a watch, of {items}");
        if report.wants(&name) {
            let events: Vec<_> = (0..items).map(|_| Event::new(0)).collect();
            let before = counting::bytes();
            let poll = EventPoll::new();
            for event in &events {
                poll.add(event, Interest::IN, 0).unwrap();
            }
            let bytes = (counting::bytes() - before) as f64 / items as f64;
            let kernel = Some(("kernel's slab", Figure::exactly(KERNEL_BYTES)));
            report.add(&name, Figure::exactly(bytes), kernel, "bytes", Required::Below(127.9));
        }
    }
}

struct Crowd {
    poll: EventPoll,
    active: Vec<Event>,
    _idle: Vec<Event>,
}

impl Crowd {
    fn new(idle: usize) -> Self {
        let poll = EventPoll::new();
        let active: Vec<_> = (0..ACTIVE).map(|_| Event::new(0)).collect();
        let idle: Vec<_> = (0..idle).map(|_| Event::new(0)).collect();
        for event in active.iter().chain(&idle) {
            poll.add(event, Interest::IN | Interest::EDGE, 0).unwrap();
        }
        Self { poll, active, _idle: idle }
    }

    fn go(&mut self, events: usize) {
        let mut out = [Ready::default(); ACTIVE];
        for _ in 0..events / ACTIVE {
            for event in &self.active {
                event.write(1).unwrap();
            }
            assert_eq!(self.poll.wait(&mut out, Some(Duration::ZERO)), Ok(ACTIVE));
        }
    }
}
