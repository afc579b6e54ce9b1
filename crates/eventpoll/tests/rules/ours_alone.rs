//! Rules that the kernel has, but that no test can bring it to show, or that ours has one more way to show.

use std::sync::Arc;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Error, EventPoll, Events, Interest};

use crate::common::histogram::outcomes;
use crate::common::kernel_signal;
use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::own_source::OwnSource;
use crate::common::waiters::Waiters;

ours_alone!(
    rule_14_no_space_at_the_limit,
    rule_55_a_signal_interrupts_the_futex,
    rule_66_a_key_of_both_directions_is_no_exclusive_wake,
);

// The kernel's limit is one for all processes: to reach it, it would have to be turned down for the whole machine.
fn rule_14_no_space_at_the_limit() {
    let poll = EventPoll::new();
    let [a, b, c] = [(); 3].map(|()| Event::new(0));
    poll.set_limit(2);
    poll.add(&a, Interest::IN, 0).unwrap();
    poll.add(&b, Interest::IN, 0).unwrap();
    assert_eq!(poll.add(&c, Interest::IN, 0), Err(Error::NoSpace));
    assert_eq!(Error::NoSpace.raw_os_error(), libc::ENOSPC);
    assert_eq!(poll.add(&a, Interest::IN, 0), Err(Error::Exists), "rule 5: what is there is looked for first");
    assert_eq!(poll.modify(&a, Interest::OUT, 0), Ok(()));
    poll.delete(&a).unwrap();
    assert_eq!(poll.add(&c, Interest::IN, 0), Ok(()));
    drop(b);
    assert_eq!(poll.add(&a, Interest::IN, 0), Ok(()), "what is closed is counted no more");
    poll.set_limit(0);
    assert_eq!(poll.len(), Ok(2), "what is there stays");
    assert_eq!(poll.delete(&a), Ok(()));
    assert_eq!(poll.add(&a, Interest::IN, 0), Err(Error::NoSpace));
}

// Elsewhere our side is interrupted by a waker, which has no thread to choose.
fn rule_55_a_signal_interrupts_the_futex() {
    for timeout in [None, Some(Duration::from_secs(1 << 20))] {
        let poll = Arc::new(EventPoll::new());
        let mut waiters = Waiters::default();
        waiters.start_timed::<Ours>(&poll, timeout);
        waiters.settle();
        kernel_signal::interrupt(waiters.task(0));
        waiters.settle();
        assert_eq!(waiters.outcomes(), [Some(Err(libc::EINTR))]);
        waiters.release(|| ());
    }
}

// No source of the kernel's that two epolls can watch exclusively notifies with such a key.
fn rule_66_a_key_of_both_directions_is_no_exclusive_wake() {
    const IN: Events = Events::IN;
    const OUT: Events = Events::OUT;
    const HUP: Events = Events::HUP;
    // The key, what both ask for, and who of the two wakes.
    let cases: [(Events, Events, &[usize]); 8] = [
        (IN, IN, &[0]),
        (OUT, OUT, &[0]),
        (IN.union(OUT), IN.union(OUT), &[0, 1]),
        (IN.union(OUT), IN, &[0, 1]),
        (Events::empty(), IN, &[0]),
        (HUP, IN, &[0]),
        (IN.union(HUP), IN, &[0]),
        (IN.union(HUP), OUT, &[0, 1]),
    ];
    for (key, asked, expected) in cases {
        let seen = outcomes(10, || woken(key, asked));
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), [expected], "key {key:?}, asked {asked:?}");
    }
}

/// Two event polls watch a source exclusively, in each a thread sleeps; who wakes by this key?
fn woken(key: Events, asked: Events) -> Vec<usize> {
    let (source, end) = (OwnSource::watched(Events::empty()), Event::new(0));
    let polls = [Arc::new(EventPoll::new()), Arc::new(EventPoll::new())];
    for poll in &polls {
        poll.add(&source, Interest::from(asked) | Interest::EXCLUSIVE, 1).unwrap();
        poll.add(&end, Interest::IN, 2).unwrap();
    }
    let waiters = Waiters::in_each::<Ours>(&polls);
    source.set(asked);
    source.notify(key);
    waiters.settle();
    let woken = waiters.returned();
    waiters.release(|| end.write(1).unwrap());
    woken
}
