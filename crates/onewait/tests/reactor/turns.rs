//! Fairness, counted in turns: nobody who is ready waits for long because others always are.

use crate::common::{PATIENCE, pipe, queue};
use crate::{NOW, reactor};
use eventpoll::sources::{Event, unbounded};
use eventpoll::{EventPoll, Notifier, Source, Watched};
use onewait::reactor::{Events, Interest, Reactor, Ready};
use onewait::{Aio, Buffer, Choice, CompletionQueue, DriverKind, Request};
use std::collections::HashMap;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Tokens of timers, sources and descriptors begin here.
const TIMER: u64 = 1 << 32;
const SOURCE: u64 = 2 << 32;
const DESCRIPTOR: u64 = 3 << 32;

struct Always {
    reactor: Reactor,
    _events: Vec<Event>,
    _pipes: Vec<(PipeReader, PipeWriter)>,
}

/// So many sources and descriptors that are always ready, by level.
fn always(sources: u64, descriptors: u64) -> Always {
    let reactor = reactor();
    let events: Vec<_> = (0..sources).map(|_| Event::new(1)).collect();
    for (token, event) in events.iter().enumerate() {
        reactor.registry().add(event, Interest::IN, SOURCE + token as u64).unwrap();
    }
    let mut pipes: Vec<_> = (0..descriptors).map(|_| std::io::pipe().unwrap()).collect();
    for (token, (reader, writer)) in pipes.iter_mut().enumerate() {
        writer.write_all(b"x").unwrap();
        reactor.registry().add(&*reader, Interest::IN, DESCRIPTOR + token as u64).unwrap();
    }
    Always { reactor, _events: events, _pipes: pipes }
}

/// How often each token is reported in so many turns with room for `room` events, with a timer that is always due.
fn counts(always: &mut Always, room: usize, turns: usize) -> HashMap<u64, usize> {
    counts_with(always, room, turns, NOW, || ())
}

fn counts_with(
    always: &mut Always,
    room: usize,
    turns: usize,
    timeout: Option<Duration>,
    before: impl Fn(),
) -> HashMap<u64, usize> {
    let mut events = vec![Ready::default(); room];
    let mut counts = HashMap::new();
    always.reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
    for _ in 0..turns {
        before();
        let tokens: Vec<_> =
            always.reactor.wait(&mut events, timeout).unwrap().iter().map(|ready| ready.token).collect();
        assert!(!tokens.is_empty());
        for token in tokens {
            *counts.entry(token).or_default() += 1;
            if token == TIMER {
                always.reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
            }
        }
    }
    counts
}

fn least(counts: &HashMap<u64, usize>, first: u64, count: u64) -> usize {
    (first..first + count).map(|token| counts.get(&token).copied().unwrap_or(0)).min().unwrap()
}

#[test]
fn with_room_for_one_event_all_kinds_take_turns() {
    let mut always = always(1, 1);
    let counts = counts(&mut always, 1, 300);
    for token in [TIMER, SOURCE, DESCRIPTOR] {
        assert_eq!(counts[&token], 100);
    }
}

#[test]
fn with_room_for_two_events_no_kind_is_left_out() {
    let mut always = always(3, 3);
    let counts = counts(&mut always, 2, 300);
    assert!(least(&counts, SOURCE, 3) >= 50, "{counts:?}");
    assert!(least(&counts, DESCRIPTOR, 3) >= 50, "{counts:?}");
    assert!(counts[&TIMER] >= 100, "{counts:?}");
}

#[test]
fn many_that_are_always_ready_leave_room_for_few() {
    for (sources, descriptors) in [(1000, 1), (1, 200), (1000, 200)] {
        let mut always = always(sources, descriptors);
        let turns = 400;
        let counts = counts(&mut always, 30, turns);
        // Ten places a turn and kind at least, and everybody in turn.
        assert!(least(&counts, SOURCE, sources) >= (turns * 10 / sources as usize).min(turns) - 1);
        assert!(least(&counts, DESCRIPTOR, descriptors) >= (turns * 10 / descriptors as usize).min(turns) - 1);
        assert_eq!(counts[&TIMER], turns, "timers come in each turn");
    }
}

/// A queue with completions that nobody reaps, on each driver that there is.
fn ready_queues() -> impl Iterator<Item = CompletionQueue> {
    [DriverKind::Uring, DriverKind::Epoll].into_iter().filter_map(|kind| match Aio::with_driver(Choice::Strict(kind)) {
        Ok(aio) => {
            let (queue, (reader, mut writer)) = (aio.queue(), pipe());
            queue.submit(Request::read(&reader, Buffer::with_capacity(1), 0)).unwrap();
            writer.write_all(b"x").unwrap();
            while queue.ready() == 0 {
                thread::yield_now();
            }
            Some(queue)
        }
        Err(errno) => {
            println!("not on {kind:?}: {errno}");
            None
        }
    })
}

