//! The wait call: its arguments, its end, and its buffer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use libc::{EFAULT, EINTR, EINVAL};

use crate::common::bits::{ET, IN, ONESHOT};
use crate::common::both;
use crate::common::histogram::outcomes;
use crate::common::waiters::Waiters;
use crate::common::world::{Counter, Poll, Watched, World, event};

both!(
    rule_48_no_room_is_invalid,
    rule_50_a_store_that_fails_first_consumes_nothing,
    rule_50_a_store_that_fails_later_ends_the_count,
    rule_50_the_only_event_is_not_consumed_either,
    rule_52_no_time_polls,
    rule_52_never_early,
    rule_52_without_a_timeout_it_waits_for_an_event,
    rule_52_an_event_ends_it_before_its_time,
    rule_55_a_sleeping_wait_is_interrupted,
    rule_55_an_interruption_that_is_pending_counts,
    rule_56_events_beat_an_interruption,
    rule_56_an_event_beats_an_interruption_that_came_first,
    rule_57_a_wait_of_no_time_is_not_interrupted,
);

fn rule_48_no_room_is_invalid<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(1));
    assert_eq!(poll.wait(0, Some(Duration::ZERO)), Err(EINVAL));
    poll.add(counter.source(), IN | ET, 1).unwrap();
    assert_eq!(poll.wait(0, None), Err(EINVAL));
    assert_eq!(poll.now(1), [event(IN, 1)]);
}

/// Three ready items, one of each trigger.
fn three<W: World>() -> (W::Poll, [W::Counter; 3]) {
    let (poll, counters) = (W::poll(), [W::counter(1), W::counter(1), W::counter(1)]);
    for (counter, (bits, data)) in counters.iter().zip([(ET, 1), (ONESHOT, 2), (0, 3)]) {
        poll.add(counter.source(), IN | bits, data).unwrap();
    }
    (poll, counters)
}

fn rule_50_a_store_that_fails_first_consumes_nothing<W: World>() {
    let (poll, _counters) = three::<W>();
    for _ in 0..3 {
        assert_eq!(poll.wait_where_stores_fail(8, 0), Err(EFAULT));
    }
    assert_eq!(poll.now(8), [event(IN, 1), event(IN, 2), event(IN, 3)]);
    assert_eq!(poll.now(8), [event(IN, 3)]);
}

fn rule_50_a_store_that_fails_later_ends_the_count<W: World>() {
    let (poll, _counters) = three::<W>();
    assert_eq!(poll.wait_where_stores_fail(8, 1), Ok(1));
    assert_eq!(poll.now(8), [event(IN, 2), event(IN, 3)]);
    let (poll, _counters) = three::<W>();
    assert_eq!(poll.wait_where_stores_fail(8, 2), Ok(2));
    assert_eq!(poll.now(8), [event(IN, 3)]);
    let (poll, _counters) = three::<W>();
    assert_eq!(poll.wait_where_stores_fail(8, 3), Ok(3));
    assert_eq!(poll.now(8), [event(IN, 3)]);
    let idle = W::poll();
    assert_eq!(idle.wait_where_stores_fail(8, 0), Ok(0), "nothing is stored where nothing is ready");
}

fn rule_50_the_only_event_is_not_consumed_either<W: World>() {
    for bits in [ET, ONESHOT, 0] {
        let (poll, counter) = (W::poll(), W::counter(0));
        poll.add(counter.source(), IN | bits, 1).unwrap();
        counter.write(1).unwrap();
        for _ in 0..2 {
            assert_eq!(poll.wait_where_stores_fail(8, 0), Err(EFAULT));
        }
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1)]);
        assert_eq!(poll.now(8).len(), usize::from(bits == 0));
    }
}

fn rule_52_no_time_polls<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    assert_eq!(poll.wait(8, Some(Duration::ZERO)), Ok(vec![]), "an empty interest list is none to refuse");
    poll.add(counter.source(), IN, 1).unwrap();
    assert_eq!(poll.wait(8, Some(Duration::ZERO)), Ok(vec![]));
    counter.write(1).unwrap();
    assert_eq!(poll.wait(8, Some(Duration::ZERO)), Ok(vec![event(IN, 1)]));
}

