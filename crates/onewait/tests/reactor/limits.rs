//! What has a limit, at the limit, in a reactor: it says so, and goes on afterwards. On both drivers, and under a filter.

use crate::common::{PATIENCE, in_child, pipe, seccomp};
use crate::{reactor, reported, waited};
use eventpoll::sources::Event;
use onewait::reactor::{Events, Interest, Reactor, Ready};
use onewait::{Aio, Buffer, Choice, CompletionQueue, DriverKind, Errno, PollEvents, Request};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{mem, ptr, thread};

/// An engine on each driver that this system allows.
fn engines() -> impl Iterator<Item = Aio> {
    [DriverKind::Uring, DriverKind::Epoll].into_iter().filter_map(|kind| match Aio::with_driver(Choice::Strict(kind)) {
        Ok(aio) => Some(aio),
        Err(errno) => {
            println!("not on {kind:?}: {errno}");
            None
        }
    })
}

fn read_of_a_byte(reader: &onewait::Descriptor, token: u64) -> Request {
    Request::read(reader, Buffer::with_capacity(1), 0).token(token)
}

#[test]
fn a_full_queue_says_so_and_takes_more_once_it_was_reaped() {
    const LIMIT: u64 = 4;
    for aio in engines() {
        let (mut reactor, queue, (reader, mut writer)) = (reactor(), aio.bounded_queue(LIMIT as usize), pipe());
        reactor.registry().add(&queue, Interest::IN, 1).unwrap();
        let refused = |queue: &CompletionQueue| queue.submit(read_of_a_byte(&reader, 99)).unwrap_err().errno;
        for _ in 0..50 {
            for token in 0..LIMIT {
                queue.submit(read_of_a_byte(&reader, token)).unwrap();
            }
            assert_eq!(refused(&queue), Errno::AGAIN);
            assert_eq!(reported(&mut reactor), [], "that it is full is no event");
            writer.write_all(b"x").unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
            assert_eq!(refused(&queue), Errno::AGAIN, "what was not reaped has its place");
            assert_eq!(queue.try_reap().expect("it was reported").token, 0);
            assert_eq!(reported(&mut reactor), []);
            queue.submit(read_of_a_byte(&reader, LIMIT)).unwrap();
            assert_eq!(refused(&queue), Errno::AGAIN);
            writer.write_all(&[b'x'; LIMIT as usize]).unwrap();
            let mut tokens = Vec::new();
            while queue.outstanding() > 0 {
                assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
                tokens.extend(queue.try_reap().map(|done| done.token));
            }
            assert_eq!(tokens, [1, 2, 3, 4]);
            assert_eq!(reported(&mut reactor), []);
        }
    }
}

/// More than any ring has entries, until the engine, or the system, takes no more.
#[test]
fn a_full_engine_says_so_and_loses_nothing() {
    in_child("limits::a_full_engine_says_so_and_loses_nothing", &[], || {
        for aio in engines() {
            let (mut reactor, queue, (reader, mut writer)) = (reactor(), aio.queue(), pipe());
            reactor.registry().add(&queue, Interest::IN | Interest::EDGE, 1).unwrap();
            let (event, mut taken) = (Event::new(0), 0);
            reactor.registry().add(&event, Interest::IN | Interest::EDGE, 2).unwrap();
            for _ in 0..2 {
                let poll = |token| Request::poll(&reader, PollEvents::READABLE).token(token);
                let refused = (0..).find_map(|token| {
                    taken = token;
                    queue.submit(poll(token)).err()
                });
                // The epoll driver has a descriptor for each.
                let errno = refused.expect("it ends").errno;
                assert!([Errno::AGAIN, Errno(libc::EMFILE)].contains(&errno), "{errno}");
                assert!(taken > 500, "{taken} polls");
                // Nothing else is hindered.
                event.write(1).unwrap();
                assert_eq!(waited(&mut reactor, PATIENCE), [(2, Events::IN)]);
                writer.write_all(b"x").unwrap();
                let (mut seen, mut completions) = (vec![false; taken as usize], Vec::new());
                while queue.outstanding() > 0 {
                    assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
                    queue.try_wait(&mut completions);
                    for done in completions.drain(..) {
                        assert!(!std::mem::replace(&mut seen[done.token as usize], true), "once each");
                    }
                }
                assert!(seen.into_iter().all(|seen| seen));
                queue.submit(read_of_a_byte(&reader, 0)).unwrap();
                assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
                assert_eq!(queue.try_reap().unwrap().result, Ok(1));
                assert_eq!(reported(&mut reactor), []);
            }
        }
    });
}

