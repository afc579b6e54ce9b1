//! Requests on a ring: what the thread that owns the ring does with them.
//!
//! The engine thread and a lone submitter both own a [`RingCore`]; they differ in where requests come from and in how
//! they wait.

mod cancel;
mod close;
mod ends;

use cancel::Cancellation;
use close::Close;
pub(super) use ends::Ends;
use ends::Tell;

use crate::aio::answers::Answers;
use crate::aio::busy::Busy;
use crate::aio::order::Order;
use crate::aio::payload::Waiters;
use crate::aio::questions::Question;
use crate::aio::request::{Place, Request};
use crate::aio::slots::{Key, Slots};
use crate::counters::Counters;
use crate::driver::direct;
use crate::driver::doorbell::Doorbell;
use crate::driver::operation::Operation;
use crate::driver::pool::Pool;
use crate::driver::uring::{Completion, Entered, Ring, Stay};
use crate::errno::Errno;
use crate::sys;
use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::sync::Arc;

/// Set in the `user_data` of cancellations; the rest is a running number. No key has the top bit set.
const CANCELLATION: u64 = 1 << 63;
/// `user_data` of the doorbell: no cancellation will ever have it.
const DOORBELL: u64 = FOREIGN - 1;
/// Set in the `user_data` of what is no request: of [`LoopRing`](super::LoopRing)'s guests.
pub(super) const FOREIGN: u64 = 3 << 62;
/// How often a request is handed over again when the kernel answers EAGAIN or EINTR where it should not.
const RETRIES: u8 = 16;

pub(crate) type Table<P> = Slots<Request<P>>;

/// The ring with everything that is on it. Requests that have ended go to `E`.
pub(crate) struct RingCore<P, E = Tell> {
    ring: Ring,
    slots: Arc<Table<P>>,
    /// Where those ask who close descriptors; `None` if requests hold theirs open.
    busy: Option<Arc<Busy>>,
    ends: E,
    order: Order,
    /// What found the submission queue full.
    backlog: VecDeque<Entry>,
    cancellations: Vec<Cancellation>,
    last_cancellation: u64,
    closes: Vec<Close>,
    /// Requests accepted and not ended.
    live: usize,
    /// Descriptors that the kernel will no longer look up by number once the ring is entered.
    staged: Vec<RawFd>,
    /// Where `order` puts what may go on; kept for its memory.
    released: Vec<Key>,
    doorbell: Option<Arc<Doorbell>>,
    /// For what only plain system calls do right; a ring without them does its best.
    threads: Option<Threads>,
    /// Whether the ring waits for the doorbell.
    is_armed: bool,
    /// What was reaped and is no request.
    foreign: VecDeque<Completion>,
    /// Nothing is begun again.
    is_ending: bool,
}

/// Threads beside a ring.
#[derive(Clone)]
pub(crate) struct Threads {
    /// For writes into the page cache and `fsync`.
    pub(crate) files: Arc<Pool<Answers>>,
    /// For what can wait for long inside a system call: it must not keep files waiting.
    pub(crate) patient: Arc<Pool<Answers>>,
}

impl Threads {
    pub(crate) fn new(answers: &Arc<Answers>) -> Threads {
        let pool = || Arc::new(Pool::new(Arc::clone(answers)));
        Threads { files: pool(), patient: pool() }
    }

    fn cancel(&self, user_data: u64) -> bool {
        self.files.cancel(user_data) || self.patient.cancel(user_data)
    }

    /// Lets them end, and waits for that.
    pub(crate) fn stop(&self) {
        self.files.stop();
        self.patient.stop();
    }
}

/// What a ring's thread has beside the ring.
pub(crate) struct Beside {
    pub(crate) threads: Threads,
    pub(crate) answers: Arc<Answers>,
    /// Ends waits in the ring, where [`RingCore::arm`] was called before the wait.
    pub(crate) doorbell: Arc<Doorbell>,
}

#[derive(Clone, Copy)]
enum Entry {
    Request(Key),
    Cancel { target: Key, user_data: u64 },
    Doorbell,
}

