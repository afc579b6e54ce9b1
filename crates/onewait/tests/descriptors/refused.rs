//! What a filter forbids, as containers do.

use crate::common::seccomp;
use crate::fds::{counter, raise};
use crate::process::in_fork;
use crate::watchdog::bounded;
use crate::world::{Kernel, Ours, World, alone, event};
use onewait::reactor::{Events, Reactor, Ready};
use std::time::{Duration, Instant};

/// Waits that the kernel gives only milliseconds for are kept all the same.
fn without_pwait2(errno: i32) {
    let refusal = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    seccomp::install(libc::SECCOMP_RET_ALLOW, &[(libc::SYS_epoll_pwait2, refusal)]);
    assert_eq!(Kernel::new().wait(8, None), Err(errno), "it is refused");

    let (mut w, one) = (Ours::new(), counter(0));
    w.add(&one, crate::bits::IN, 1).unwrap();
    for micros in [1, 10, 100, 999, 1_000, 1_001, 2_500, 20_000] {
        let (timeout, start) = (Duration::from_micros(micros), Instant::now());
        assert_eq!(w.wait(8, Some(timeout)), Ok(vec![]));
        assert!(start.elapsed() >= timeout, "{:?} instead of {timeout:?}", start.elapsed());
    }
    raise(&one, 1).unwrap();
    for timeout in [None, Some(Duration::ZERO), Some(Duration::from_secs(60)), Some(Duration::MAX)] {
        assert_eq!(w.wait(8, timeout), Ok(vec![event(crate::bits::IN, 1)]));
    }

    let (mut reactor, mut events) = (Reactor::new().unwrap(), [Ready::default(); 8]);
    for micros in [1, 300, 1_500] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        reactor.arm_timer(deadline, micros).unwrap();
        let events = reactor.wait(&mut events, None).unwrap();
        assert!(Instant::now() >= deadline);
        assert_eq!(events, [Ready { token: micros, events: Events::IN }]);
    }
}

#[test]
fn without_epoll_pwait2_waits_are_in_milliseconds_and_never_early() {
    let _guard = alone();
    bounded("without_epoll_pwait2", || in_fork(|| without_pwait2(libc::ENOSYS)));
}

/// Filters that are older than the call refuse it so.
#[test]
fn with_epoll_pwait2_forbidden_it_is_the_same() {
    let _guard = alone();
    bounded("with_epoll_pwait2_forbidden", || in_fork(|| without_pwait2(libc::EPERM)));
}
