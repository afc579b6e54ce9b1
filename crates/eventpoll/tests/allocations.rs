//! No allocation in a notification or in a wait, counted by the allocator. Its own program, with one test: nobody else
//! allocates meanwhile.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use eventpoll::sources::Event;
use eventpoll::{EventPoll, Interest, Ready};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_nanos(1));

/// How often this thread allocates or frees in it.
fn allocations(f: impl FnOnce()) -> usize {
    let before = COUNT.get();
    f();
    COUNT.get() - before
}

#[test]
fn notify_and_wait_do_not_allocate() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 2, "the allocator counts");

    let (poll, inner, outer) = (EventPoll::new(), EventPoll::new(), EventPoll::new());
    let events = [(); 4].map(|()| Event::new(0));
    let triggers = [Interest::empty(), Interest::EDGE, Interest::ONESHOT, Interest::EXCLUSIVE];
    for (event, trigger) in events.iter().zip(triggers) {
        poll.add(event, Interest::IN | trigger, 1).unwrap();
        inner.add(event, Interest::IN, 1).unwrap();
    }
    outer.add(&inner, Interest::IN | Interest::EDGE, 1).unwrap();
    let mut out = [Ready::default(); 8];
    // The first sleep in an event poll makes the waiter that later ones use again.
    for poll in [&poll, &inner, &outer] {
        assert_eq!(poll.wait(&mut out, SOON), Ok(0));
    }

    let count = allocations(|| {
        for round in 0..100 {
            for event in &events {
                event.write(1).unwrap();
                // Coalesced.
                event.write(1).unwrap();
            }
            // The oneshot item reports once.
            assert_eq!(poll.wait(&mut out, NOW), Ok(if round == 0 { 4 } else { 3 }));
            assert_eq!(outer.wait(&mut out, None), Ok(1));
            assert_eq!(inner.wait(&mut out, SOON), Ok(4));
            for event in &events {
                event.read().unwrap();
            }
            // What is level-triggered is found stale, and then they sleep.
            for poll in [&poll, &inner, &outer] {
                assert_eq!(poll.wait(&mut out, NOW), Ok(0));
                assert_eq!(poll.wait(&mut out, SOON), Ok(0));
            }
        }
    });
    assert_eq!(count, 0);
}