impl<P: Send + 'static, E: Ends<P>> RingCore<P, E> {
    pub(crate) fn new(ring: Ring, slots: Arc<Table<P>>, busy: Option<Arc<Busy>>) -> RingCore<P, E> {
        RingCore {
            ring,
            slots,
            busy,
            ends: E::default(),
            order: Order::default(),
            backlog: VecDeque::new(),
            cancellations: Vec::new(),
            last_cancellation: 0,
            closes: Vec::new(),
            live: 0,
            staged: Vec::with_capacity(256),
            released: Vec::with_capacity(64),
            doorbell: None,
            threads: None,
            is_armed: false,
            foreign: VecDeque::new(),
            is_ending: false,
        }
    }

    /// With threads beside it, for operations that only a plain system call does right.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn with_threads(
        ring: Ring,
        slots: Arc<Table<P>>,
        busy: Option<Arc<Busy>>,
    ) -> Result<(RingCore<P, E>, Beside), Errno> {
        let doorbell = Arc::new(Doorbell::new(&ring)?);
        let answers = Arc::new(Answers::new(Arc::clone(&doorbell)));
        let threads = Threads::new(&answers);
        let mut core = RingCore::new(ring, slots, busy);
        core.doorbell = Some(Arc::clone(&doorbell));
        core.threads = Some(threads.clone());
        Ok((core, Beside { threads, answers, doorbell }))
    }

    /// Ends what the threads have done.
    pub(crate) fn take_answers(&mut self, answers: &Answers) {
        for (user_data, result) in answers.take() {
            self.finish(Key::from_bits(user_data), result);
        }
    }

    /// From now on, a signal on the doorbell ends the next wait.
    pub(crate) fn arm(&mut self) {
        if !self.is_armed && self.doorbell.is_some() {
            self.is_armed = true;
            self.put(Entry::Doorbell);
        }
    }

    /// Nothing waits for the doorbell any more. False if that cannot be.
    pub(super) fn disarm(&mut self) -> bool {
        // An eventfd is the kernel's own; a word is not.
        while self.is_armed && self.ring.has_futex() {
            if let Some(doorbell) = &self.doorbell {
                doorbell.signal();
            }
            if self.try_enter(Stay::UntilCompletion).is_err() {
                return false;
            }
            self.reap();
        }
        true
    }

    /// From now on a request that was done in part ends with that part.
    pub(super) fn begin_end(&mut self) {
        self.is_ending = true;
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// What has become of requests that have ended.
    #[inline]
    pub(super) fn ends(&mut self) -> &mut E {
        &mut self.ends
    }

    #[inline]
    pub(super) fn ends_ref(&self) -> &E {
        &self.ends
    }

    /// How many requests have been accepted and not ended.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// For what is no request: its `user_data` is [`FOREIGN`].
    pub(super) fn ring_mut(&mut self) -> &mut Ring {
        &mut self.ring
    }

    /// Whether there is something to do before a sleep: not all is handed over, or reaped completions are no requests'.
    pub(super) fn has_more(&self) -> bool {
        !self.backlog.is_empty() || !self.foreign.is_empty()
    }

    /// The next completion that is no request's, of those that were reaped among requests.
    pub(super) fn next_foreign(&mut self) -> Option<Completion> {
        self.foreign.pop_front()
    }

    /// Hands over what is staged, if anything is, and finishes what has completed.
    pub(crate) fn settle(&mut self) {
        loop {
            self.reap();
            if self.ring.staged() == 0 && self.backlog.is_empty() {
                return;
            }
            // Reaping may have released what was held back.
            self.enter(Stay::No);
        }
    }

    /// Whether no request is with the kernel or held back.
    pub(crate) fn is_idle(&self) -> bool {
        self.live == 0 && self.cancellations.is_empty() && self.closes.is_empty()
    }

    /// Takes over a slot with a request in it.
    pub(crate) fn accept(&mut self, key: Key) {
        // SAFETY: the slot was handed to us, by the mailbox or by our own thread.
        let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { return };
        let (ticket, may_go) = self.order.admit(key, &request.operation);
        request.ticket = ticket;
        self.live += 1;
        self.slots.accept(key);
        if may_go {
            self.stage(key);
        }
    }

    /// Begins what somebody asks for, and will answer.
    pub(crate) fn ask(&mut self, question: Question) {
        match question {
            Question::Cancel(target, reply) => self.cancel(target, reply),
            Question::Close(fd, reply) => self.close(fd, reply),
        }
    }

    fn stage(&mut self, key: Key) {
        if !self.stage_on_thread(key) {
            self.put(Entry::Request(key));
        }
    }

    /// Gives the request to a thread, if it is one for threads.
    fn stage_on_thread(&mut self, key: Key) -> bool {
        // SAFETY: the slot is ours since `accept`.
        let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { return false };
        let Some(threads) = self.threads.as_ref().filter(|_| is_for_thread(request)) else { return false };
        request.place = Place::Driver;
        let (operation, user_data) = (request.operation, key.to_bits());
        let begun = if operation.own_timeout {
            // By a descriptor of its own: it can wait in a thread for longer than the program keeps the number.
            sys::duplicate(operation.fd).and_then(|fd| threads.patient.submit_pinned(operation, user_data, fd))
        } else {
            threads.files.submit(operation, user_data)
        };
        if begun.is_err() {
            self.finish(key, -libc::EAGAIN);
        }
        true
    }

    /// Puts an entry into the submission queue, or into the backlog if that is full.
    fn put(&mut self, entry: Entry) {
        if self.backlog.is_empty() && self.try_put(entry) {
            return;
        }
        self.backlog.push_back(entry);
        self.enter(Stay::No);
    }

    fn try_put(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Request(key) => {
                // SAFETY: the slot is ours since `accept`.
                let Some(Some(request)) = (unsafe { self.slots.body(key) }) else { return true };
                // SAFETY: what the operation points to is valid until its payload was told of the end, by the contract
                // of `Engine::submit`; we tell it only when the completion was seen.
                if !unsafe { self.ring.stage(&request.operation, key.to_bits()) } {
                    return false;
                }
                request.place = Place::Driver;
                if self.busy.is_some() && !keeps_number(request) {
                    self.staged.push(request.operation.fd);
                }
                true
            }
            Entry::Cancel { target, user_data } => self.ring.stage_cancel(target.to_bits(), user_data),
            Entry::Doorbell => {
                let Some(doorbell) = &self.doorbell else { return true };
                // SAFETY: `ring` is declared, and so dropped, before `doorbell`.
                unsafe { doorbell.stage(&mut self.ring, DOORBELL) }
            }
        }
    }

    /// Hands over what is staged, waits as `stay` says, and finishes what has completed.
    pub(crate) fn turn(&mut self, stay: Stay<'_>) -> Entered {
        let stay = if self.backlog.is_empty() { stay } else { Stay::No };
        if !self.closes.is_empty() && self.ring.staged() > 0 {
            self.enter(Stay::No);
        }
        self.decide_closes();
        let entered = self.enter(stay);
        self.reap();
        entered
    }

    /// An error here is one that no request can be blamed for (a ring closed behind our back, say); what is staged stays
    /// staged.
    fn enter(&mut self, stay: Stay<'_>) -> Entered {
        self.try_enter(stay).unwrap_or(Entered::Interrupted)
    }

    /// Hands over what is staged, and stays as long as `stay` says. Reaps nothing.
    ///
    /// # Errors
    /// Those of [`Ring::enter`].
    pub(super) fn try_enter(&mut self, stay: Stay<'_>) -> Result<Entered, Errno> {
        Counters::current().batch(self.ring.staged());
        let entered = self.ring.enter(stay);
        if self.ring.staged() == 0 {
            for fd in self.staged.drain(..) {
                if let Some(busy) = &self.busy {
                    busy.remove(fd);
                }
            }
            while let Some(entry) = self.backlog.front().copied()
                && self.try_put(entry)
            {
                self.backlog.pop_front();
            }
        }
        entered
    }

    /// Finishes what the kernel has posted, and what that sets free.
    pub(crate) fn reap(&mut self) {
        while let Some(completion) = self.ring.reap() {
            self.completed(completion);
        }
        self.decide();
    }

    /// Answers questions that what was finished has decided.
    pub(super) fn decide(&mut self) {
        self.decide_cancellations();
        self.decide_closes();
    }

    /// Finishes what the kernel says has completed; [`RingCore::decide`] follows.
    pub(super) fn completed(&mut self, completion: Completion) {
        match completion.user_data {
            FOREIGN.. => self.foreign.push_back(completion),
            DOORBELL => self.is_armed = !completion.is_last,
            user_data if user_data & CANCELLATION != 0 => {
                for cancellation in &mut self.cancellations {
                    cancellation.note_answer(user_data, completion.result);
                }
            }
            bits => self.finish(Key::from_bits(bits), completion.result),
        }
    }

    fn finish(&mut self, key: Key, result: i32) {
        // SAFETY: the slot is ours until the end of the request, which is now.
        let Some(body) = (unsafe { self.slots.body(key) }) else { return };
        if let Some(request) = body
            && result == -libc::EOPNOTSUPP
            && request.operation.nowait
        {
            // SAFETY: what the operation points to is valid until its payload was told.
            let result = unsafe { without_ring(&mut request.operation) };
            if let Some(result) = result {
                let Some(request) = body.take() else { return };
                return self.end(key, request, result);
            }
            return self.stage(key);
        }
        if let Some(request) = body
            && !self.is_ending
            && (must_retry(request, result) || request.must_continue(result))
        {
            if let Some(busy) = &self.busy
                && !keeps_number(request)
            {
                busy.add(request.operation.fd);
            }
            return self.stage(key);
        }
        if let Some(request) = body.take() {
            self.end(key, request, result);
        }
    }

    /// Lets the request end, gives the slot back, and stages what waited for this request.
    fn end(&mut self, key: Key, request: Request<P>, result: i32) {
        self.live -= 1;
        if let Some(busy) = &self.busy
            && keeps_number(&request)
        {
            busy.remove(request.operation.fd);
        }
        // What was done in part is no cancelled request: it ends with that part.
        if result == -libc::ECANCELED && request.before == 0 {
            for cancellation in &mut self.cancellations {
                cancellation.note_cancelled(key);
            }
        }
        let ticket = request.ticket;
        self.ends.end(request, result, self.slots.find(key).map(|slot| Waiters::of(&slot.waiters)));
        self.slots.give_back(key);
        self.order.done(ticket, &mut self.released);
        self.stage_released();
    }

    fn stage_released(&mut self) {
        if self.released.is_empty() {
            return;
        }
        let mut released = std::mem::take(&mut self.released);
        for key in released.drain(..) {
            self.stage(key);
        }
        self.released = released;
    }
}

