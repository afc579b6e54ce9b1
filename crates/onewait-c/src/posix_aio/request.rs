//! A POSIX AIO request inside the engine.

use super::aiocb::Aiocb;
use super::group::Group;
use super::notify::Notification;
use onewait::aio::{Key, Outcome, Payload, Waiters};
use onewait::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A waiter's mark: it waits for this request alone, and sleeps on [`endings_of`] its block.
pub(super) const WAITS_FOR_ONE: u32 = 1;
/// A waiter's mark: it waits for one of several requests, and sleeps on [`ENDINGS`].
pub(super) const WAITS_FOR_ANY: u32 = 2;

/// Changes whenever a request ends that somebody waits for among others.
pub(super) static ENDINGS: AtomicU32 = AtomicU32::new(0);

const CELLS: usize = 64;
static ENDINGS_OF_ONE: [AtomicU32; CELLS] = [const { AtomicU32::new(0) }; CELLS];

/// Changes whenever a request of this block ends that somebody waits for (and some others). Not the block's status: that
/// of the block's next request looks like the one before, and who fell asleep on it would miss an end.
pub(super) fn endings_of(block: *const Aiocb) -> &'static AtomicU32 {
    &ENDINGS_OF_ONE[block.addr() / size_of::<Aiocb>() % CELLS]
}

fn wake(endings: &AtomicU32) {
    endings.fetch_add(1, Ordering::SeqCst);
    sys::futex_wake(endings.as_ptr() as usize, i32::MAX);
}

/// What the engine keeps for us.
pub(crate) struct PosixRequest {
    pub(super) block: BlockPointer,
    pub(super) key: Key,
    pub(super) notification: Notification,
    pub(super) group: Option<Arc<Group>>,
}

/// A program's control block. It is the program's duty to keep it until the request has ended; some do not, so it is
/// written to only while it says itself that it belongs to this request.
#[derive(Clone, Copy)]
pub(super) struct BlockPointer(pub(super) *const Aiocb);

// SAFETY: control blocks are shared between threads by nature: what is ours in them are atomics.
unsafe impl Send for BlockPointer {}

impl Payload for PosixRequest {
    fn complete(self, outcome: Outcome, waiters: &Waiters) {
        // SAFETY: POSIX makes the program keep the block until the request has ended.
        let block = unsafe { &*self.block.0 };
        if block.key() == self.key {
            block.publish(outcome);
        }
        // The block may be gone from here on.
        let marks = waiters.marks();
        if marks & WAITS_FOR_ONE != 0 {
            wake(endings_of(self.block.0));
        }
        if marks & WAITS_FOR_ANY != 0 {
            wake(&ENDINGS);
        }
        self.notification.send();
        if let Some(group) = self.group {
            group.one_ended(outcome.is_err());
        }
    }
}