fn rule_52_never_early<W: World>() {
    let (poll, counter) = (W::poll(), W::counter(0));
    poll.add(counter.source(), IN, 1).unwrap();
    for micros in [1, 10, 100, 999, 1_000, 1_001, 2_500, 20_000] {
        let (timeout, start) = (Duration::from_micros(micros), Instant::now());
        assert_eq!(poll.wait(8, Some(timeout)), Ok(vec![]));
        assert!(start.elapsed() >= timeout, "{:?} instead of {timeout:?}", start.elapsed());
    }
}

fn rule_52_without_a_timeout_it_waits_for_an_event<W: World>() {
    let (poll, counter) = (Arc::new(W::poll()), W::counter(0));
    poll.add(counter.source(), IN, 1).unwrap();
    let mut waiters = Waiters::default();
    waiters.start::<W>(&poll);
    waiters.settle();
    assert_eq!(waiters.outcomes(), [None]);
    counter.write(1).unwrap();
    waiters.settle();
    assert_eq!(waiters.outcomes(), [Some(Ok(vec![event(IN, 1)]))]);
    waiters.release(|| ());
}

fn rule_52_an_event_ends_it_before_its_time<W: World>() {
    let (poll, counter) = (Arc::new(W::poll()), W::counter(0));
    poll.add(counter.source(), IN, 1).unwrap();
    let mut waiters = Waiters::default();
    // Far more than the test's own limit of time.
    waiters.start_timed::<W>(&poll, Some(Duration::from_secs(1 << 30)));
    waiters.settle();
    assert_eq!(waiters.outcomes(), [None]);
    counter.write(1).unwrap();
    waiters.settle();
    assert_eq!(waiters.outcomes(), [Some(Ok(vec![event(IN, 1)]))]);
    waiters.release(|| ());
}

fn rule_55_a_sleeping_wait_is_interrupted<W: World>() {
    for timeout in [None, Some(Duration::from_secs(1 << 20))] {
        let (poll, counter) = (Arc::new(W::poll()), W::counter(0));
        poll.add(counter.source(), IN, 1).unwrap();
        let mut waiters = Waiters::default();
        waiters.start_timed::<W>(&poll, timeout);
        waiters.settle();
        poll.interrupt(waiters.task(0));
        waiters.settle();
        assert_eq!(waiters.outcomes(), [Some(Err(EINTR))]);
        waiters.release(|| ());
        counter.write(1).unwrap();
        assert_eq!(poll.now(8), [event(IN, 1)]);
    }
}

fn rule_55_an_interruption_that_is_pending_counts<W: World>() {
    let poll = W::poll();
    assert_eq!(poll.wait_interrupted(8, None), Err(EINTR));
    assert_eq!(poll.wait_interrupted(8, Some(Duration::from_secs(1 << 20))), Err(EINTR));
    assert_eq!(poll.wait(8, Some(Duration::from_millis(1))), Ok(vec![]), "it counted once");
}

fn rule_56_events_beat_an_interruption<W: World>() {
    for timeout in [None, Some(Duration::ZERO), Some(Duration::from_secs(1))] {
        let (poll, _counters) = three::<W>();
        assert_eq!(poll.wait_interrupted(2, timeout), Ok(vec![event(IN, 1), event(IN, 2)]));
    }
}

fn rule_56_an_event_beats_an_interruption_that_came_first<W: World>() {
    let seen = outcomes(300, || {
        let (poll, counter) = (Arc::new(W::poll()), W::counter(0));
        poll.add(counter.source(), IN | ET, 1).unwrap();
        let waiters = Waiters::in_each::<W>([&poll]);
        poll.interrupt(waiters.task(0));
        counter.write(1).unwrap();
        waiters.settle();
        let outcome = waiters.outcomes().remove(0).expect("it was interrupted, at least");
        // Whoever was too quick to see the event has left it there.
        assert_eq!(poll.now(8).len(), usize::from(outcome.is_err()));
        waiters.release(|| ());
        outcome
    });
    let [event, interrupted] = [Ok(vec![event(IN, 1)]), Err(EINTR)];
    assert!(seen.contains_key(&event), "{seen:?}");
    assert!(seen.keys().all(|outcome| [&event, &interrupted].contains(&outcome)), "{seen:?}");
}

fn rule_57_a_wait_of_no_time_is_not_interrupted<W: World>() {
    let poll = W::poll();
    assert_eq!(poll.wait_interrupted(8, Some(Duration::ZERO)), Ok(vec![]));
}
