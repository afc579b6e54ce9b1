//! The completions of a context that were not yet taken: a bounded queue without locks, for any number of threads.
//!
//! Each cell has a turn, which says whose it is: in lap L it is 2L while the cell is free for writing, and 2L + 1 while there
//! is an event in it. Memory of zeros is an empty queue. Whoever moves `tail` past a cell writes it, whoever moves `head`
//! past it reads it, so that each event is taken once. There is always room: a context lets no more requests in than there
//! are cells.

use super::abi::IoEvent;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

struct Cell {
    turn: AtomicU64,
    event: UnsafeCell<IoEvent>,
}

/// A counter that has a cache line to itself.
#[repr(align(128))]
struct Position(AtomicU64);

/// The queue.
pub(super) struct Queue {
    cells: NonNull<Cell>,
    /// The number of cells is a power of two: 1 << shift.
    shift: u32,
    /// Events taken.
    head: Position,
    /// Events put in, or about to be.
    tail: Position,
}

// SAFETY: a cell's event is touched by one thread at a time, by the turns; the rest is atomics.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// An empty queue with room for so many events at least; `None` if memory is short.
    pub(super) fn new(room: u32) -> Option<Queue> {
        let shift = room.max(2).next_power_of_two().trailing_zeros();
        let layout = Layout::array::<Cell>(1 << shift).ok()?;
        // SAFETY: the layout is not of size 0; zeros are a valid cell.
        let cells = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<Cell>())?;
        let position = || Position(AtomicU64::new(0));
        Some(Queue { cells, shift, head: position(), tail: position() })
    }

    fn cell(&self, position: u64) -> &Cell {
        let index = position as usize & ((1 << self.shift) - 1);
        // SAFETY: the index is below the number of cells.
        unsafe { self.cells.add(index).as_ref() }
    }

    /// The turn at which the cell is free for the event of this position.
    fn free_turn(&self, position: u64) -> u64 {
        (position >> self.shift) * 2
    }

    /// How many events were taken since the beginning.
    #[inline]
    pub(super) fn taken(&self) -> u64 {
        self.head.0.load(Ordering::Acquire)
    }

    /// Puts an event in.
    #[inline]
    pub(super) fn push(&self, event: IoEvent) {
        let mut tail = self.tail.0.load(Ordering::Relaxed);
        loop {
            let (cell, free) = (self.cell(tail), self.free_turn(tail));
            let turn = cell.turn.load(Ordering::Acquire);
            if turn == free {
                let taken = self.tail.0.compare_exchange_weak(tail, tail + 1, Ordering::Relaxed, Ordering::Relaxed);
                match taken {
                    Ok(_) => {
                        // SAFETY: the cell is free, and moving the tail made it ours.
                        unsafe { *cell.event.get() = event };
                        cell.turn.store(free + 1, Ordering::Release);
                        return;
                    }
                    Err(now) => tail = now,
                }
            } else {
                if turn < free {
                    // A reader of the last lap is about to be done with it.
                    std::thread::yield_now();
                }
                tail = self.tail.0.load(Ordering::Relaxed);
            }
        }
    }

    /// Whether an event can be taken. Sequentially consistent: for those who look before they sleep.
    #[inline]
    pub(super) fn is_filled(&self) -> bool {
        loop {
            let head = self.head.0.load(Ordering::SeqCst);
            let turn = self.cell(head).turn.load(Ordering::SeqCst);
            if turn <= self.free_turn(head) + 1 {
                return turn > self.free_turn(head);
            }
            // Taken by another thread between the two.
        }
    }

    fn is_readable(&self, position: u64) -> bool {
        self.cell(position).turn.load(Ordering::Acquire) == self.free_turn(position) + 1
    }

    /// Takes up to `max` events, oldest first; returns how many.
    ///
    /// # Safety
    /// So many events can be written at `events`.
    #[inline]
    pub(super) unsafe fn take(&self, events: *mut IoEvent, max: usize) -> usize {
        let mut head = self.head.0.load(Ordering::Relaxed);
        loop {
            let count = (0..max as u64).take_while(|step| self.is_readable(head + step)).count() as u64;
            if count == 0 {
                let now = self.head.0.load(Ordering::Relaxed);
                if now == head || max == 0 {
                    return 0;
                }
                head = now;
                continue;
            }
            let moved = self.head.0.compare_exchange_weak(head, head + count, Ordering::AcqRel, Ordering::Relaxed);
            if let Err(now) = moved {
                head = now;
                continue;
            }
            for step in 0..count {
                let cell = self.cell(head + step);
                // SAFETY: there is an event in the cell, and moving the head made it ours; the place is the caller's.
                unsafe { events.add(step as usize).write(*cell.event.get()) };
                cell.turn.store(self.free_turn(head + step) + 2, Ordering::Release);
            }
            return count as usize;
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::array::<Cell>(1 << self.shift) {
            // SAFETY: allocated so in `new`.
            unsafe { dealloc(self.cells.as_ptr().cast(), layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn event(number: u64) -> IoEvent {
        IoEvent { data: number, ..IoEvent::default() }
    }

    #[test]
    fn events_come_out_in_order_for_many_laps() {
        let queue = Queue::new(3).unwrap();
        let mut events = [IoEvent::default(); 8];
        for lap in 0..100 {
            for number in 0..3 {
                queue.push(event(lap * 3 + number));
            }
            // SAFETY: there is room for eight.
            assert_eq!(unsafe { queue.take(events.as_mut_ptr(), 2) }, 2);
            // SAFETY: as above.
            assert_eq!(unsafe { queue.take(events[2..].as_mut_ptr(), 6) }, 1);
            assert_eq!(events[..3].iter().map(|event| event.data).collect::<Vec<_>>(), [0, 1, 2].map(|n| lap * 3 + n));
            assert!(!queue.is_filled());
        }
    }

    #[test]
    fn threads_take_each_event_once() {
        const EACH: u64 = 20_000;
        let queue = Queue::new(4 * EACH as u32).unwrap();
        let is_over = AtomicBool::new(false);
        let (queue, is_over) = (&queue, &is_over);
        let mut all: Vec<u64> = std::thread::scope(|scope| {
            let writers: Vec<_> =
                (0..4).map(|w| scope.spawn(move || (0..EACH).for_each(|n| queue.push(event(w * EACH + n))))).collect();
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(move || {
                        let (mut events, mut seen) = ([IoEvent::default(); 7], Vec::new());
                        loop {
                            let was_over = is_over.load(Ordering::SeqCst);
                            // SAFETY: there is room for seven.
                            let count = unsafe { queue.take(events.as_mut_ptr(), 7) };
                            seen.extend(events[..count].iter().map(|event| event.data));
                            if count == 0 && was_over {
                                return seen;
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            is_over.store(true, Ordering::SeqCst);
            readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
        });
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..4 * EACH), "{} events", all.len());
    }
}
