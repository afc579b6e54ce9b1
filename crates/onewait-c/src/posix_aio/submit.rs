//! From a control block to a request in the engine.

use super::aiocb::Aiocb;
use super::group::Group;
use super::notify::Notification;
use super::request::{BlockPointer, PosixRequest};
use crate::process::{self, Process};
use onewait::Errno;
use onewait::aio::inline::{self, Attempt};
use onewait::aio::{Outcome, Standing, Submission};
use onewait::counters::{Counters, Route};
use onewait::driver::operation::{Code, MAX_LENGTH, Operation};
use onewait::sys;
use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

/// AIO_PRIO_DELTA_MAX of `<limits.h>`.
const HIGHEST_PRIORITY: c_int = 20;

/// How a call wants its requests treated.
pub(super) struct Manner {
    /// The list that the request belongs to.
    pub(super) group: Option<Arc<Group>>,
    /// Whether the request has to be on its way when the call returns.
    pub(super) flush: bool,
}

impl Manner {
    fn alone() -> Manner {
        Manner { group: None, flush: true }
    }
}

/// `aio_read` and `aio_write`.
pub(super) fn transfer(block: &Aiocb, code: Code) -> Result<(), Errno> {
    transfer_as(block, code, Manner::alone())
}

/// `aio_fsync`.
pub(super) fn sync(block: &Aiocb, op: c_int) -> Result<(), Errno> {
    let code = match op {
        libc::O_SYNC => Code::Fsync,
        libc::O_DSYNC => Code::Fdatasync,
        _ => return Err(Errno::INVAL),
    };
    sys::status_flags(block.fd)?;
    submit(block, Operation::new(code, block.fd), Manner::alone())
}

/// A read or a write in the manner of the caller.
pub(super) fn transfer_as(block: &Aiocb, code: Code, manner: Manner) -> Result<(), Errno> {
    let operation = Operation {
        address: block.buffer as usize,
        length: block.length.min(MAX_LENGTH) as u32,
        offset: block.offset,
        ..Operation::new(code, block.fd)
    };
    submit(block, operation, manner)
}

/// Ends a request that is none: the block asks for what there is not.
pub(super) fn refuse(block: &Aiocb, errno: Errno) {
    block.begin();
    block.publish(Err(errno));
    Notification::of(&block.event).send();
}

/// What the kernel says of lengths before it cuts them.
fn check_length(block: &Aiocb, operation: &Operation) -> Result<(), Errno> {
    let is_transfer = operation.is_read() || operation.is_write();
    let end = i64::try_from(block.length).ok().and_then(|length| block.offset.checked_add(length));
    if !is_transfer || end.is_some() || block.offset < 0 {
        return Ok(());
    }
    sys::status_flags(block.fd)?;
    if block.length > isize::MAX as usize || sys::seekable(block.fd) { Err(Errno::INVAL) } else { Ok(()) }
}

fn submit(block: &Aiocb, operation: Operation, manner: Manner) -> Result<(), Errno> {
    if !(0..=HIGHEST_PRIORITY).contains(&block.priority) {
        block.publish(Err(Errno::INVAL));
        return Err(Errno::INVAL);
    }
    let process = process::current();
    let notification = Notification::of(&block.event);
    block.begin();
    let started = Counters::current().is_timed().then(Instant::now);
    let attempt = match check_length(block, &operation) {
        // SAFETY: the buffer is the program's, valid until the request ends, or the kernel answers EFAULT.
        Ok(()) => unsafe { inline::attempt(operation) },
        Err(errno) => Attempt::Done(Err(errno)),
    };
    let result = match attempt {
        Attempt::Done(outcome) => {
            finish(block, &operation, outcome, started, notification, manner.group);
            return Ok(());
        }
        Attempt::Queue(operation, before) => queue(process, block, operation, before, started, notification, manner),
    };
    if let Err(errno) = result {
        block.publish(Err(errno));
    }
    result
}

/// A request that was done in the call itself. The notification is the last thing that happens: its handler may run on
/// this thread, inside this call, and may make calls itself.
fn finish(
    block: &Aiocb,
    operation: &Operation,
    outcome: Outcome,
    started: Option<Instant>,
    notification: Notification,
    group: Option<Arc<Group>>,
) {
    let counters = Counters::current();
    let kind = operation.kind();
    counters.submitted(kind, Route::Inline);
    counters.completed(kind, outcome.map_or_else(|errno| -i64::from(errno.0), |value| value as i64));
    if let Some(started) = started {
        counters.latency(kind, started.elapsed().as_nanos() as u64);
    }
    block.publish(outcome);
    notification.send();
    if let Some(group) = group {
        group.one_ended(outcome.is_err());
    }
}

fn queue(
    process: &Process,
    block: &Aiocb,
    operation: Operation,
    before: usize,
    started: Option<Instant>,
    notification: Notification,
    manner: Manner,
) -> Result<(), Errno> {
    notification.prepare()?;
    let key = process.engine.reserve()?;
    block.set_key(key);
    let standing = if notification.is_none() { Standing::Private } else { Standing::Public };
    let payload = PosixRequest { block: BlockPointer(block), key, notification, group: manner.group };
    let submission = Submission { operation, before, started, payload };
    // SAFETY: the buffer is the program's, valid until the request ends; the key is fresh.
    unsafe { process.engine.submit(key, submission, standing, manner.flush) }
}
