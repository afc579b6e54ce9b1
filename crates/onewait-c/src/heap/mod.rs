//! The library's own heap: nothing here calls the program's `malloc(3)`.
//!
//! To a program libaio's functions are system calls, which a handler may make whatever it has interrupted: also
//! `malloc`, whose lock is then held by this very thread. Besides, a program's own allocator may itself use AIO.
//!
//! The heap's state lies on a page that the kernel wipes in children of fork (MADV_WIPEONFORK, Linux 4.14), as the process's
//! does (`process.rs`): a child finds an empty heap, whatever its parent's threads were about to do with theirs. Blocks that
//! it inherits it may use, and never frees: before each block lies of which heap it is. How blocks lie in their segments is
//! dlmalloc's business; large ones have a mapping each.

mod lock;
mod mapped;
mod segments;

use crate::errno::Kept;
use dlmalloc::Dlmalloc;
use lock::Lock;
use onewait::sys::MaskedSignals;
use segments::Segments;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Under a sanitizer, which looks for misuse of its own heap's blocks, that one serves: `--cfg onewait_system_heap`.
#[cfg(not(onewait_system_heap))]
#[global_allocator]
static HEAP: OwnHeap = OwnHeap;

struct OwnHeap;

/// What lies on the page; all zeros at first, and in a forked child.
struct State {
    lock: Lock,
    /// Which of the heaps of this process and of its forebears it is; 0 while there is none.
    generation: u64,
    /// Initialised if there is a generation. Both belong to whoever holds the lock.
    heap: MaybeUninit<Dlmalloc<Segments>>,
}

/// Bytes for the state.
const SIZE: usize = 4096;
const _: () = assert!(size_of::<State>() <= SIZE && align_of::<State>() <= SIZE);

/// The page: null until the first allocation. Shared by all generations of a fork.
static PAGE: AtomicPtr<State> = AtomicPtr::new(ptr::null_mut());

/// The generation that was given last; a child goes on from where its parent was.
static LAST: AtomicU64 = AtomicU64::new(0);

/// The least alignment of blocks, and room for the generation before each.
const LEAST: usize = 16;
const _: () = assert!(size_of::<u64>() <= LEAST);

/// A block with its generation before it, as dlmalloc knows it: the layout, and how many bytes of it come before the block.
fn whole(layout: Layout) -> Option<(Layout, usize)> {
    let align = layout.align().max(LEAST);
    // The block keeps its alignment, and what is before it is right before it.
    Some((Layout::from_size_align(layout.size().checked_add(align)?, align).ok()?, align))
}

/// Does something with the heap of this process, and its generation.
///
/// Signals are held back: a handler must not find the lock with the code that it interrupts.
fn with<R>(work: impl FnOnce(&mut Dlmalloc<Segments>, u64) -> R) -> R {
    let _masked = MaskedSignals::new();
    let _errno = Kept::new();
    let state = state();
    // SAFETY: the page stays mapped for ever. The lock is reached by reference only, the rest by its holder only.
    unsafe {
        (*state).lock.take();
        let generation = &mut (*state).generation;
        if *generation == 0 {
            *generation = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            (*state).heap.write(Dlmalloc::new_with_allocator(Segments::of(*generation)));
        }
        let result = work((*state).heap.assume_init_mut(), *generation);
        (*state).lock.give_back();
        result
    }
}

/// The state, on a page that the first to come has mapped.
fn state() -> *mut State {
    let page = PAGE.load(Ordering::Acquire);
    if !page.is_null() {
        return page;
    }
    let fresh = map_page();
    match PAGE.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        // Another thread was first. (Two that found no page to be had have the same.)
        Err(theirs) => {
            if fresh != UNMAPPED.0.get() {
                // SAFETY: nobody has seen this one.
                unsafe { libc::munmap(fresh.cast(), SIZE) };
            }
            theirs
        }
    }
}

/// Where the state is if there is no page to be had: it is not wiped then, as it is not on older kernels, and children
/// of fork go on with their copy. Should another thread have been inside at the fork, they hang.
static UNMAPPED: Unmapped =
    Unmapped(UnsafeCell::new(State { lock: Lock::new(), generation: 0, heap: MaybeUninit::uninit() }));

