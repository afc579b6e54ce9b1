//! Sockets on the uring driver: what is asked for lies in a ring, which its thread also sleeps in.
//!
//! It is the ring that is slept in, and the reactor's epoll that is watched there. The other way round, an epoll that an eventfd
//! of the ring's wakes, costs an echo 1.2 to 1.9 of what a bare loop on epoll costs; this way 0.9 to 1.0.
//!
//! Accepting and receiving are multishot: one operation until it ends. The kernel takes a buffer when something has come
//! (`driver/uring/buffers.rs`). Sends of a socket are in the ring one after the other, since several would overtake each
//! other when the socket is full; sends of many sockets go to the kernel by one call, which is the one that waits as well.
//!
//! Everything that the kernel may be at is owned here or in [`Common`] until the terminal completion: a socket that is
//! closed keeps its descriptor and its sends so long.

mod end;
mod group;
mod intake;
mod sends;

use super::common::Common;
use super::id::{GENERATION_BITS, SocketId};
use super::supply::Content;
use crate::aio::{GUEST, LoopRing};
use crate::driver::uring::sockets::Staged;
use crate::driver::uring::{Entered, Stay};
use crate::errno::Errno;
use crate::face::InFlight;
use crate::sys::ThreadId;
use crate::sys::socket::RawAddress;
use group::Group;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

/// What was not taken keeps the rest in the kernel.
const MOST_DONE: usize = 4096;

/// What a completion is for: its `user_data` begins with this, then come the generation and the index of a socket.
const INTAKE: u64 = GUEST >> KIND_SHIFT;
const SEND: u64 = INTAKE | 1;
/// Of cancellations; those in this very word have no socket.
const NOTHING: u64 = INTAKE | 2;
/// The reactor's other descriptors have news.
const OTHERS: u64 = INTAKE | 3;
const KIND_SHIFT: u32 = 60;

pub(super) struct RingSockets {
    /// Dropped before what the kernel may write to.
    ring: LoopRing<InFlight>,
    bytes: Group,
    /// Made when a socket for messages receives.
    messages: Option<Group>,
    /// Addresses of connections that are being made.
    addresses: HashMap<u32, Box<RawAddress>>,
    /// Operations that have not ended.
    in_flight: usize,
    /// What did not fit into the submission queue, in its order.
    backlog: VecDeque<Staged>,
    /// The ring watches the reactor's other descriptors.
    watches_others: bool,
    others_have_news: bool,
    /// Completions are being reaped: what is staged meanwhile is handed over later.
    is_reaping: bool,
    /// The last call has brought a completion.
    has_reaped: bool,
    /// Somebody polls the reactor instead of waiting in it: nothing may stay staged, and the ring is not slept in.
    tells: bool,
    /// It alone may enter the ring: by its registered index, another thread would enter one of its own.
    owner: ThreadId,
}

impl RingSockets {
    /// # Errors
    /// Those of making a ring: what io_uring is refused with, and EMFILE, ENOMEM.
    pub(super) fn new() -> Result<RingSockets, Errno> {
        let ring = LoopRing::new()?;
        // SAFETY: the ring is the first field, and so dropped first.
        let bytes = unsafe { Group::register(ring.ring(), Content::Bytes)? };
        Ok(RingSockets {
            ring,
            bytes,
            messages: None,
            addresses: HashMap::new(),
            in_flight: 0,
            backlog: VecDeque::new(),
            watches_others: false,
            others_have_news: false,
            is_reaping: false,
            has_reaped: false,
            tells: false,
            owner: ThreadId::current(),
        })
    }

    pub(super) fn loop_ring(&self) -> &LoopRing<InFlight> {
        &self.ring
    }

    #[inline]
    pub(super) fn loop_ring_mut(&mut self) -> &mut LoopRing<InFlight> {
        &mut self.ring
    }

    /// Whoever polls hears of what requests on files do from now on, also of what threads do for them. Those that
    /// have ended meanwhile do so.
    pub(super) fn tell_of_files(&mut self, common: &mut Common) {
        if !self.tells {
            return;
        }
        self.ring.prepare_sleep();
        if self.has_staged() {
            self.hand_over(common);
        }
        self.ring.finish();
    }

    fn has_staged(&mut self) -> bool {
        self.ring.staged() > 0 || !self.backlog.is_empty()
    }

    /// An error comes in the next turn again.
    fn hand_over(&mut self, common: &mut Common) {
        let _ = self.hand_over_backlog(common).and_then(|()| self.ring.enter(Stay::No));
        self.reap(common);
    }

    /// Whether it is this thread's.
    #[inline]
    pub(super) fn is_ours(&self) -> bool {
        self.owner == ThreadId::current()
    }

    /// Hands over what is staged, and takes what there is; no system call if there is neither.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)` that do not pass: EEXIST on a thread that does not own the ring.
    pub(super) fn turn(&mut self, common: &mut Common) -> Result<(), Errno> {
        if common.supplies.is_awaited() {
            self.feed(common);
        }
        if self.is_pending() {
            self.enter(common, Stay::No)?;
        }
        Ok(())
    }

    /// Whether a turn would find something to hand over or to take.
    pub(super) fn is_pending(&mut self) -> bool {
        self.ring.has_news() || !self.backlog.is_empty()
    }

