//! Handlers, and the loop that calls them.

use crate::NOW;
use crate::common::PATIENCE;
use eventpoll::sources::{Event, unbounded};
use onewait::Errno;
use onewait::reactor::{Dispatcher, Events, Interest, Next};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

type Log = Vec<&'static str>;

fn dispatcher() -> Dispatcher<Log> {
    Dispatcher::new().unwrap()
}

#[test]
fn the_loop_ends_when_nothing_is_left_to_be_called_for() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    dispatcher.run(&mut log).unwrap();
    let (reader, mut writer) = io::pipe().unwrap();
    dispatcher
        .watch(reader, Interest::IN, |_, log: &mut Log, reader, events| {
            let mut bytes = [0; 8];
            let count = reader.read(&mut bytes)?;
            log.push(if events.contains(Events::HUP) { "end" } else { "bytes" });
            Ok(if count == 0 { Next::Remove } else { Next::Keep })
        })
        .unwrap();
    writer.write_all(b"x").unwrap();
    dispatcher
        .after(Duration::from_millis(2), move |_, log| {
            drop(writer);
            log.push("timer");
            Ok(())
        })
        .unwrap();
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log, ["bytes", "timer", "end"]);
}

#[test]
fn a_handler_may_watch_and_remove_others() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let victim = dispatcher.watch(Event::new(0), Interest::IN, |_, _, _, _| unreachable!("it is removed")).unwrap();
    dispatcher
        .watch(Event::new(1), Interest::IN, move |dispatcher, log: &mut Log, _, _| {
            assert!(dispatcher.remove(victim));
            assert!(!dispatcher.remove(victim));
            dispatcher.watch(Event::new(1), Interest::IN, |_, log: &mut Log, _, _| {
                log.push("second");
                Ok(Next::Remove)
            })?;
            log.push("first");
            Ok(Next::Remove)
        })
        .unwrap();
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log, ["first", "second"]);
}

#[test]
fn a_source_that_is_removed_in_the_same_turn_is_not_called_for() {
    let mut dispatcher = Dispatcher::<Vec<usize>>::new().unwrap();
    let ids = Rc::new(Cell::new([None; 2]));
    let mut both = [None; 2];
    for (place, id) in both.iter_mut().enumerate() {
        let ids = Rc::clone(&ids);
        *id = Some(
            dispatcher
                .watch(Event::new(1), Interest::IN, move |dispatcher, called: &mut Vec<usize>, _, _| {
                    called.push(place);
                    assert!(dispatcher.remove(ids.get()[1 - place].unwrap()));
                    Ok(Next::Remove)
                })
                .unwrap(),
        );
    }
    ids.set(both);
    let mut called = Vec::new();
    dispatcher.run(&mut called).unwrap();
    assert_eq!(called, [0], "both were ready, and the first removed the second");
}

#[test]
fn a_handler_that_removes_itself_is_not_called_again_whatever_it_returns() {
    for next in [Next::Keep, Next::Watch(Interest::IN), Next::Remove] {
        let (mut dispatcher, mut log) = (dispatcher(), Log::new());
        let id = Rc::new(Cell::new(None));
        let own = Rc::clone(&id);
        let watched = dispatcher.watch(Event::new(1), Interest::IN, move |dispatcher, log: &mut Log, _, _| {
            log.push("called");
            assert!(dispatcher.remove(own.get().unwrap()));
            Ok(next)
        });
        id.set(Some(watched.unwrap()));
        dispatcher.run(&mut log).unwrap();
        assert_eq!(log, ["called"]);
    }
}

#[test]
fn next_watch_changes_the_interest_and_arms_a_oneshot() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let oneshot = Interest::OUT | Interest::ONESHOT;
    let id = dispatcher
        .watch(Event::new(0), oneshot, |_, log: &mut Log, event, events| {
            log.push(if events == Events::OUT { "out" } else { "in" });
            event.write(1).map_err(io::Error::from)?;
            Ok(if log.len() == 1 { Next::Keep } else { Next::Watch(Interest::IN | Interest::ONESHOT) })
        })
        .unwrap();
    assert_eq!(dispatcher.turn(&mut log, NOW).unwrap(), 1);
    assert_eq!(dispatcher.turn(&mut log, NOW).unwrap(), 0, "silent");
    dispatcher.modify(id, oneshot).unwrap();
    assert_eq!(dispatcher.turn(&mut log, NOW).unwrap(), 1);
    assert_eq!(dispatcher.turn(&mut log, NOW).unwrap(), 1);
    assert_eq!(log, ["out", "out", "in"]);
    assert!(dispatcher.remove(id));
    assert_eq!(dispatcher.modify(id, oneshot), Err(Errno(libc::ENOENT)));
}