struct Unmapped(UnsafeCell<State>);

// SAFETY: as with the page, the lock excludes others.
unsafe impl Sync for Unmapped {}

fn map_page() -> *mut State {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping where the kernel chooses, of zeros.
    let page = unsafe { libc::mmap(ptr::null_mut(), SIZE, protection, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return UNMAPPED.0.get();
    }
    // SAFETY: the range was just mapped.
    unsafe { libc::madvise(page, SIZE, libc::MADV_WIPEONFORK) };
    page.cast()
}

/// Writes down of which heap a block is: the block, or null.
///
/// # Safety
/// `start` is null, or of a memory area of our own in which `before` bytes, at least [`LEAST`], come before the block.
unsafe fn label(start: *mut u8, before: usize, generation: u64) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    // SAFETY: by contract; the block is aligned to `before`, a power of two.
    unsafe {
        let block = start.add(before);
        block.cast::<u64>().sub(1).write(generation);
        block
    }
}

/// Of which heap a block is.
///
/// # Safety
/// It is one of [`OwnHeap`]'s.
unsafe fn generation_of(block: *mut u8) -> u64 {
    // SAFETY: by contract, as `label` has left it.
    unsafe { block.cast::<u64>().sub(1).read() }
}

/// A block, or null.
fn allocate(layout: Layout, is_zeroed: bool) -> *mut u8 {
    let Some((all, before)) = whole(layout) else { return ptr::null_mut() };
    if mapped::suits(all) {
        let start = mapped::map(all.size());
        return if start.is_null() { start } else { start.wrapping_add(before) };
    }
    // SAFETY: of this layout, which is not empty, `before` bytes come before the block.
    with(|heap, generation| unsafe {
        let start =
            if is_zeroed { heap.calloc(all.size(), all.align()) } else { heap.c_memalign(all.align(), all.size()) };
        label(start, before, generation)
    })
}

