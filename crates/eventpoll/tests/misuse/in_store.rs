//! A wait's store closure that calls back into the event poll.

use std::cell::RefCell;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Error, EventPoll, Interest, Ready};

use crate::common::ours_alone;

ours_alone!(calls_in_a_store_are_deadlock_errors, dropping_a_source_in_a_store, closing_in_a_store);

const NOW: Option<Duration> = Some(Duration::ZERO);

fn three() -> (EventPoll, [Event; 3]) {
    let (poll, events) = (EventPoll::new(), [(); 3].map(|()| Event::new(1)));
    for (event, token) in events.iter().zip(1..) {
        poll.add(event, Interest::IN, token).unwrap();
    }
    (poll, events)
}

fn calls_in_a_store_are_deadlock_errors() {
    let (poll, [a, _b, c]) = three();
    let (new, mut seen) = (Event::new(0), Vec::new());
    let stored = poll.wait_with(2, NOW, |ready| {
        seen.push(ready.token);
        assert_eq!(poll.delete(&a), Err(Error::Deadlock));
        assert_eq!(poll.modify(&c, Interest::OUT, 9), Err(Error::Deadlock));
        assert_eq!(poll.add(&new, Interest::IN, 9), Err(Error::Deadlock));
        assert_eq!(poll.wait(&mut [Ready::default()], None), Err(Error::Deadlock));
        assert!(poll.poll().is_empty());
        true
    });
    assert_eq!((stored, seen), (Ok(2), vec![1, 2]));
    assert_eq!(poll.delete(&a), Ok(()), "it is over with the wait");
}

fn dropping_a_source_in_a_store() {
    let (poll, [a, b, c]) = three();
    let (victims, mut seen) = (RefCell::new(Some((a, b))), Vec::new());
    let stored = poll.wait_with(3, NOW, |ready| {
        seen.push(ready.token);
        // The one that is just reported, and the next.
        drop(victims.take());
        true
    });
    assert_eq!((stored, seen), (Ok(2), vec![1, 3]));
    assert_eq!(poll.len(), Ok(1));
    assert_eq!(poll.delete(&c), Ok(()));
}

fn closing_in_a_store() {
    let (poll, [a, ..]) = three();
    let stored = poll.wait_with(3, NOW, |_| {
        poll.close();
        true
    });
    assert!(stored.is_ok_and(|stored| stored >= 1), "{stored:?}");
    assert_eq!(poll.wait_with(3, None, |_| true), Err(Error::Closed));
    assert_eq!(poll.add(&a, Interest::IN, 0), Err(Error::Closed));
    assert_eq!(poll.len(), Err(Error::Closed));
}
