//! A source's level that calls back into the event poll that asks for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{AsSource, Error, EventPoll, Events, Interest, Ready, Watched};

use crate::common::ours_alone;
use crate::common::own_source::OwnSource;

ours_alone!(
    control_in_a_level_is_a_deadlock_error,
    a_wait_in_a_level_is_a_deadlock_error,
    a_wait_in_a_level_that_would_find_nothing_is_one_too,
    another_event_poll_is_no_way_around,
    a_level_below_a_nested_event_poll_is_inside_too,
    notifying_in_a_level_is_seen_by_the_next_wait,
    notifying_itself_is_one_more_edge,
    a_level_that_notifies_itself_does_not_keep_a_wait_beyond_its_time,
    dropping_a_source_in_a_level_removes_it,
    dropping_an_event_poll_in_a_level,
    closing_in_a_level_ends_the_wait,
);

const NOW: Option<Duration> = Some(Duration::ZERO);

fn now(poll: &EventPoll) -> Vec<(u64, Events)> {
    let mut out = [Ready::default(); 16];
    let stored = poll.wait(&mut out, NOW).unwrap();
    out[..stored].iter().map(|ready| (ready.token, ready.events)).collect()
}

/// What the tests of calls in a level work with.
struct Calling<R> {
    poll: Arc<EventPoll>,
    source: Watched<OwnSource>,
    other: Arc<Event>,
    results: Arc<Mutex<Vec<R>>>,
}

/// A ready source in an event poll; each look at its level calls `call` with the event poll and a second source in it,
/// and keeps the result.
fn calling<R: Send + 'static>(call: impl Fn(&EventPoll, &Event) -> R + Send + 'static) -> Calling<R> {
    let poll = Arc::new(EventPoll::new());
    let (source, other) = (OwnSource::watched(Events::IN), Arc::new(Event::new(1)));
    poll.add(&*other, Interest::IN, 2).unwrap();
    poll.add(&source, Interest::IN, 1).unwrap();
    let results = Arc::new(Mutex::new(Vec::new()));
    let (of_hook, in_hook, kept) = (poll.clone(), other.clone(), results.clone());
    source.hook(move || kept.lock().unwrap().push(call(&of_hook, &in_hook)));
    Calling { poll, source, other, results }
}

fn control_in_a_level_is_a_deadlock_error() {
    let Calling { poll, source, results, other: _other } = calling(|poll, other| {
        let new = Event::new(0);
        [poll.add(&new, Interest::IN, 0), poll.modify(other, Interest::OUT, 0), poll.delete(other)]
    });
    assert_eq!(now(&poll), [(2, Events::IN), (1, Events::IN)], "the wait is not disturbed");
    assert_eq!(poll.modify(&source, Interest::IN, 3), Ok(()), "neither is a control call");
    assert_eq!(poll.poll(), Events::IN | Events::RDNORM);
    assert!(poll.watches().is_ok());
    let results = results.lock().unwrap();
    assert!(results.len() >= 3, "the hook ran");
    assert!(results.iter().flatten().all(|result| *result == Err(Error::Deadlock)), "{results:?}");
}

fn a_wait_in_a_level_is_a_deadlock_error() {
    let Calling { poll, results, source: _source, other: _other } = calling(|poll, other| {
        let mut out = [Ready::default()];
        let waits = [poll.wait(&mut out, NOW), poll.wait(&mut out, None)];
        let looks = [poll.watches().map(|watches| watches.len()), poll.len(), poll.contains(other).map(usize::from)];
        waits.into_iter().chain(looks).collect::<Vec<_>>()
    });
    assert_eq!(now(&poll), [(2, Events::IN), (1, Events::IN)]);
    let results = results.lock().unwrap();
    assert!(!results.is_empty(), "the hook ran");
    assert!(results.iter().flatten().all(|result| *result == Err(Error::Deadlock)), "{results:?}");
}

fn a_wait_in_a_level_that_would_find_nothing_is_one_too() {
    let (poll, source) = (Arc::new(EventPoll::new()), OwnSource::watched(Events::empty()));
    let (of_hook, results) = (Arc::downgrade(&poll), Arc::new(Mutex::new(Vec::new())));
    let kept = results.clone();
    source.hook(move || {
        let poll = of_hook.upgrade().unwrap();
        kept.lock().unwrap().push((poll.wait(&mut [Ready::default()], NOW), poll.is_empty()));
    });
    // Nothing is in the ready list while `add` looks.
    poll.add(&source, Interest::IN, 1).unwrap();
    assert_eq!(*results.lock().unwrap(), [(Err(Error::Deadlock), Err(Error::Deadlock))]);
    assert_eq!(poll.wait(&mut [Ready::default()], NOW), Ok(0));
}

