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

use super::common::{Common, is_of_one_connection};
use super::completion::SocketOutcome;
use super::id::{GENERATION_BITS, Intake, SocketId};
use super::loan::Loan;
use super::outgoing::Sending;
use crate::aio::{GUEST, LoopRing};
use crate::driver::operation::MAX_LENGTH;
use crate::driver::uring::buffers::BufferRing;
use crate::driver::uring::sockets::Staged;
use crate::driver::uring::{Completion, Entered, Stay};
use crate::errno::Errno;
use crate::face::InFlight;
use crate::sys::ThreadId;
use crate::sys::socket::{RawAddress, SocketKind};
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Room in the ring of buffers: a power of two.
const ENTRIES: u16 = 1024;
const GROUP: u16 = 0;
/// The kernel has so many buffers at first, and gets more when they run out. Measured with 32, 64 and 256: an echo costs 0.97,
/// 1.01 and 0.98 of a bare loop on epoll with 64 connections, and 0.98, 1.02 and 0.92 with a thousand.
const FIRST_TARGET: usize = 256;
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
    buffers: BufferRing,
    /// The buffers that the kernel has, by number.
    given: Vec<Option<Box<Loan>>>,
    free_numbers: Vec<u16>,
    target: usize,
    /// Somebody has received: before, the kernel has no buffers.
    receives: bool,
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
        let buffers = unsafe { BufferRing::register(ring.ring(), ENTRIES, GROUP)? };
        Ok(RingSockets {
            ring,
            buffers,
            given: (0..ENTRIES).map(|_| None).collect(),
            free_numbers: (0..ENTRIES).rev().collect(),
            target: FIRST_TARGET,
            receives: false,
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

    /// Whoever polls hears of what requests on files do from now on, also of what threads do for them. Whether
    /// some have ended meanwhile.
    pub(super) fn tell_of_files(&mut self, common: &mut Common) -> bool {
        if !self.tells {
            return false;
        }
        self.ring.prepare_sleep();
        if self.has_staged() {
            self.hand_over(common);
        }
        self.ring.has_finished() && self.ring.finish()
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
        if !common.starved.is_empty() {
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
        if hands_over && !self.has_reaped && !is_over() {
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
        // SAFETY: as said above; buffers of the group are in `given`.
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

    /// The kernel gets the buffers that it is to have, and those who found none try again.
    fn feed(&mut self, common: &mut Common) {
        if !self.receives {
            return;
        }
        let has = ENTRIES as usize - self.free_numbers.len();
        let mut added = 0;
        while has + added < self.target {
            let is_awaited = has + added == 0 && !common.starved.is_empty();
            let loan = if is_awaited { common.pool.take() } else { common.pool.take_if_any() };
            let Some(loan) = loan else { break };
            let Some(number) = self.free_numbers.pop() else {
                common.pool.give(loan);
                break;
            };
            // SAFETY: there are as many numbers as entries. The buffer is kept in `given` until the kernel gives it back.
            unsafe { self.buffers.add(loan.buffer.address(), loan.buffer.capacity() as u32, number) };
            self.given[usize::from(number)] = Some(loan);
            added += 1;
        }
        if added > 0 {
            self.buffers.publish();
        }
        if has + added > 0 {
            // Those that find none again wait behind them.
            for _ in 0..common.starved.len() {
                let Some(id) = common.next_starved() else { break };
                self.start(common, id);
            }
        }
    }

    /// The intake begins, or goes on.
    pub(super) fn start(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        let Some(fd) = slot.fd.as_ref().map(AsRawFd::as_raw_fd) else { return };
        if slot.is_armed {
            return;
        }
        let user_data = user_data(INTAKE, id);
        let staged = match slot.intake {
            Intake::Accept { again } => Staged::accept(fd, again, user_data),
            Intake::Receive { again } => {
                self.receives = true;
                Staged::receive(fd, again, GROUP, user_data)
            }
            Intake::Connect => match self.addresses.get(&id.index) {
                Some(address) => Staged::connect(fd, address.as_ptr(), address.len(), user_data),
                None => return,
            },
            Intake::Nothing => return,
        };
        slot.is_armed = true;
        self.stage(common, staged);
    }

    pub(super) fn connect(&mut self, common: &mut Common, id: SocketId, address: RawAddress) {
        self.addresses.insert(id.index, Box::new(address));
        self.start(common, id);
    }

    /// The intake is to end; its last completion says so.
    pub(super) fn stop(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if slot.is_armed {
            slot.is_stopping = true;
            self.stage(common, Staged::cancel(user_data(INTAKE, id), NOTHING << KIND_SHIFT));
        } else {
            common.end_intake(id, Errno::CANCELED);
        }
    }

    /// The socket is to end, once the kernel is done with it.
    pub(super) fn close(&mut self, common: &mut Common, id: SocketId) {
        self.stop(common, id);
        let Some(slot) = common.table.at(id) else { return };
        slot.is_closing = true;
        if slot.is_sending {
            self.stage(common, Staged::cancel(user_data(SEND, id), NOTHING << KIND_SHIFT));
        }
        self.close_if_idle(common, id);
    }

    fn close_if_idle(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if !slot.is_closing || slot.is_armed || slot.is_sending {
            return;
        }
        common.end_intake(id, Errno::CANCELED);
        common.end_sends(id, Errno::CANCELED);
        drop(common.table.remove(id.index));
    }

    /// There is a send more.
    #[inline]
    pub(super) fn send(&mut self, common: &mut Common, id: SocketId, sending: Sending) {
        let Some(slot) = common.table.at(id) else { return };
        common.sends.push(&mut slot.sends, sending);
        self.send_next(common, id);
    }

    /// The first of the sends goes on its way, unless it is.
    #[inline]
    fn send_next(&mut self, common: &mut Common, id: SocketId) {
        let Some(slot) = common.table.at(id) else { return };
        if slot.is_sending || slot.is_closing {
            return;
        }
        let (Some(fd), Some(sending)) = (&slot.fd, common.sends.first(slot.sends)) else { return };
        let rest = &sending.bytes[sending.sent..];
        let length = rest.len().min(MAX_LENGTH) as u32;
        let staged = Staged::send(fd.as_raw_fd(), rest.as_ptr(), length, user_data(SEND, id));
        slot.is_sending = true;
        self.stage(common, staged);
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

    fn sent(&mut self, common: &mut Common, id: SocketId, result: i32) {
        let Some(slot) = common.table.at(id) else { return };
        slot.is_sending = false;
        match usize::try_from(result) {
            Ok(count) => {
                let Some(sending) = common.sends.first(slot.sends) else { return };
                sending.sent += count;
                if sending.sent >= sending.bytes.len() {
                    common.end_send(id, Ok(()));
                }
            }
            Err(_) if matches!(-result, libc::EINTR | libc::EAGAIN) => {}
            Err(_) => common.end_send(id, Err(Errno(-result))),
        }
        self.send_next(common, id);
        self.close_if_idle(common, id);
    }

    fn brought(&mut self, common: &mut Common, id: SocketId, completion: Completion) {
        let loan = completion.buffer.and_then(|number| {
            self.free_numbers.push(number);
            self.given.get_mut(usize::from(number))?.take()
        });
        let Some(slot) = common.table.at(id) else { return };
        if completion.is_last {
            slot.is_armed = false;
        }
        let goes_on = match slot.intake {
            Intake::Accept { .. } => self.accepted(common, id, completion.result),
            Intake::Receive { .. } => Self::received(common, id, completion.result, loan, &mut self.target),
            Intake::Connect => {
                self.addresses.remove(&id.index);
                match completion.result {
                    0.. => common.bring(id, SocketOutcome::Connected(Ok(())), true),
                    errno => {
                        common.end_intake(id, Errno(-errno));
                        false
                    }
                }
            }
            Intake::Nothing => false,
        };
        if completion.is_last {
            match common.table.at(id) {
                Some(slot) if slot.is_stopping && slot.intake != Intake::Nothing => {
                    common.end_intake(id, Errno::CANCELED);
                }
                Some(_) if goes_on => self.start(common, id),
                _ => {}
            }
            self.close_if_idle(common, id);
        }
    }

    /// Whether it goes on.
    fn accepted(&mut self, common: &mut Common, id: SocketId, result: i32) -> bool {
        match Errno(-result) {
            Errno(..=0) => {
                // SAFETY: just made by the kernel, owned by nobody else.
                let fd = unsafe { OwnedFd::from_raw_fd(result) };
                if common.table.at(id).is_none_or(|slot| slot.is_closing && slot.intake.goes_on()) {
                    // Nobody would hear of it.
                    return false;
                }
                let accepted = common.insert_accepted(id, fd);
                common.bring(id, SocketOutcome::Accepted(accepted), false)
            }
            errno @ Errno(libc::EMFILE | libc::ENFILE) => {
                let listener = common.table.at(id).and_then(|slot| slot.fd.as_ref()).map_or(-1, AsRawFd::as_raw_fd);
                let goes_on = common.spare.shed(listener);
                common.bring(id, SocketOutcome::Accepted(Err(errno)), !goes_on)
            }
            errno if is_of_one_connection(errno) => true,
            errno => {
                common.end_intake(id, errno);
                false
            }
        }
    }

    /// Whether it goes on.
    fn received(common: &mut Common, id: SocketId, result: i32, loan: Option<Box<Loan>>, target: &mut usize) -> bool {
        let has_end = common.table.at(id).is_some_and(|slot| slot.kind != SocketKind::Datagrams);
        match (usize::try_from(result), loan) {
            (Ok(0), loan) if has_end => {
                if let Some(loan) = loan {
                    common.pool.give(loan);
                }
                common.bring_end(id);
                false
            }
            (Ok(count), Some(mut loan)) => {
                // SAFETY: the kernel has written so many bytes.
                unsafe { loan.buffer.set_length(count) };
                let received = common.pool.lend(loan);
                common.bring(id, SocketOutcome::Received(Ok(received)), false)
            }
            // An empty message; the kernel gives no buffer for it.
            (Ok(_), None) => common.bring(id, SocketOutcome::Received(Ok(super::Received::nothing())), false),
            (Err(_), loan) => {
                if let Some(loan) = loan {
                    common.pool.give(loan);
                }
                match -result {
                    libc::ENOBUFS => {
                        *target = (*target * 2).min(usize::from(ENTRIES));
                        common.starve(id);
                        false
                    }
                    libc::EINTR | libc::EAGAIN => true,
                    errno => {
                        common.end_intake(id, Errno(errno));
                        false
                    }
                }
            }
        }
    }

    /// Ends everything that the kernel is at. False if that cannot be, and the kernel goes on with it.
    pub(super) fn drain(&mut self, common: &mut Common) -> bool {
        self.ring.begin_end();
        self.in_flight -= self.backlog.len();
        self.backlog.clear();
        let mut asked = false;
        while self.in_flight > 0 {
            // SAFETY: it points to nothing.
            if !asked && unsafe { self.ring.stage_guest(&Staged::cancel_all(NOTHING << KIND_SHIFT)) } {
                asked = true;
                self.in_flight += 1;
            }
            // Nobody takes it any more.
            common.done.clear();
            self.ring.finish();
            if self.ring.enter(if asked { Stay::UntilCompletion } else { Stay::No }).is_err() {
                return false;
            }
            while let Some(completion) = self.ring.next() {
                self.in_flight -= usize::from(completion.is_last);
                let is_intake = completion.user_data >> KIND_SHIFT == INTAKE;
                let slot = common.table.at(id_of(completion.user_data)).filter(|_| is_intake && completion.result >= 0);
                if let Some(Intake::Accept { .. }) = slot.map(|slot| slot.intake) {
                    // SAFETY: just made by the kernel, owned by nobody else.
                    drop(unsafe { OwnedFd::from_raw_fd(completion.result) });
                }
            }
        }
        self.ring.drain()
    }

    /// The kernel goes on with what it has: that memory is never freed.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.given));
        std::mem::forget(std::mem::take(&mut self.addresses));
        self.buffers.leak();
        self.ring.leak();
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
