//! Rules that the kernel has, but that no test can bring it to show, or that ours has one more way to show.

use std::io::{BufRead, BufReader, Write};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Error, EventPoll, Events, Interest};

use crate::common::bits::IN;
use crate::common::histogram::outcomes;
use crate::common::kernel::Kernel;
use crate::common::kernel_signal;
use crate::common::ours::Ours;
use crate::common::ours_alone;
use crate::common::own_source::OwnSource;
use crate::common::tasks;
use crate::common::waiters::Waiters;
use crate::common::world::{Poll, Watched, World};

ours_alone!(
    rule_14_no_space_at_the_limit,
    rule_55_a_signal_interrupts_the_futex,
    rule_55_but_a_stop_does_not,
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
    assert_eq!([&a, &b, &c].map(|source| poll.contains(source)), [Ok(true), Ok(true), Ok(false)]);
    assert_eq!(poll.modify(&a, Interest::OUT, 0), Ok(()));
    poll.delete(&a).unwrap();
    assert_eq!(poll.contains(&a), Ok(false));
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

// The deviation that `EventPoll::wait` names. The whole process is stopped, so that is a child: this test, run once more.
fn rule_55_but_a_stop_does_not() {
    const CHILD: &str = "EVENTPOLL_TEST_STOPPED";
    if std::env::var_os(CHILD).is_some() {
        return waits_while_it_is_stopped();
    }
    let mut child = Child(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "rules::ours_alone::ours::rule_55_but_a_stop_does_not"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut said = BufReader::new(child.0.stdout.take().unwrap());
    // The test harness says things of its own before.
    let mut line = String::new();
    while !line.contains("asleep") {
        assert!(said.read_line(&mut line).is_ok_and(|length| length > 0), "the child ended: {line}");
    }
    let id = child.0.id();
    kernel_signal::send_process(libc::SIGSTOP, id);
    while tasks::state(id) != Some(b'T') {
        thread::yield_now();
    }
    kernel_signal::send_process(libc::SIGCONT, id);
    child.0.stdin.take().unwrap().write_all(b"it goes on\n").unwrap();
    // What else it says has room in the pipe.
    assert!(child.0.wait().unwrap().success(), "{}", std::io::read_to_string(said).unwrap());
}

/// Ends the process also if the test fails.
struct Child(process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn waits_while_it_is_stopped() {
    let (poll, event) = (Arc::new(EventPoll::new()), Event::new(0));
    let (epoll, eventfd) = (Arc::new(Kernel::poll()), Kernel::counter(0));
    poll.add(&event, Interest::IN, 1).unwrap();
    epoll.add(eventfd.source(), IN, 1).unwrap();
    let (mut ours, mut kernels) = (Waiters::default(), Waiters::default());
    for timeout in [None, Some(Duration::from_secs(1 << 20))] {
        ours.start_timed::<Ours>(&poll, timeout);
        kernels.start_timed::<Kernel>(&epoll, timeout);
    }
    // Not by a macro: those are captured.
    std::io::stdout().write_all(b"asleep\n").unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    ours.settle();
    kernels.settle();
    assert_eq!(ours.outcomes(), [None, None]);
    assert_eq!(kernels.outcomes(), [Some(Err(libc::EINTR)), Some(Err(libc::EINTR))]);
    ours.release(|| event.write(1).unwrap());
    kernels.release(|| ());
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
