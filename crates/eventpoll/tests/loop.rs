//! The way through all of it, once.

use std::sync::Arc;
use std::time::Duration;

use eventpoll::sources::{Event, pipe};
use eventpoll::{Error, EventPoll, Events, Interest, Ready};

const NOW: Option<Duration> = Some(Duration::ZERO);

fn drain(poll: &EventPoll) -> Vec<(u64, Events)> {
    let mut out = [Ready::default(); 16];
    let n = poll.wait(&mut out, NOW).unwrap();
    out[..n].iter().map(|r| (r.token, r.events)).collect()
}

#[test]
fn edge_level_oneshot() {
    let poll = EventPoll::new();
    let (a, b) = (Event::new(0), Event::new(0));
    poll.add(&a, Interest::IN | Interest::EDGE, 1).unwrap();
    poll.add(&b, Interest::IN, 2).unwrap();
    assert_eq!(poll.add(&a, Interest::IN, 1), Err(Error::Exists));
    assert_eq!(drain(&poll), []);
    a.write(1).unwrap();
    b.write(1).unwrap();
    assert_eq!(drain(&poll), [(1, Events::IN), (2, Events::IN)]);
    assert_eq!(drain(&poll), [(2, Events::IN)]);
    a.write(0).unwrap();
    assert_eq!(drain(&poll), [(2, Events::IN), (1, Events::IN)]);
    drop(b);
    assert_eq!(poll.len(), 1);
    assert_eq!(drain(&poll), []);
    poll.modify(&a, Interest::IN | Interest::ONESHOT, 3).unwrap();
    assert_eq!(drain(&poll), [(3, Events::IN)]);
    a.write(1).unwrap();
    assert_eq!(drain(&poll), []);
    poll.delete(&a).unwrap();
    assert_eq!(poll.delete(&a), Err(Error::NotFound));
}

#[test]
fn nested_and_closed() {
    let (outer, inner) = (EventPoll::new(), EventPoll::new());
    let (r, w) = pipe();
    outer.add(&inner, Interest::IN, 9).unwrap();
    inner.add(&r, Interest::IN, 8).unwrap();
    assert_eq!(inner.add(&outer, Interest::IN, 7), Err(Error::Loop));
    assert_eq!(drain(&outer), []);
    w.write(b"x").unwrap();
    assert_eq!(drain(&outer), [(9, Events::IN)]);
    r.read(&mut [0; 8]).unwrap();
    assert_eq!(drain(&outer), []);
    drop(w);
    assert_eq!(drain(&inner), [(8, Events::HUP)]);
    assert_eq!(drain(&outer), [(9, Events::IN)]);
    inner.close();
    assert_eq!(drain(&outer), []);
    assert_eq!(inner.wait(&mut [Ready::default()], None), Err(Error::Closed));
}

#[test]
fn threads() {
    let poll = Arc::new(EventPoll::new());
    let event = Arc::new(Event::new(0));
    poll.add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
    let other = {
        let (poll, event) = (poll.clone(), event.clone());
        std::thread::spawn(move || {
            let mut sum = 0;
            while sum < 1000 {
                poll.wait(&mut [Ready::default()], None).unwrap();
                while let Ok(n) = event.read() {
                    sum += n;
                }
            }
            assert_eq!(poll.wait(&mut [Ready::default()], Some(Duration::from_millis(3))), Ok(0));
            assert_eq!(poll.wait(&mut [Ready::default()], None), Err(Error::Interrupted));
            assert_eq!(poll.wait(&mut [Ready::default()], None), Err(Error::Closed));
        })
    };
    for _ in 0..1000 {
        event.write(1).unwrap();
    }
    std::thread::sleep(Duration::from_millis(20));
    poll.waker().wake();
    std::thread::sleep(Duration::from_millis(20));
    poll.close();
    other.join().unwrap();
}
