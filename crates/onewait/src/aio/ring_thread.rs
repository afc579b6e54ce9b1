//! The engine thread of the `uring` driver: it owns a ring, is fed by a mailbox, and sleeps in the ring.
//!
//! Nobody but this thread submits, so the program's threads are never interrupted by completions, may exit with requests
//! in flight, and get no SIGPIPE from them: all signals are blocked here.

use super::answers::Answers;
use super::busy::Busy;
use super::mailbox::Mailbox;
use super::payload::Payload;
use super::request::{Body, Reply, Target, Verdict, await_verdict};
use super::ring_core::{RingCore, Table};
use super::slots::Key;
use crate::counters::{Counters, Event};
use crate::driver::doorbell::Doorbell;
use crate::driver::pool::Pool;
use crate::driver::uring::{Ring, Stay};
use crate::errno::Errno;
use crate::sys;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

/// What the program's threads and the engine thread share.
struct Shared<P: Payload> {
    slots: Arc<Table<P>>,
    mailbox: Mailbox,
    /// Set by the engine thread before it sleeps, after which it looks into the mailbox once more; taken back by whoever
    /// rings the doorbell. Sequentially consistent, with the mailbox's head: one of the two sides sees the other.
    is_asleep: AtomicBool,
    is_stopping: AtomicBool,
}

/// The engine thread, as its users see it.
pub(crate) struct RingThread<P: Payload> {
    shared: Arc<Shared<P>>,
    doorbell: Arc<Doorbell>,
    thread: Option<JoinHandle<()>>,
}

impl<P: Payload> RingThread<P> {
    /// Starts the thread and waits until its ring works.
    ///
    /// # Errors
    /// Those of making the ring, EAGAIN when no thread can be made.
    pub(crate) fn start(slots: Arc<Table<P>>, busy: Arc<Busy>) -> Result<RingThread<P>, Errno> {
        let shared = Arc::new(Shared {
            slots,
            mailbox: Mailbox::new(),
            is_asleep: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        });
        let (report, reported) = mpsc::sync_channel(1);
        let theirs = Arc::clone(&shared);
        let body = move || {
            let ring = Ring::new().and_then(|ring| Ok((Arc::new(Doorbell::new(&ring)?), ring)));
            match ring {
                Ok((doorbell, ring)) => {
                    let mut core = RingCore::new(ring, Arc::clone(&theirs.slots), busy);
                    core.set_doorbell(Arc::clone(&doorbell));
                    let answers = Arc::new(Answers::new(Arc::clone(&doorbell)));
                    let threads = Arc::new(Pool::new(Arc::clone(&answers)));
                    core.set_threads(Arc::clone(&threads));
                    let _ = report.send(Ok(doorbell));
                    run(&mut core, &theirs, &answers);
                    threads.stop();
                }
                Err(errno) => drop(report.send(Err(errno))),
            }
        };
        let thread = sys::spawn("onewait-engine", body).map_err(|error| Errno::of(&error))?;
        let doorbell = reported.recv().unwrap_or(Err(Errno::AGAIN))?;
        Ok(RingThread { shared, doorbell, thread: Some(thread) })
    }

    /// Hands a slot over; the engine thread may not know before [`RingThread::wake`].
    #[inline]
    pub(crate) fn push(&self, key: Key) {
        self.shared.mailbox.push(&self.shared.slots, key);
    }

    /// Sees to it that the engine thread looks into its mailbox.
    #[inline]
    pub(crate) fn wake(&self) {
        let is_asleep = &self.shared.is_asleep;
        if is_asleep.load(Ordering::SeqCst) && is_asleep.swap(false, Ordering::SeqCst) {
            Counters::current().event(Event::Doorbell);
            self.doorbell.signal();
        }
    }

    /// Cancels, and returns when that is decided.
    ///
    /// # Errors
    /// EAGAIN when no slot is free.
    pub(crate) fn cancel(&self, target: Target) -> Result<Verdict, Errno> {
        self.ask(|reply| Body::Cancel(target, reply))
    }

    /// Returns when nothing depends on the number `fd` any more.
    ///
    /// # Errors
    /// EAGAIN when no slot is free.
    pub(crate) fn close(&self, fd: RawFd) -> Result<(), Errno> {
        self.ask(|reply| Body::Close(fd, reply)).map(drop)
    }

    fn ask(&self, question: impl FnOnce(Reply) -> Body<P>) -> Result<Verdict, Errno> {
        let word = AtomicU32::new(0);
        let key = self.shared.slots.take().ok_or(Errno::AGAIN)?;
        // SAFETY: the slot was just taken.
        if let Some(body) = unsafe { self.shared.slots.body(key) } {
            *body = Some(question(Reply::to(&word)));
        }
        self.push(key);
        self.wake();
        Ok(await_verdict(&word))
    }
}

impl<P: Payload> Drop for RingThread<P> {
    /// Cancels what can be cancelled, and waits for the rest.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.doorbell.signal();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run<P: Payload>(core: &mut RingCore<P>, shared: &Shared<P>, answers: &Answers) {
    let mut keys = Vec::with_capacity(256);
    let mut was_cancelled = false;
    loop {
        // Armed before anything is looked at: a signal from then on ends the wait.
        core.arm();
        core.take_answers(answers);
        // Looked at before the mailbox: nobody submits any more once it is set, so what is taken then is all there is.
        let is_stopping = shared.is_stopping.load(Ordering::SeqCst);
        shared.mailbox.take_all(&shared.slots, &mut keys);
        for key in keys.drain(..) {
            core.accept(key);
        }
        if is_stopping {
            if !was_cancelled {
                was_cancelled = true;
                core.cancel_everything();
            }
            if core.is_idle() {
                return;
            }
        }
        shared.is_asleep.store(true, Ordering::SeqCst);
        let may_sleep = shared.mailbox.is_empty() && (was_cancelled || !shared.is_stopping.load(Ordering::SeqCst));
        if !may_sleep {
            shared.is_asleep.store(false, Ordering::SeqCst);
        }
        core.turn(if may_sleep { Stay::UntilCompletion } else { Stay::No });
        shared.is_asleep.store(false, Ordering::SeqCst);
    }
}
