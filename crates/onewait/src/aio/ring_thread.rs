//! The engine thread of the `uring` driver: it owns a ring, is fed by a mailbox, and sleeps in the ring.
//!
//! Nobody but this thread submits, so the program's threads are never interrupted by completions, may exit with requests
//! in flight, and get no SIGPIPE from them: all signals are blocked here.

use super::answers::Answers;
use super::asleep::Asleep;
use super::busy::Busy;
use super::mailbox::Mailbox;
use super::payload::Payload;
use super::questions::{Question, Questions};
use super::request::{Reply, Target, Verdict, await_verdict};
use super::ring_core::{RingCore, Table};
use super::slots::Key;
use crate::counters::{Counters, Event};
use crate::driver::doorbell::Doorbell;
use crate::driver::uring::{Ring, Stay};
use crate::errno::Errno;
use crate::sys::{self, Thread};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What the program's threads and the engine thread share.
struct Shared<P: Payload> {
    slots: Arc<Table<P>>,
    mailbox: Mailbox,
    questions: Questions,
    asleep: Asleep,
    is_stopping: AtomicBool,
}

/// How the start of the engine thread went: told once, by that thread.
#[derive(Default)]
struct Report {
    result: Mutex<Option<Result<Arc<Doorbell>, Errno>>>,
    told: Condvar,
}

impl Report {
    fn send(&self, result: Result<Arc<Doorbell>, Errno>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.told.notify_one();
    }

    fn receive(&self) -> Result<Arc<Doorbell>, Errno> {
        let mut result = self.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match result.take() {
                Some(result) => return result,
                None => result = self.told.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The engine thread, as its users see it.
pub(crate) struct RingThread<P: Payload> {
    shared: Arc<Shared<P>>,
    doorbell: Arc<Doorbell>,
    thread: Option<Thread>,
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
            questions: Questions::default(),
            asleep: Asleep::new(),
            is_stopping: AtomicBool::new(false),
        });
        let report = Arc::new(Report::default());
        let (theirs, reporter) = (Arc::clone(&shared), Arc::clone(&report));
        let body = move || {
            let core = Ring::new().and_then(|ring| RingCore::with_threads(ring, Arc::clone(&theirs.slots), Some(busy)));
            match core {
                Ok((mut core, beside)) => {
                    reporter.send(Ok(beside.doorbell));
                    run(&mut core, &theirs, &beside.answers);
                    beside.threads.stop();
                }
                Err(errno) => reporter.send(Err(errno)),
            }
        };
        let thread = sys::spawn(c"onewait-engine", body)?;
        let doorbell = report.receive()?;
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
        self.shared.asleep.wake(|| {
            Counters::current().event(Event::Doorbell);
            self.doorbell.signal();
        });
    }

    /// The same, if there is something in it: a handler may have interrupted a list before the end.
    #[inline]
    pub(crate) fn wake_if_pending(&self) {
        if !self.shared.mailbox.is_empty() {
            self.wake();
        }
    }

    /// Cancels, and returns when that is decided.
    pub(crate) fn cancel(&self, target: Target) -> Verdict {
        self.ask(|reply| Question::Cancel(target, reply))
    }

    /// Returns when nothing depends on the number `fd` any more.
    pub(crate) fn close(&self, fd: RawFd) {
        self.ask(|reply| Question::Close(fd, reply));
    }

    fn ask(&self, question: impl FnOnce(Reply) -> Question) -> Verdict {
        let word = AtomicU32::new(0);
        self.shared.questions.push(question(Reply::to(&word)));
        self.wake();
        await_verdict(&word)
    }
}

impl<P: Payload> Drop for RingThread<P> {
    /// Cancels what can be cancelled, and waits for the rest.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.doorbell.signal();
        if let Some(thread) = self.thread.take() {
            thread.join();
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
        // Taken before the mailbox, and begun after: the requests that were submitted before are known then.
        let questions = shared.questions.take();
        shared.mailbox.take_all(&shared.slots, &mut keys);
        for key in keys.drain(..) {
            core.accept(key);
        }
        for question in questions {
            core.ask(question);
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
        shared.asleep.begin();
        let is_empty = shared.mailbox.is_empty() && shared.questions.is_empty();
        let may_sleep = is_empty && (was_cancelled || !shared.is_stopping.load(Ordering::SeqCst));
        if !may_sleep {
            shared.asleep.end();
        }
        core.turn(if may_sleep { Stay::UntilCompletion } else { Stay::No });
        shared.asleep.end();
    }
}