    /// The same, and sleeps until there is something, here or with the `others`. Whether it is with these;
    /// `None`: it is to be slept with them, who are told.
    ///
    /// # Errors
    /// EINTR, and as above.
    pub(super) fn sleep(
        &mut self,
        common: &mut Common,
        others: BorrowedFd<'_>,
        timeout: Option<Duration>,
    ) -> Result<Option<bool>, Errno> {
        if self.tells {
            self.turn(common)?;
            return Ok(None);
        }
        if !self.watches_others {
            self.watches_others = true;
            self.stage(common, Staged::readable(others.as_raw_fd(), OTHERS << KIND_SHIFT));
        }
        self.ring.prepare_sleep();
        // A call that has handed something over says nothing of how its sleep has ended.
        let hands_over = self.has_staged();
        let end = if hands_over { timeout.map(|timeout| (Instant::now(), timeout)) } else { None };
        let mut entered = self.enter(common, Stay::UntilSignal(timeout))?;
        let is_over = || end.is_some_and(|(begin, timeout)| begin.elapsed() >= timeout);
        if hands_over && entered == Entered::Done && !self.has_reaped && !is_over() {
            entered = Entered::Interrupted;
        }
        let others_have_news = std::mem::take(&mut self.others_have_news);
        let has_nothing = !others_have_news && common.done.is_empty() && !self.ring.has_finished();
        if entered == Entered::Interrupted && has_nothing { Err(Errno::INTR) } else { Ok(Some(others_have_news)) }
    }

    fn enter(&mut self, common: &mut Common, stay: Stay<'_>) -> Result<Entered, Errno> {
        self.feed(common);
        self.hand_over_backlog(common)?;
        let may_sleep = self.backlog.is_empty() && common.done.is_empty() && !self.others_have_news;
        // Without a sleep there is no end of one to be told.
        self.has_reaped = !may_sleep;
        let entered = self.ring.enter(if may_sleep { stay } else { Stay::No });
        self.reap(common);
        entered
    }

    /// What it points to is owned by `self` or `common`, by whom it is kept until the completion, or beyond the ring.
    fn stage(&mut self, common: &mut Common, staged: Staged) {
        self.in_flight += 1;
        // SAFETY: as said above; buffers are kept by their group.
        if !self.backlog.is_empty() || !unsafe { self.ring.stage_guest(&staged) } {
            self.backlog.push_back(staged);
        }
        // A full queue is a batch. While completions are reaped, the next turn sees to it.
        if !self.is_reaping && (self.tells || !self.backlog.is_empty()) {
            self.hand_over(common);
        }
    }

    fn hand_over_backlog(&mut self, common: &mut Common) -> Result<(), Errno> {
        while let Some(staged) = self.backlog.front() {
            // SAFETY: as `stage` says.
            if unsafe { self.ring.stage_guest(staged) } {
                self.backlog.pop_front();
                continue;
            }
            self.ring.enter(Stay::No)?;
            self.reap(common);
            if self.ring.staged() > 0 {
                // The kernel takes nothing just now.
                break;
            }
        }
        Ok(())
    }

    /// There are buffers for this from now on.
    ///
    /// # Errors
    /// Of the first call for messages: those of `io_uring_register(2)`, ENOMEM among them.
    pub(super) fn use_buffers(&mut self, content: Content) -> Result<(), Errno> {
        if content == Content::Messages && self.messages.is_none() {
            // SAFETY: the ring is the first field, and so dropped first.
            self.messages = Some(unsafe { Group::register(self.ring.ring(), content)? });
        }
        if let Some(group) = self.group(content) {
            group.is_used = true;
        }
        Ok(())
    }

    #[inline]
    fn group(&mut self, content: Content) -> Option<&mut Group> {
        match content {
            Content::Bytes => Some(&mut self.bytes),
            Content::Messages => self.messages.as_mut(),
        }
    }

    /// The kernel gets the buffers that it is to have, and those who found none try again.
    fn feed(&mut self, common: &mut Common) {
        for content in Content::ALL {
            if self.group(content).is_some_and(|group| group.feed(&mut common.supplies)) {
                // Those that find none again wait behind them.
                for _ in 0..common.supplies.of(content).starved.len() {
                    let Some(id) = common.next_starved(content) else { break };
                    self.start(common, id);
                }
            }
        }
    }

    fn reap(&mut self, common: &mut Common) {
        self.is_reaping = true;
        while common.done.len() < MOST_DONE {
            let Some(completion) = self.ring.next() else { break };
            self.has_reaped = true;
            let id = id_of(completion.user_data);
            self.in_flight -= usize::from(completion.is_last);
            match completion.user_data >> KIND_SHIFT {
                INTAKE => self.brought(common, id, completion),
                SEND => self.sent(common, id, completion.result),
                OTHERS => {
                    self.watches_others = false;
                    self.others_have_news = true;
                }
                _ => {}
            }
        }
        self.is_reaping = false;
    }

    /// For whoever polls the reactor: signalled when there is news and the ring is not entered.
    ///
    /// # Errors
    /// Those of `io_uring_register(2)`.
    pub(super) fn tell(&mut self, eventfd: RawFd) -> Result<(), Errno> {
        self.tells = true;
        self.ring.ring().register_eventfd(eventfd)
    }
}

fn user_data(kind: u64, id: SocketId) -> u64 {
    const { assert!(GENERATION_BITS <= KIND_SHIFT - 32) };
    kind << KIND_SHIFT | u64::from(id.generation) << 32 | u64::from(id.index)
}

fn id_of(user_data: u64) -> SocketId {
    let generation = (user_data >> 32) as u32 & ((1 << GENERATION_BITS) - 1);
    SocketId { index: user_data as u32, generation }
}