/// Completions, another source, a channel, a descriptor, a file, a timer and a waker, each of them always.
#[test]
fn all_against_all_nobody_starves() {
    for queue in ready_queues() {
        for (room, timeout) in [1, 2, 3, 5, 64].into_iter().flat_map(|room| [(room, NOW), (room, None)]) {
            let mut always = always(1, 1);
            let ((sender, receiver), file) = (unbounded(), File::open("/dev/null").unwrap());
            sender.try_send(()).unwrap();
            let registry = always.reactor.registry().clone();
            registry.add(&queue, Interest::IN, SOURCE + 1).unwrap();
            registry.add(&receiver, Interest::IN, SOURCE + 2).unwrap();
            registry.add(&file, Interest::IN, SOURCE + 3).unwrap();
            let (waker, turns) = (registry.waker(), 240);
            let woken_counts = counts_with(&mut always, room, turns, timeout, || waker.wake());
            for token in [SOURCE, SOURCE + 1, SOURCE + 2, SOURCE + 3, DESCRIPTOR, TIMER] {
                // With one place each kind has a third of the turns, and sources share theirs.
                let least = if token & SOURCE == SOURCE && token < DESCRIPTOR { turns / 12 } else { turns / 3 };
                let count = woken_counts.get(&token).copied().unwrap_or(0);
                assert!(count + 2 >= least, "room for {room}, {token:x}: {woken_counts:x?}");
            }
        }
    }
}

#[test]
fn many_timers_leave_room_for_the_others() {
    for (room, timeout) in [3, 4, 30].into_iter().flat_map(|room| [(room, NOW), (room, None)]) {
        let mut always = always(1, 1);
        let mut events = vec![Ready::default(); room];
        let arm = |reactor: &mut Reactor| reactor.arm_timer_in(Duration::ZERO, TIMER).map(drop).unwrap();
        (0..100).for_each(|_| arm(&mut always.reactor));
        for _ in 0..100 {
            let tokens: Vec<_> = always.reactor.wait(&mut events, timeout).unwrap().iter().map(|it| it.token).collect();
            assert!(tokens.contains(&SOURCE) && tokens.contains(&DESCRIPTOR), "room for {room}: {tokens:x?}");
            tokens.iter().filter(|token| **token == TIMER).for_each(|_| arm(&mut always.reactor));
        }
    }
}

#[test]
fn a_completion_waits_for_no_more_than_a_turn_of_each_kind() {
    for (room, most) in [(1, 3), (2, 2), (3, 1), (30, 1)] {
        let mut always = always(0, 100);
        always.reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
        let (queue, (reader, mut writer), witness) = (queue(), pipe(), EventPoll::new());
        // Of those who watch a source, the one that was there first is told last (rule 30).
        witness.add(&queue, Interest::IN | Interest::EDGE, 0).unwrap();
        always.reactor.registry().add(&queue, Interest::IN, SOURCE).unwrap();
        let mut events = vec![Ready::default(); room];
        for _ in 0..30 {
            queue.submit(Request::read(&reader, Buffer::with_capacity(1), 0)).unwrap();
            writer.write_all(b"x").unwrap();
            assert_eq!(witness.wait(&mut [Ready::default()], PATIENCE), Ok(1));
            // From now on the reactor knows of it, too.
            let turns = (1..100).find(|_| {
                let found = always.reactor.wait(&mut events, NOW).unwrap();
                let is_there = found.iter().any(|ready| ready.token == SOURCE);
                if found.iter().any(|ready| ready.token == TIMER) {
                    always.reactor.arm_timer_in(Duration::ZERO, TIMER).unwrap();
                }
                is_there
            });
            assert!(turns.unwrap() <= most, "room for {room}: {turns:?}");
            assert!(queue.try_reap().is_some());
        }
    }
}

/// Says that there is something new whenever it is looked at, and there never is.
struct Liar(Arc<OnceLock<Notifier>>);

impl Source for Liar {
    fn level(&self) -> Events {
        self.0.get().inspect(|notifier| notifier.notify(Events::IN));
        Events::empty()
    }
}

#[test]
fn notifications_that_never_end_do_not_keep_descriptors_and_wakers_waiting() {
    let mut reactor = reactor();
    let notifier = Arc::new(OnceLock::new());
    let liar = Watched::new(Liar(Arc::clone(&notifier)));
    notifier.set(liar.notifier()).unwrap();
    reactor.registry().add(&liar, Interest::IN, SOURCE).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    reactor.registry().add(&reader, Interest::IN, DESCRIPTOR).unwrap();
    let mut events = [Ready::default(); 8];
    reactor.registry().waker().wake();
    assert_eq!(reactor.wait(&mut events, None).unwrap(), []);
    writer.write_all(b"x").unwrap();
    assert_eq!(reactor.wait(&mut events, None).unwrap()[0].token, DESCRIPTOR);
}
