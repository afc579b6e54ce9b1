//! Signals, many of them, while somebody waits.

use crate::bits::{ET, IN};
use crate::fds::{counter, pipe, poll_for, raise, take, write};
use crate::process::{Fork, handle_with, in_fork};
use crate::tasks;
use crate::world::{World, both_alone, event};
use libc::EINTR;
use onewait::source::{Child, Signals};
use rustix::event::PollFlags;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

mod whole_process {
    use super::{children_that_all_end_at_once, under_a_storm_no_event_is_lost};
    use crate::world::both_in_process;

    both_in_process!(under_a_storm_no_event_is_lost, children_that_all_end_at_once);
}

both_alone!(sigchld_of_many_children_at_once, sigterm_while_waiting);

static INTERRUPTIONS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: libc::c_int) {
    INTERRUPTIONS.fetch_add(1, Ordering::Relaxed);
}

/// From now on the calling thread gets SIGUSR1 every 100 microseconds.
fn storm() {
    handle_with(libc::SIGUSR1, count);
    // SAFETY: all zero is a valid `sigevent`; what is not initialised below is not looked at.
    let mut to_this_thread: libc::sigevent = unsafe { std::mem::zeroed() };
    to_this_thread.sigev_notify = libc::SIGEV_THREAD_ID;
    to_this_thread.sigev_signo = libc::SIGUSR1;
    to_this_thread.sigev_notify_thread_id = tasks::current();
    let every = libc::timespec { tv_sec: 0, tv_nsec: 100_000 };
    let times = libc::itimerspec { it_interval: every, it_value: every };
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: the structures outlive both calls; the timer ends with the process.
    unsafe {
        assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut to_this_thread, &raw mut timer), 0);
        assert_eq!(libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()), 0);
    }
}

fn under_a_storm_no_event_is_lost<W: World>() {
    const ROUNDS: u32 = 1_000;
    let (mut w, one, mut interrupted) = (W::new(), counter(0), 0);
    w.add(&one, IN | ET, 1).unwrap();
    let (go, goes) = mpsc::channel();
    thread::scope(|scope| {
        // Raises when there were some signals more.
        let one = &one;
        scope.spawn(move || {
            for before in goes {
                while INTERRUPTIONS.load(Ordering::Relaxed) < before + 2 {
                    thread::sleep(Duration::from_micros(50));
                }
                raise(one, 1).unwrap();
            }
        });
        storm();
        for _ in 0..ROUNDS {
            // With an event there is no interruption.
            raise(one, 1).unwrap();
            assert_eq!(w.wait(8, None), Ok(vec![event(IN, 1)]));
            assert_eq!(take(one), Ok(1));
            // Without, there is, and the event comes all the same.
            go.send(INTERRUPTIONS.load(Ordering::Relaxed)).unwrap();
            loop {
                match w.wait(8, None) {
                    Err(EINTR) => interrupted += 1,
                    outcome => break assert_eq!(outcome, Ok(vec![event(IN, 1)])),
                }
            }
            assert_eq!(take(one), Ok(1), "one write, one edge");
        }
        drop(go);
    });
    assert!(interrupted >= ROUNDS, "only {interrupted} interruptions");
}

const CHILDREN: i32 = 200;

fn sigchld_of_many_children_at_once<W: World>() {
    // In a child of one thread: nobody else can take the signal, or ignore it.
    in_fork(|| {
        let (mut w, signals, (waits, end)) = (W::new(), Signals::new(&[libc::SIGCHLD]).unwrap(), pipe());
        w.add(&signals, IN | ET, 1).unwrap();
        let mut running: HashMap<_, _> = (0..CHILDREN)
            .map(|code| {
                let child = Fork::new(|| {
                    // SAFETY: the child's own copy; nothing in the child uses it any more.
                    unsafe { libc::close(end.as_raw_fd()) };
                    poll_for(&waits, PollFlags::HUP);
                    code
                });
                (child.into_number(), code)
            })
            .collect();
        assert_eq!(w.now(8), []);
        drop(end);
        while !running.is_empty() {
            assert_eq!(w.next(8), [event(IN, 1)]);
            // Several signals may be one: it says that there are children to ask for, not how many.
            while let Some(info) = signals.read().unwrap() {
                assert_eq!(info.signal, libc::SIGCHLD);
            }
            let mut status = 0;
            // SAFETY: the status is valid for writing; all children are of this test.
            while let child @ 1.. = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
                assert_eq!(running.remove(&child), Some(libc::WEXITSTATUS(status)));
            }
        }
    });
}

fn children_that_all_end_at_once<W: World>() {
    let (waits, end) = std::io::pipe().unwrap();
    let mut w = W::new();
    let mut children: Vec<_> = (0..CHILDREN)
        .map(|_| {
            let mut command = Command::new("cat");
            Child::spawn(command.stdin(waits.try_clone().unwrap()).stdout(Stdio::null())).unwrap()
        })
        .collect();
    for (child, data) in children.iter().zip(0..) {
        w.add(child, IN | ET, data).unwrap();
    }
    assert_eq!(w.now(8), []);
    drop(end);
    let mut ended = vec![0; children.len()];
    while ended.contains(&0) {
        for event in w.next(64) {
            assert_eq!(event.bits & IN, IN, "{event:?}");
            let place = event.data as usize;
            ended[place] += 1;
            assert!(children[place].try_wait().unwrap().expect("it has ended").success());
        }
    }
}

fn sigterm_while_waiting<W: World>() {
    let (begins, says) = pipe();
    let child = Fork::new(|| {
        let (mut w, signals, one) = (W::new(), Signals::new(&[libc::SIGTERM]).unwrap(), counter(0));
        w.add(&one, IN, 1).unwrap();
        w.add(&signals, IN, 2).unwrap();
        write(&says, 1).unwrap();
        assert_eq!(w.next(8), [event(IN, 2)]);
        let info = signals.read().unwrap().expect("it is there");
        assert_eq!(info.signal, libc::SIGTERM);
        // There is time to finish what is in flight.
        raise(&one, 1).unwrap();
        assert_eq!(w.next(8), [event(IN, 1)]);
        42
    });
    poll_for(&begins, PollFlags::IN);
    child.await_state(b'S');
    child.signal(libc::SIGTERM);
    assert_eq!(child.wait(), 42);
}
