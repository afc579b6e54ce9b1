//! Reactors as sources of reactors, and of themselves: the rules of nested epolls, with the kernel's own beside it.

use crate::common::PATIENCE;
use crate::{drain, embeddable, reactor, reported, waited};
use eventpoll::sources::Event;
use onewait::Errno;
use onewait::reactor::{Events, Fd, Interest, Reactor};
use rustix::event::epoll;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

const LOOP: Errno = Errno(libc::ELOOP);

fn add(outer: &Reactor, inner: &Reactor, token: u64) -> Result<(), Errno> {
    outer.registry().add(inner.descriptor().expect("it is embeddable"), Interest::IN, token)
}

/// What rule 4 says can be done with an epoll's descriptor, and how that ends.
fn as_a_file(fd: impl AsFd) -> [Result<i64, i32>; 5] {
    let (number, mut byte) = (fd.as_fd().as_raw_fd(), 0_u8);
    // SAFETY: one byte, valid for reading and writing; the others have no pointers.
    unsafe {
        [
            outcome(libc::fcntl(number, libc::F_GETFL).into()),
            outcome(libc::fcntl(number, libc::F_GETFD).into()),
            outcome(libc::lseek(number, 0, libc::SEEK_SET)),
            outcome(libc::read(number, ptr::from_mut(&mut byte).cast(), 1) as i64),
            outcome(libc::write(number, ptr::from_ref(&byte).cast(), 1) as i64),
        ]
    }
}

fn outcome(result: i64) -> Result<i64, i32> {
    if result < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(result) }
}

#[test]
fn rule_04_its_descriptor_is_an_epolls() {
    let (kernel, ours) = (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), embeddable());
    let expected = as_a_file(&kernel);
    assert_eq!(expected[3..], [Err(libc::EINVAL); 2]);
    assert_eq!(as_a_file(ours.descriptor().unwrap()), expected);
}

#[test]
fn rule_09_a_reactor_does_not_watch_itself() {
    let mut reactor = embeddable();
    let again: OwnedFd = reactor.descriptor().unwrap().try_clone_to_owned().unwrap();
    assert_eq!(add(&reactor, &reactor, 1), Err(Errno::INVAL));
    assert_eq!(reactor.registry().add(&again, Interest::IN, 1), Err(Errno::INVAL));
    assert_eq!(reactor.registry().modify(&again, Interest::IN, 1), Err(Errno::INVAL));
    assert_eq!(reactor.registry().delete(&again), Err(Errno::INVAL));
    // What is urgent is a link deeper.
    assert_eq!(reactor.registry().add_urgent(&again, Interest::IN, 1), Err(LOOP));
    assert_eq!(reported(&mut reactor), []);
    reactor.arm_timer_in(Duration::ZERO, 2).unwrap();
    assert_eq!(reported(&mut reactor), [(2, Events::IN)]);
}

#[test]
fn rule_19_four_links_of_reactors() {
    let mut all: Vec<_> = (0..6).map(|_| embeddable()).collect();
    // From the innermost upward.
    for place in (0..4).rev() {
        add(&all[place], &all[place + 1], place as u64).unwrap();
    }
    assert_eq!(add(&all[5], &all[0], 9), Err(LOOP), "one more above");
    assert_eq!(add(&all[4], &all[5], 9), Err(LOOP), "one more below");
    for reactor in &mut all {
        drain(reactor);
    }
    assert_eq!(waited(&mut all[0], Some(Duration::from_millis(1))), []);
    all[4].arm_timer_in(Duration::from_millis(1), 7).unwrap();
    for (token, reactor) in (0..4).zip(&mut all) {
        assert_eq!(waited(reactor, PATIENCE), [(token, Events::IN)]);
    }
    assert_eq!(waited(&mut all[4], PATIENCE), [(7, Events::IN)]);
    assert_eq!(drain(&mut all[4]), []);
    assert_eq!(reported(&mut all[0]), [], "all the way up");
}

#[test]
fn rule_20_a_circle_of_reactors_is_refused() {
    let [a, b, c] = [(); 3].map(|()| embeddable());
    add(&a, &b, 1).unwrap();
    assert_eq!(add(&b, &a, 1), Err(LOOP));
    add(&b, &c, 1).unwrap();
    assert_eq!(add(&c, &a, 1), Err(LOOP));
    b.registry().delete(c.descriptor().unwrap()).unwrap();
    add(&c, &a, 1).unwrap();
}

