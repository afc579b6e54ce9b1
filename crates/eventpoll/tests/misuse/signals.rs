//! A waker in a signal handler, which runs while its own thread is anywhere in a wait.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{Error, EventPoll, Interest, Ready, Waker};

use crate::common::kernel_signal;
use crate::common::ours_alone;
use crate::common::tasks;

ours_alone!(a_waker_in_a_handler_of_the_waiting_thread);

static WAKER: OnceLock<Waker> = OnceLock::new();
static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn wake(_signal: libc::c_int) {
    if let Some(waker) = WAKER.get() {
        waker.wake();
    }
    HANDLED.fetch_add(1, Ordering::Release);
}

fn a_waker_in_a_handler_of_the_waiting_thread() {
    let (poll, event, last) = (EventPoll::new(), Event::new(0), Event::new(1));
    poll.add(&event, Interest::IN, 1).unwrap();
    WAKER.get_or_init(|| poll.waker());
    kernel_signal::handle_with(libc::SIGUSR2, wake);
    let (tasks, end) = ([AtomicI32::new(0), AtomicI32::new(0)], AtomicBool::new(false));
    let interrupted = AtomicU64::new(0);
    thread::scope(|scope| {
        for task in &tasks {
            let (poll, event, end, interrupted) = (&poll, &event, &end, &interrupted);
            scope.spawn(move || {
                task.store(tasks::current(), Ordering::Release);
                for timeout in [None, Some(Duration::from_micros(20)), Some(Duration::ZERO)].into_iter().cycle() {
                    match poll.wait(&mut [Ready::default()], timeout) {
                        Ok(0) => {}
                        Ok(_) => drop(event.read()),
                        Err(Error::Interrupted) => _ = interrupted.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error:?}"),
                    }
                    if end.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        while tasks.iter().any(|task| task.load(Ordering::Acquire) == 0) {
            thread::yield_now();
        }
        for round in 1..=3000 {
            kernel_signal::send(libc::SIGUSR2, tasks[round as usize % 2].load(Ordering::Acquire));
            if round % 3 == 0 {
                event.write(1).unwrap();
            }
            // One at a time: signals of one kind that are pending together count once.
            while HANDLED.load(Ordering::Acquire) < round {
                thread::yield_now();
            }
        }
        end.store(true, Ordering::Release);
        poll.add(&last, Interest::IN, 2).unwrap();
    });
    assert!(interrupted.into_inner() > 0, "some wait was interrupted");
}