#[test]
fn what_a_failing_handler_leaves_is_called_for_in_the_next_turn() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    for fails in [true, false, true] {
        let handler = move |_: &mut Dispatcher<Log>, log: &mut Log, _: &mut Event, _| {
            log.push(if fails { "fails" } else { "works" });
            if fails { Err(io::Error::other("no")) } else { Ok(Next::Remove) }
        };
        // By edges: what is lost would not come again.
        dispatcher.watch(Event::new(1), Interest::IN | Interest::EDGE, handler).unwrap();
    }
    assert_eq!(dispatcher.run(&mut log).unwrap_err().to_string(), "no");
    assert_eq!(dispatcher.run(&mut log).unwrap_err().to_string(), "no");
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log, ["fails", "works", "fails"]);
}

#[test]
fn stop_ends_the_loop_and_what_is_left_is_for_the_next() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    for _ in 0..3 {
        let handler = |dispatcher: &mut Dispatcher<Log>, log: &mut Log, _: &mut Event, _| {
            log.push("called");
            dispatcher.stop();
            Ok(Next::Remove)
        };
        dispatcher.watch(Event::new(1), Interest::IN | Interest::EDGE, handler).unwrap();
    }
    for called in 1..=3 {
        dispatcher.run(&mut log).unwrap();
        assert_eq!(log.len(), called);
    }
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log.len(), 3);
}

#[test]
fn a_cancelled_timer_is_not_called_and_a_late_cancel_is_told() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let cancelled = dispatcher.after(Duration::ZERO, |_, _| unreachable!("it is cancelled")).unwrap();
    assert!(dispatcher.cancel(cancelled));
    assert!(!dispatcher.cancel(cancelled));
    let called = dispatcher
        .after(Duration::ZERO, |_, log: &mut Log| {
            log.push("called");
            Ok(())
        })
        .unwrap();
    dispatcher.run(&mut log).unwrap();
    assert_eq!(log, ["called"]);
    assert!(!dispatcher.cancel(called));
}

#[test]
fn a_source_is_dropped_with_its_handler_and_watched_no_more() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let (sender, receiver) = unbounded::<u8>();
    let id = dispatcher.watch(receiver, Interest::IN, |_, _, _, _| Ok(Next::Keep)).unwrap();
    assert!(dispatcher.remove(id));
    assert!(sender.try_send(1).is_err(), "the receiver is gone");
    // A descriptor that has a duplicate: closing this one would not be enough.
    let (reader, mut writer) = io::pipe().unwrap();
    let other = reader.try_clone().unwrap();
    let id = dispatcher.watch(reader, Interest::IN, |_, _, _, _| unreachable!("it is removed")).unwrap();
    assert!(dispatcher.remove(id));
    writer.write_all(b"x").unwrap();
    assert_eq!(dispatcher.turn(&mut log, NOW).unwrap(), 0);
    drop(other);
}

#[test]
fn a_waker_lets_a_turn_return() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    dispatcher.registry().waker().wake();
    assert_eq!(dispatcher.turn(&mut log, PATIENCE).unwrap(), 0);
}

#[test]
fn an_interruption_that_a_handler_reports_ends_the_loop_with_it() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let handler = |_: &mut Dispatcher<Log>, _: &mut Log, _: &mut Event, _| Err(io::ErrorKind::Interrupted.into());
    dispatcher.watch(Event::new(1), Interest::IN, handler).unwrap();
    assert_eq!(dispatcher.run(&mut log).unwrap_err().kind(), io::ErrorKind::Interrupted);
}

#[test]
fn what_is_added_to_the_registry_directly_reaches_no_handler() {
    let (mut dispatcher, mut log) = (dispatcher(), Log::new());
    let (handled, direct) = (Event::new(0), Event::new(1));
    dispatcher.watch(handled, Interest::IN, |_, _, _, _| unreachable!("it is not ready")).unwrap();
    for token in [0, 1, 1 << 32] {
        dispatcher.registry().add(&direct, Interest::IN, token).unwrap();
        dispatcher.turn(&mut log, NOW).unwrap();
        dispatcher.registry().delete(&direct).unwrap();
    }
}