// SAFETY: blocks are dlmalloc's, or mappings, of which each is given out once, with what comes before it cut off; they
// have the size and the alignment of their layouts. The lock makes calls exclude each other, and nothing here unwinds:
// where dlmalloc asserts something (in `free` and `realloc`), what is asked of it asserts nothing.
unsafe impl GlobalAlloc for OwnHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout, false)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocate(layout, true)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some((all, before)) = whole(layout) else { return };
        // SAFETY: the block is one of ours, with this layout; of another heap than this it is left alone.
        unsafe {
            let start = block.sub(before);
            if mapped::suits(all) {
                return mapped::unmap(start, all.size());
            }
            with(|heap, generation| {
                if generation_of(block) == generation {
                    heap.c_free(start);
                }
            });
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Ok(fresh) = Layout::from_size_align(size, layout.align()) else { return ptr::null_mut() };
        let (Some((all, before)), Some((grown, _))) = (whole(layout), whole(fresh)) else { return ptr::null_mut() };
        // SAFETY: the block is one of ours, with this layout.
        unsafe {
            let start = block.sub(before);
            match (mapped::suits(all), mapped::suits(grown)) {
                (true, true) => {
                    let moved = mapped::resize(start, all.size(), grown.size());
                    return if moved.is_null() { moved } else { moved.add(before) };
                }
                (false, false) if all.align() == LEAST => {
                    let resized = with(|heap, generation| {
                        (generation_of(block) == generation)
                            .then(|| label(heap.c_realloc(start, grown.size()), before, generation))
                    });
                    if let Some(resized) = resized {
                        return resized;
                    }
                }
                _ => {}
            }
            let copy = allocate(fresh, false);
            if !copy.is_null() {
                ptr::copy_nonoverlapping(block, copy, layout.size().min(size));
                self.dealloc(block, layout);
            }
            copy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// A block that knows what is in it.
    struct Filled {
        block: *mut u8,
        layout: Layout,
        seed: u8,
    }

    impl Filled {
        fn new(size: usize, align: usize, seed: u8) -> Filled {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the layout is not of size 0; so many bytes are ours.
            let block = unsafe { OwnHeap.alloc(layout) };
            assert!(!block.is_null() && (block as usize).is_multiple_of(align), "{layout:?} at {block:?}");
            let filled = Filled { block, layout, seed };
            filled.fill(0);
            filled
        }

        fn fill(&self, from: usize) {
            // SAFETY: so many bytes are ours.
            (from..self.layout.size()).for_each(|at| unsafe { self.block.add(at).write(self.byte(at)) });
        }

        fn byte(&self, at: usize) -> u8 {
            self.seed.wrapping_add(at as u8)
        }

        fn check(&self, size: usize) {
            // SAFETY: so many bytes are ours.
            (0..size).for_each(|at| assert_eq!(unsafe { self.block.add(at).read() }, self.byte(at), "byte {at}"));
        }

        fn resize(&mut self, size: usize) {
            let kept = self.layout.size().min(size);
            // SAFETY: the block has this layout.
            self.block = unsafe { OwnHeap.realloc(self.block, self.layout, size) };
            assert!(!self.block.is_null() && (self.block as usize).is_multiple_of(self.layout.align()));
            self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
            self.check(kept);
            self.fill(kept);
        }
    }

    impl Drop for Filled {
        fn drop(&mut self) {
            self.check(self.layout.size());
            // SAFETY: the block has this layout, and is not used any more.
            unsafe { OwnHeap.dealloc(self.block, self.layout) };
        }
    }

    /// Makes blocks, resizes them and gives them back, in no order.
    fn play(seed: u32, steps: u32) {
        let mut random = seed;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) as usize % below
        };
        let mut blocks = Vec::new();
        for step in 0..steps {
            match next(4) {
                0 | 1 => blocks.push(Filled::new(next(3000) + 1, 1 << next(13), step as u8)),
                2 if !blocks.is_empty() => drop(blocks.swap_remove(next(blocks.len()))),
                _ if !blocks.is_empty() => {
                    let which = next(blocks.len());
                    blocks[which].resize(next(300_000) + 1);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn blocks_keep_their_bytes_and_their_alignment() {
        (1..20).for_each(|seed| play(seed, 300));
    }

    #[test]
    fn zeroed_blocks_are_zero_also_where_others_were() {
        for size in (1..20_000).step_by(333).chain([1 << 20]) {
            drop(Filled::new(size, 8, 77));
            let layout = Layout::from_size_align(size, 8).unwrap();
            // SAFETY: the layout is not of size 0, and has the block.
            unsafe {
                let block = OwnHeap.alloc_zeroed(layout);
                assert!((0..size).all(|at| block.add(at).read() == 0));
                OwnHeap.dealloc(block, layout);
            }
        }
    }

    #[test]
    fn what_is_too_large_is_null() {
        let layout = Layout::from_size_align(isize::MAX as usize - 4095, 4096).unwrap();
        // SAFETY: the layout is not of size 0.
        assert!(unsafe { OwnHeap.alloc(layout) }.is_null());
    }

    #[test]
    fn threads_share_it() {
        std::thread::scope(|scope| {
            (0..4).for_each(|seed| drop(scope.spawn(move || play(seed, 2000))));
        });
    }

    /// Also while other threads of the parent are inside the heap.
    #[test]
    fn children_of_fork_use_what_they_inherit_and_have_a_heap_of_their_own() {
        /// Also when a check fails: the threads must end.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _over = Over(&is_over);
            for seed in 0..2 {
                let is_over = &is_over;
                scope
                    .spawn(move || (0..).take_while(|_| !is_over.load(Ordering::Relaxed)).for_each(|_| play(seed, 50)));
            }
            for _ in 0..100 {
                let mut inherited = Filled::new(1000, 64, 1);
                let given_back = Filled::new(100, 8, 2);
                // SAFETY: the child uses the heap and ends, within ten seconds.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: no preconditions.
                    unsafe { libc::alarm(10) };
                    let works = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                        inherited.resize(5000);
                        drop(given_back);
                        play(3, 100);
                    }));
                    // SAFETY: no preconditions.
                    unsafe { libc::_exit(i32::from(works.is_err())) };
                }
                let mut status = 0;
                // SAFETY: the status is valid for writing.
                assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
                assert_eq!(status, 0);
            }
        });
    }
}
