//! The sources in the box that the kernel does not have, or not on a clock that can be turned.

use std::sync::Arc;
use std::time::Duration;

use eventpoll::sources::{Clock, Event, Timer, TryRecvError, TrySendError, bounded, unbounded};
use eventpoll::{AsSource, Error, EventPoll, Events, Interest, Ready};

const NOW: Option<Duration> = Some(Duration::ZERO);
const ALL: Interest = Interest::IN.union(Interest::OUT).union(Interest::EDGE);

fn reported(poll: &EventPoll) -> Vec<(u64, Events)> {
    let mut out = [Ready::default(); 16];
    let count = poll.wait(&mut out, NOW).unwrap();
    out[..count].iter().map(|ready| (ready.token, ready.events)).collect()
}

fn watching(sources: &[&dyn AsSource]) -> EventPoll {
    let poll = EventPoll::new();
    for (token, source) in sources.iter().enumerate() {
        poll.add(*source, ALL, token as u64).unwrap();
    }
    reported(&poll);
    poll
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_channel_delivers_in_order_and_each_value_is_an_edge() {
    let (sender, receiver) = unbounded();
    let poll = watching(&[&receiver]);
    sender.try_send(1).unwrap();
    assert_eq!(reported(&poll), [(0, Events::IN)]);
    sender.clone().try_send(2).unwrap();
    assert_eq!(reported(&poll), [(0, Events::IN)]);
    assert_eq!(reported(&poll), []);
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn a_full_channel_is_writable_again_when_a_value_is_taken() {
    let (sender, receiver) = bounded(2);
    let poll = watching(&[&sender]);
    sender.try_send('a').unwrap();
    assert_eq!(receiver.try_recv(), Ok('a'));
    assert_eq!(reported(&poll), [], "there was room all the time");
    sender.try_send('b').unwrap();
    sender.try_send('c').unwrap();
    assert_eq!(sender.try_send('d'), Err(TrySendError::Full('d')));
    assert_eq!(receiver.try_recv(), Ok('b'));
    assert_eq!(reported(&poll), [(0, Events::OUT)]);
}

#[test]
fn a_channel_says_when_the_other_end_is_gone() {
    let (sender, receiver) = unbounded();
    let poll = watching(&[&receiver]);
    sender.try_send(1).unwrap();
    drop(sender.clone());
    assert_eq!(reported(&poll), [(0, Events::IN)], "one sender is left");
    drop(sender);
    assert_eq!(reported(&poll), [(0, Events::IN | Events::HUP)]);
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected));

    let (sender, receiver) = bounded(1);
    let poll = watching(&[&sender]);
    drop(receiver);
    assert_eq!(reported(&poll), [(0, Events::OUT | Events::ERR)]);
    assert_eq!(sender.try_send(1), Err(TrySendError::Disconnected(1)));
}

#[test]
fn a_channel_of_no_room_is_always_full() {
    let (sender, _receiver) = bounded(0);
    assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
}

#[test]
fn values_left_in_a_channel_are_dropped_with_its_receiver() {
    let value = Arc::new(());
    let (sender, receiver) = unbounded();
    sender.try_send(value.clone()).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_timer_expires_once_when_its_time_has_come() {
    let clock = Clock::manual();
    let timer = Timer::new(&clock);
    let poll = watching(&[&timer]);
    timer.set(seconds(10), None);
    assert_eq!(clock.next_deadline(), Some(seconds(10)));
    clock.turn(seconds(10) - Duration::from_nanos(1));
    assert_eq!((reported(&poll), timer.read()), (vec![], Err(Error::WouldBlock)));
    clock.turn(seconds(10));
    assert_eq!(reported(&poll), [(0, Events::IN)]);
    clock.turn(seconds(100));
    assert_eq!((timer.read(), timer.read()), (Ok(1), Err(Error::WouldBlock)));
    assert_eq!(clock.next_deadline(), None);
}

#[test]
fn rule_41_a_periodic_timer_that_is_not_read_is_one_edge() {
    let clock = Clock::manual();
    let timer = Timer::new(&clock);
    let poll = watching(&[&timer]);
    timer.set(seconds(1), Some(seconds(2)));
    for second in 1..10 {
        clock.turn(seconds(second));
        assert_eq!(reported(&poll).len(), usize::from(second == 1), "after {second} s");
    }
    // At 1, 3, 5, 7 and 9; the next is at 11.
    assert_eq!(timer.read(), Ok(5));
    assert_eq!(clock.next_deadline(), Some(seconds(11)));
    clock.turn(seconds(11));
    assert_eq!((reported(&poll), timer.read()), (vec![(0, Events::IN)], Ok(1)));
}

#[test]
fn rule_76_setting_a_timer_clears_it() {
    let clock = Clock::manual();
    let timer = Timer::new(&clock);
    let poll = watching(&[&timer]);
    timer.set(seconds(1), None);
    clock.turn(seconds(1));
    timer.set(seconds(1), None);
    assert_eq!((reported(&poll), timer.read()), (vec![], Err(Error::WouldBlock)));
    timer.set(Duration::ZERO, None);
    clock.turn(seconds(100));
    assert_eq!((reported(&poll), clock.next_deadline()), (vec![], None));
}

#[test]
fn timers_expire_in_the_order_of_their_times() {
    let clock = Clock::manual();
    let timers = [3, 1, 2, 1].map(|after| (after, Timer::new(&clock)));
    let poll = watching(&[&timers[0].1, &timers[1].1, &timers[2].1, &timers[3].1]);
    for (after, timer) in &timers {
        timer.set(seconds(*after), None);
    }
    clock.turn(seconds(3));
    let order: Vec<_> = reported(&poll).into_iter().map(|(token, _)| token).collect();
    assert_eq!(order, [1, 3, 2, 0]);
}

#[test]
fn extreme_times_are_no_trouble() {
    let clock = Clock::manual();
    let timer = Timer::new(&clock);
    timer.set(Duration::from_nanos(1), Some(Duration::from_nanos(1)));
    clock.turn(Duration::MAX);
    assert_eq!(timer.read(), Ok(u64::MAX));
    timer.set(Duration::MAX, Some(Duration::MAX));
    assert_eq!(timer.read(), Err(Error::WouldBlock));
}

#[test]
fn the_system_clock_wakes_a_waiter() {
    let clock = Clock::system().unwrap();
    let (slow, fast) = (Timer::new(&clock), Timer::new(&clock));
    let poll = watching(&[&slow, &fast]);
    slow.set(seconds(3600), None);
    let before = clock.now();
    fast.set(Duration::from_millis(2), None);
    let mut out = [Ready::default()];
    assert_eq!(poll.wait(&mut out, None), Ok(1));
    assert_eq!((out[0].token, fast.read()), (1, Ok(1)));
    assert!(clock.now() >= before + Duration::from_millis(2), "it came too early");
}

#[test]
fn an_event_in_semaphore_mode_gives_one_at_a_time() {
    let event = Event::semaphore(2);
    assert_eq!((event.read(), event.read(), event.read()), (Ok(1), Ok(1), Err(Error::WouldBlock)));
}
