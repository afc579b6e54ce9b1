//! From a control block to a request in the engine.

use super::aiocb::Aiocb;
use super::group::Group;
use super::notify::Notification;
use super::request::{BlockPointer, PosixRequest};
use crate::process::{self, Process};
use crate::request::FaceRequest;
use onewait::Errno;
use onewait::aio::inline::{self, Attempt};
use onewait::aio::{Outcome, Standing, Submission};
use onewait::counters::Counters;
use onewait::driver::operation::{Code, MAX_LENGTH, Operation};
use onewait::sys;
use std::ffi::c_int;
use std::sync::Arc;
use std::time::Instant;

/// AIO_PRIO_DELTA_MAX of `<limits.h>`.
const HIGHEST_PRIORITY: c_int = 20;

/// No program has memory at this address or above, on any processor.
const BEYOND_MEMORY: usize = 1 << 56;

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
    process::usable()?;
    submit(block, Operation::new(code, block.fd), Manner::alone())
}

/// A read or a write in the manner of the caller.
pub(super) fn transfer_as(block: &Aiocb, code: Code, manner: Manner) -> Result<(), Errno> {
    if !(0..=HIGHEST_PRIORITY).contains(&block.priority) {
        block.publish(Err(Errno::INVAL));
        return Err(Errno::INVAL);
    }
    if let Err(errno) = process::usable() {
        block.publish(Err(errno));
        return Err(errno);
    }
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

/// A length that the kernel refuses, or that it refuses at this offset: it is asked in what way. `None` if it is none.
fn refused_length(block: &Aiocb, operation: &Operation) -> Option<Outcome> {
    let is_transfer = operation.is_read() || operation.is_write();
    if !is_transfer || block.length <= MAX_LENGTH && block.offset.checked_add(block.length as i64).is_some() {
        return None;
    }
    let last = i64::try_from(block.length).ok().and_then(|length| block.offset.checked_add(length));
    let end = (block.buffer as usize).checked_add(block.length).filter(|end| *end < BEYOND_MEMORY);
    if last.is_some() && end.is_some() {
        return None;
    }
    let is_refused_anywhere = end.is_none() || block.length > isize::MAX as usize;
    // SAFETY: the kernel refuses such lengths before it looks at the buffer.
    let answer = unsafe {
        sys::plain_transfer(
            block.fd,
            operation.is_read(),
            block.buffer,
            block.length,
            block.offset,
            is_refused_anywhere,
        )
    };
    match answer {
        // Without positions, only the length counts.
        Err(sys::ESPIPE) => None,
        answer => Some(answer),
    }
}

fn submit(block: &Aiocb, operation: Operation, manner: Manner) -> Result<(), Errno> {
    let process = process::current();
    let notification = Notification::of(&block.event);
    block.begin();
    let started = Counters::current().is_timed().then(Instant::now);
    let attempt = match refused_length(block, &operation) {
        // SAFETY: the buffer is the program's, valid until the request ends, or the kernel answers EFAULT.
        None => unsafe { inline::attempt(operation, process.engine.copy_split()) },
        Some(outcome) => Attempt::Done(outcome),
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
    inline::count(operation.kind(), outcome, started);
    block.publish(outcome);
    if !notification.is_none() {
        // The handler may wait for earlier requests of the same list.
        process::current().engine.flush();
    }
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
    let is_silent = notification.is_none() && manner.group.as_ref().is_none_or(|group| group.is_silent());
    let standing = if is_silent { Standing::Private } else { Standing::Public };
    let request = PosixRequest { block: BlockPointer(block), key, notification, group: manner.group };
    let payload = FaceRequest::Posix(request);
    let submission = Submission { operation, before, started, payload };
    // SAFETY: the buffer is the program's, valid until the request ends; the key is fresh.
    let submitted = unsafe { process.engine.submit(key, submission, standing, manner.flush) };
    // Whatever there was too little of, this is what `<aio.h>` calls it.
    submitted.map_err(|_| Errno::AGAIN)
}