/// Whether the engine needs the descriptor's number until the request ends, and not only until the kernel has it.
fn keeps_number<P>(request: &Request<P>) -> bool {
    request.operation.is_sync() || request.ticket.is_ordered()
}

/// Whether a thread does the request better than the ring, where there are threads.
fn is_for_thread<P>(request: &Request<P>) -> bool {
    request.operation.own_timeout || request.operation.needs_thread()
}

/// Carries out an operation that must not wait, on a file that cannot say whether it would have to: a terminal, say. Its
/// own O_NONBLOCK sees to that. `None` if it has that no longer: then the ring may wait.
///
/// # Safety
/// What the operation points to is valid for it.
unsafe fn without_ring(operation: &mut Operation) -> Option<i32> {
    if sys::status_flags(operation.fd).is_ok_and(|flags| flags & libc::O_NONBLOCK == 0) {
        operation.nowait = false;
        return None;
    }
    // SAFETY: by the contract of this function.
    Some(unsafe { direct::carry_out(operation) })
}

/// Whether the kernel's answer is none, so that the request has to be handed over again.
fn must_retry<P>(request: &mut Request<P>, result: i32) -> bool {
    match -result {
        // A thread's answer is one, and so is EAGAIN of what must not wait.
        _ if request.operation.own_timeout || request.operation.nowait => false,
        libc::EAGAIN | libc::EINTR if request.retries < RETRIES => {
            request.retries += 1;
            true
        }
        _ => false,
    }
}
