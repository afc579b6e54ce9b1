//! The timers of the tick that the wheel has reached, in the exact order of their deadlines: a binary heap.
//!
//! It tells where it puts what it moves, so that a timer can be taken out of its middle.

/// The deadline decides, then the order in which the timers came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// In nanoseconds.
    pub(super) deadline: u64,
    order: u64,
    pub(super) slot: u32,
}

pub(super) struct Heap {
    entries: Vec<Entry>,
    /// The order of the next one. It does not come round: that many timers take centuries.
    order: u64,
}

impl Heap {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), order: 0 }
    }

    #[inline]
    pub(super) fn first(&self) -> Option<Entry> {
        self.entries.first().copied()
    }

    /// Adds a timer. `placed` is told the slot and the place of each entry that comes to lie elsewhere.
    pub(super) fn push(&mut self, deadline: u64, slot: u32, placed: impl FnMut(u32, u32)) {
        let entry = Entry { deadline, order: self.order, slot };
        self.order += 1;
        self.entries.push(entry);
        self.rise(self.entries.len() - 1, entry, placed);
    }

    /// Takes out the entry at `place`, which `placed` was told last for it.
    pub(super) fn remove(&mut self, place: u32, placed: impl FnMut(u32, u32)) {
        let hole = place as usize;
        let Some(last) = self.entries.pop() else { return };
        if hole == self.entries.len() {
            return;
        }
        // The last one fills the hole. It may belong above or below.
        if hole > 0 && last < self.entries[(hole - 1) / 2] {
            self.rise(hole, last, placed);
        } else {
            self.sink(hole, last, placed);
        }
    }

    fn rise(&mut self, mut hole: usize, entry: Entry, mut placed: impl FnMut(u32, u32)) {
        while hole > 0 {
            let parent = (hole - 1) / 2;
            let above = self.entries[parent];
            if above < entry {
                break;
            }
            self.entries[hole] = above;
            placed(above.slot, hole as u32);
            hole = parent;
        }
        self.entries[hole] = entry;
        placed(entry.slot, hole as u32);
    }

    fn sink(&mut self, mut hole: usize, entry: Entry, mut placed: impl FnMut(u32, u32)) {
        loop {
            let left = 2 * hole + 1;
            let Some(&first) = self.entries.get(left) else { break };
            let (child, below) = match self.entries.get(left + 1) {
                Some(&second) if second < first => (left + 1, second),
                _ => (left, first),
            };
            if entry < below {
                break;
            }
            self.entries[hole] = below;
            placed(below.slot, hole as u32);
            hole = child;
        }
        self.entries[hole] = entry;
        placed(entry.slot, hole as u32);
    }
}
