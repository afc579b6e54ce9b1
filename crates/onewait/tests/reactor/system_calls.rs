//! What costs no system call, under a filter that ends the process at the first one.

use crate::common::{in_child, seccomp};
use crate::{reactor, reported, waited};
use eventpoll::sources::{Event, unbounded};
use onewait::reactor::{Events, Interest};
use std::thread;
use std::time::Duration;

/// Does something on a thread that may make none of the system calls a reactor could make.
fn without_system_calls(work: impl FnOnce() + Send + 'static) {
    let worker = thread::spawn(|| {
        let forbidden = [
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
            libc::SYS_epoll_ctl,
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_futex,
            libc::SYS_clock_gettime,
            libc::SYS_timerfd_settime,
            libc::SYS_sched_yield,
            libc::SYS_clock_nanosleep,
        ];
        seccomp::install(libc::SECCOMP_RET_ALLOW, &forbidden.map(|call| (call, libc::SECCOMP_RET_KILL_PROCESS)));
        work();
    });
    worker.join().unwrap();
}

#[test]
fn work_in_the_process_costs_none() {
    in_child("system_calls::work_in_the_process_costs_none", &[], || {
        let mut reactor = reactor();
        let event = Event::new(0);
        let (sender, receiver) = unbounded();
        reactor.registry().add(&event, Interest::IN | Interest::EDGE, 1).unwrap();
        reactor.registry().add(&receiver, Interest::IN, 2).unwrap();
        without_system_calls(move || {
            for round in 0..1_000 {
                event.write(1).unwrap();
                sender.try_send(round).unwrap();
                reactor.arm_timer_in(Duration::ZERO, 3).unwrap();
                let found = [(3, Events::IN), (1, Events::IN), (2, Events::IN)];
                assert_eq!(waited(&mut reactor, None), found);
                assert_eq!(receiver.try_recv(), Ok(round));
                assert_eq!(reported(&mut reactor), []);
            }
        });
    });
}

#[test]
fn urgent_sources_cost_none() {
    in_child("system_calls::urgent_sources_cost_none", &[], || {
        let mut reactor = reactor();
        let events = [Event::new(0), Event::new(0)];
        reactor.registry().add(&events[0], Interest::IN | Interest::EDGE, 1).unwrap();
        reactor.registry().add_urgent(&events[1], Interest::IN | Interest::EDGE, 2).unwrap();
        // The bells are made when it first sleeps, and are at rest while it works.
        assert_eq!(waited(&mut reactor, Some(Duration::from_micros(1))), []);
        without_system_calls(move || {
            for _ in 0..1_000 {
                for event in &events {
                    event.write(1).unwrap();
                }
                assert_eq!(waited(&mut reactor, None), [(2, Events::IN), (1, Events::IN)]);
                assert_eq!(reported(&mut reactor), []);
            }
        });
    });
}

#[test]
fn timers_cost_none() {
    in_child("system_calls::timers_cost_none", &[], || {
        let mut reactor = reactor();
        without_system_calls(move || {
            let timers: Vec<_> =
                (0..1_000).map(|token| reactor.arm_timer_in(Duration::from_secs(60), token).unwrap()).collect();
            for (token, timer) in timers.into_iter().enumerate() {
                assert_eq!(reactor.cancel_timer(timer), Some(token as u64));
            }
        });
    });
}

#[test]
fn a_wake_up_of_a_reactor_at_work_costs_none() {
    in_child("system_calls::a_wake_up_of_a_reactor_at_work_costs_none", &[], || {
        let mut reactor = reactor();
        let (reader, _writer) = std::io::pipe().unwrap();
        reactor.registry().add(&reader, Interest::IN, 1).unwrap();
        // It has slept, and works on what it found.
        assert_eq!(waited(&mut reactor, Some(Duration::from_micros(1))), []);
        let waker = reactor.registry().waker();
        without_system_calls(move || (0..1_000).for_each(|_| waker.wake()));
        assert_eq!(waited(&mut reactor, None), []);
    });
}