#[test]
fn rule_20_a_circle_through_the_urgent_class_is_one() {
    let [a, b] = [(); 2].map(|()| embeddable());
    a.registry().add_urgent(b.descriptor().unwrap(), Interest::IN, 1).unwrap();
    assert_eq!(add(&b, &a, 1), Err(LOOP));
    assert_eq!(b.registry().add_urgent(a.descriptor().unwrap(), Interest::IN, 1), Err(LOOP));
}

#[test]
fn rule_20_a_diamond_of_reactors_is_allowed() {
    let [mut top, mut left, mut right, mut bottom] = [(); 4].map(|()| embeddable());
    let event = Event::new(0);
    bottom.registry().add(&event, Interest::IN, 4).unwrap();
    add(&left, &bottom, 3).unwrap();
    add(&right, &bottom, 3).unwrap();
    add(&top, &left, 1).unwrap();
    add(&top, &right, 2).unwrap();
    for reactor in [&mut bottom, &mut left, &mut right, &mut top] {
        drain(reactor);
    }
    event.write(1).unwrap();
    let mut both = waited(&mut top, PATIENCE);
    both.sort_unstable_by_key(|(token, _)| *token);
    assert_eq!(both, [(1, Events::IN), (2, Events::IN)]);
    assert_eq!(reported(&mut left), [(3, Events::IN)]);
    assert_eq!(reported(&mut right), [(3, Events::IN)]);
    assert_eq!(reported(&mut bottom), [(4, Events::IN)]);
    event.read().unwrap();
    assert_eq!(drain(&mut bottom), []);
    assert_eq!(reported(&mut top), []);
}

#[test]
fn rule_22_a_reactor_as_a_source_is_readable_and_nothing_else() {
    let (mut outer, mut inner) = (reactor(), embeddable());
    let all = [Interest::IN, Interest::PRI, Interest::OUT, Interest::RDNORM, Interest::WRNORM, Interest::RDHUP];
    let all = all.into_iter().fold(Interest::empty(), Interest::union);
    outer.registry().add(inner.descriptor().unwrap(), all, 1).unwrap();
    drain(&mut inner);
    assert_eq!(reported(&mut outer), []);
    inner.arm_timer_in(Duration::ZERO, 2).unwrap();
    for _ in 0..2 {
        assert_eq!(waited(&mut outer, PATIENCE), [(1, Events::IN | Events::RDNORM)]);
    }
    assert_eq!(reported(&mut inner), [(2, Events::IN)], "the looks of the outer one took nothing away");
}

#[test]
fn rule_23_an_outer_edge_for_each_inner_event() {
    let (mut outer, mut inner) = (reactor(), embeddable());
    let pipes: Vec<_> = (0..3).map(|_| std::io::pipe().unwrap()).collect();
    for (token, (reader, _)) in pipes.iter().enumerate() {
        inner.registry().add(reader, Interest::IN, token as u64).unwrap();
    }
    drain(&mut inner);
    outer.registry().add(inner.descriptor().unwrap(), Interest::IN | Interest::EDGE, 9).unwrap();
    assert_eq!(reported(&mut outer), []);
    for (_, writer) in &pipes {
        let mut writer = writer;
        writer.write_all(b"x").unwrap();
        assert_eq!(reported(&mut outer), [(9, Events::IN)]);
        assert_eq!(reported(&mut outer), []);
    }
    assert_eq!(reported(&mut inner).len(), 3);
}

#[test]
fn rule_24_the_end_of_an_inner_reactor_silences_the_outer() {
    let (mut outer, mut inner) = (reactor(), embeddable());
    add(&outer, &inner, 1).unwrap();
    inner.arm_timer_in(Duration::ZERO, 2).unwrap();
    assert_eq!(waited(&mut outer, PATIENCE), [(1, Events::IN)]);
    let registry = inner.registry().clone();
    drop(inner);
    // The list of what is watched is still there, with whoever has it; it is nobody's source.
    assert_eq!(reported(&mut outer), reported(&mut outer));
    drop(registry);
    assert_eq!(reported(&mut outer), []);
    outer.registry().add(Fd(&std::io::pipe().unwrap().0), Interest::IN, 1).unwrap();
}