fn another_event_poll_is_no_way_around() {
    // Two event polls whose levels lock each other would be a deadlock of two threads.
    let elsewhere = EventPoll::new();
    let Calling { poll, results, source: _source, other: _other } =
        calling(move |_, other| elsewhere.add(other, Interest::IN, 0));
    assert_eq!(now(&poll).len(), 2);
    assert_eq!(*results.lock().unwrap(), [Err(Error::Deadlock)]);
}

fn a_level_below_a_nested_event_poll_is_inside_too() {
    let Calling { poll: inner, results, other, source: _source } = calling(|poll, other| poll.delete(other));
    let outer = EventPoll::new();
    outer.add(&*inner, Interest::IN, 9).unwrap();
    assert_eq!(now(&outer), [(9, Events::IN)]);
    // The other is asked first, and is ready; it has to go for the hook to run.
    inner.delete(&*other).unwrap();
    assert_eq!(now(&outer), [(9, Events::IN)]);
    let results = results.lock().unwrap();
    assert!(!results.is_empty(), "the hook ran");
    assert!(results.iter().all(|result| *result == Err(Error::Deadlock)), "{results:?}");
}

fn notifying_in_a_level_is_seen_by_the_next_wait() {
    let (poll, source, late) = (EventPoll::new(), OwnSource::watched(Events::IN), Arc::new(Event::new(0)));
    poll.add(&source, Interest::IN | Interest::EDGE, 1).unwrap();
    poll.add(&*late, Interest::IN, 2).unwrap();
    let in_hook = late.clone();
    source.hook(move || in_hook.write(1).unwrap());
    assert_eq!(now(&poll), [(1, Events::IN)]);
    assert_eq!(now(&poll), [(2, Events::IN)]);
}

fn notifying_itself_is_one_more_edge() {
    let (poll, source) = (EventPoll::new(), Arc::new(OwnSource::watched(Events::IN)));
    poll.add(&*source, Interest::IN | Interest::EDGE, 1).unwrap();
    let in_hook = Arc::downgrade(&source);
    source.hook(move || in_hook.upgrade().unwrap().notify(Events::IN));
    for _ in 0..5 {
        assert_eq!(now(&poll), [(1, Events::IN)]);
    }
}

fn a_level_that_notifies_itself_does_not_keep_a_wait_beyond_its_time() {
    let (poll, source) = (EventPoll::new(), Arc::new(OwnSource::watched(Events::empty())));
    poll.add(&*source, Interest::IN, 1).unwrap();
    let in_hook = Arc::downgrade(&source);
    source.hook(move || in_hook.upgrade().unwrap().notify(Events::IN));
    source.notify(Events::IN);
    assert_eq!(now(&poll), []);
    let mut out = [Ready::default()];
    assert_eq!(poll.wait(&mut out, Some(Duration::from_millis(5))), Ok(0));
}

fn dropping_a_source_in_a_level_removes_it() {
    let (poll, source) = (EventPoll::new(), OwnSource::watched(Events::IN));
    let victims = [Event::new(1), Event::new(1)];
    let [before, after] = &victims;
    poll.add(before, Interest::IN, 1).unwrap();
    poll.add(&source, Interest::IN, 2).unwrap();
    poll.add(after, Interest::IN, 3).unwrap();
    let mut victims = Some(victims);
    source.hook(move || drop(victims.take()));
    assert_eq!(now(&poll), [(1, Events::IN), (2, Events::IN)], "the one behind it is gone when the scan comes to it");
    assert_eq!(now(&poll), [(2, Events::IN)]);
    assert_eq!(poll.len(), Ok(1));
}

fn dropping_an_event_poll_in_a_level() {
    let (poll, source, inner) = (EventPoll::new(), OwnSource::watched(Events::IN), EventPoll::new());
    let ready = Event::new(1);
    inner.add(&ready, Interest::IN, 0).unwrap();
    poll.add(&source, Interest::IN, 1).unwrap();
    poll.add(&inner, Interest::IN, 2).unwrap();
    let mut inner = Some(inner);
    source.hook(move || drop(inner.take()));
    assert_eq!(now(&poll), [(1, Events::IN)]);
    ready.write(1).unwrap();
    assert_eq!((now(&poll), poll.len()), (vec![(1, Events::IN)], Ok(1)));
}

fn closing_in_a_level_ends_the_wait() {
    let Calling { poll, source, .. } = calling(|poll, _| poll.close());
    let mut out = [Ready::default(); 4];
    // What the wait under way reports is its own affair; all that come later see that it is closed.
    let _ = poll.wait(&mut out, NOW);
    assert_eq!(poll.wait(&mut out, None), Err(Error::Closed));
    assert_eq!(poll.modify(&source, Interest::IN, 0), Err(Error::Closed));
    assert_eq!(poll.len(), Err(Error::Closed));
    let named: &dyn AsSource = &source;
    assert_eq!(EventPoll::new().add(named, Interest::IN, 0), Ok(()), "the source is none the worse");
}