/// What every kind of source does where io_uring is refused.
fn without_io_uring(name: &str, errno: i32) {
    in_child(name, &[("ONEWAIT_DRIVER", "")], || {
        seccomp::refuse_io_uring(errno);
        let aio = Aio::new().unwrap();
        assert_eq!(aio.driver(), DriverKind::Epoll);
        let (mut reactor, queue, (reader, mut writer)) = (reactor(), aio.queue(), pipe());
        let (event, (socket, mut peer)) = (Event::new(0), std::os::unix::net::UnixStream::pair().unwrap());
        let registry = reactor.registry().clone();
        registry.add(&queue, Interest::IN, 1).unwrap();
        registry.add_urgent(&event, Interest::IN | Interest::EDGE, 2).unwrap();
        registry.add(&socket, Interest::IN | Interest::EDGE, 3).unwrap();
        for round in 0..20 {
            queue.submit(read_of_a_byte(&reader, round)).unwrap();
            assert_eq!(reported(&mut reactor), []);
            writer.write_all(b"x").unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(1, Events::IN)]);
            assert_eq!(queue.try_reap().unwrap().token, round);
            peer.write_all(b"x").unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(3, Events::IN)]);
            event.write(1).unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(2, Events::IN)]);
            reactor.arm_timer_in(Duration::from_micros(100), 4).unwrap();
            assert_eq!(waited(&mut reactor, PATIENCE), [(4, Events::IN)]);
        }
    });
}

#[test]
fn all_sources_are_reported_where_io_uring_is_forbidden() {
    without_io_uring("limits::all_sources_are_reported_where_io_uring_is_forbidden", libc::EPERM);
}

#[test]
fn all_sources_are_reported_where_io_uring_is_unknown() {
    without_io_uring("limits::all_sources_are_reported_where_io_uring_is_unknown", libc::ENOSYS);
}

/// A signal every 100 microseconds, to the thread that waits.
#[test]
fn under_a_storm_of_signals_timers_sources_and_completions_come() {
    in_child("limits::under_a_storm_of_signals_timers_sources_and_completions_come", &[], || {
        for aio in engines() {
            let (mut reactor, queue, (reader, mut writer)) = (reactor(), aio.queue(), pipe());
            let event = Arc::new(Event::new(0));
            reactor.registry().add(&queue, Interest::IN, 1).unwrap();
            reactor.registry().add(&event, Interest::IN | Interest::EDGE, 2).unwrap();
            let _storm = Storm::begin();
            let mut interrupted = 0;
            let mut next = |reactor: &mut Reactor| loop {
                let mut events = [Ready::default(); 8];
                match reactor.wait(&mut events, None) {
                    Err(Errno::INTR) => interrupted += 1,
                    result => break result.unwrap().iter().map(|ready| ready.token).collect::<Vec<_>>(),
                }
            };
            for round in 0..200 {
                let deadline = Instant::now() + Duration::from_micros(500);
                reactor.arm_timer(deadline, 3).unwrap();
                assert_eq!(next(&mut reactor), [3]);
                assert!(Instant::now() >= deadline, "an interruption is no end of the time");
                let other = {
                    let event = Arc::clone(&event);
                    thread::spawn(move || {
                        thread::sleep(Duration::from_micros(300));
                        event.write(1).unwrap();
                    })
                };
                assert_eq!(next(&mut reactor), [2]);
                other.join().unwrap();
                queue.submit(read_of_a_byte(&reader, round)).unwrap();
                writer.write_all(b"x").unwrap();
                assert_eq!(next(&mut reactor), [1]);
                assert_eq!(queue.try_reap().unwrap().token, round);
            }
            assert!(interrupted >= 200, "only {interrupted} interruptions");
        }
    });
}

/// Signals to the thread that begins it, until it is dropped.
struct Storm(libc::timer_t);

impl Storm {
    fn begin() -> Storm {
        extern "C" fn nothing(_signal: libc::c_int) {}
        let every = libc::timespec { tv_sec: 0, tv_nsec: 100_000 };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        let mut timer = ptr::null_mut();
        // SAFETY: all zero is a valid `sigaction` and a valid `sigevent`; the structures outlive the calls, and the handler
        // does nothing.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, ptr::null_mut()), 0);
            let mut to_this_thread: libc::sigevent = mem::zeroed();
            to_this_thread.sigev_notify = libc::SIGEV_THREAD_ID;
            to_this_thread.sigev_signo = libc::SIGUSR1;
            to_this_thread.sigev_notify_thread_id = libc::gettid();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut to_this_thread, &raw mut timer), 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()), 0);
        }
        Storm(timer)
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // SAFETY: made by `begin`, and deleted here alone.
        unsafe { libc::timer_delete(self.0) };
    }
}
