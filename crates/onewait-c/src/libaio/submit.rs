//! `io_submit`: each control block goes the way that suits its file.
//!
//! Files that are open with O_DIRECT: to the kernel's own context (`direct.rs`), as many as follow each other by one system
//! call. What needs no waiting: it is done here and now ([`inline::attempt`]). All else: to the engine.

use super::abi::{FLAG_EVENTFD, Iocb, command};
use super::bell::Bell;
use super::check::{self, Memory};
use super::context::Held;
use super::nowait;
use super::request::LibaioRequest;
use super::vectors::Vectors;
use crate::process::Process;
use crate::request::FaceRequest;
use onewait::Errno;
use onewait::aio::inline::{self, Attempt};
use onewait::aio::{Outcome, Standing, Submission};
use onewait::counters::Counters;
use onewait::driver::operation::{Code, Operation};
use onewait::sys::{FileKind, MaskedSignals};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// What belongs to a request besides its operation.
#[derive(Default)]
struct Belongings {
    bell: Option<Arc<Bell>>,
    vectors: Option<Box<Vectors>>,
}

/// What became of a control block.
enum Taken {
    /// It is done.
    Inline,
    /// The engine has it.
    Engine,
    /// It is one for the kernel's context.
    Direct,
}

/// Submits control blocks: how many were taken.
///
/// # Errors
/// That of the first block, if it is not taken.
///
/// # Safety
/// There are so many blocks; their buffers are valid until they end.
pub(super) unsafe fn submit(
    process: &'static Process,
    context: &Held,
    count: isize,
    list: *const *mut Iocb,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::INVAL)?.min(context.limit() as usize);
    let (mut taken, mut has_inline, mut has_engine) = (0, false, false);
    let mut result = Ok(());
    while taken < count && result.is_ok() {
        // SAFETY: by contract.
        let one = unsafe { block_at(list, taken) }.and_then(|(address, block)| {
            if check::is_transfer(block) && inline::is_known_direct(block.fd) && goes_direct(process, context) {
                return Ok(Taken::Direct);
            }
            // SAFETY: by contract.
            unsafe { take(process, context, address, block) }
        });
        match one {
            Ok(Taken::Inline) => has_inline = true,
            Ok(Taken::Engine) => has_engine = true,
            Ok(Taken::Direct) => {
                // SAFETY: by contract.
                let run = unsafe { direct_run(list, taken, count) };
                // SAFETY: by contract.
                match unsafe { submit_direct(context, run, list.add(taken)) } {
                    Ok(submitted) if submitted == run => taken += run,
                    // What is wrong with the next one is told when it comes first.
                    Ok(submitted) => {
                        taken += submitted;
                        break;
                    }
                    Err(errno) => result = Err(errno),
                }
                continue;
            }
            Err(errno) => result = Err(errno),
        }
        taken += usize::from(result.is_ok());
    }
    if has_inline {
        context.announce();
    }
    if has_engine {
        process.engine.flush();
    }
    if taken > 0 { Ok(taken) } else { result.map(|()| 0) }
}

/// # Safety
/// There is a list with so many places, if it is not null.
#[inline]
unsafe fn block_at<'a>(list: *const *mut Iocb, index: usize) -> Result<(*mut Iocb, &'a Iocb), Errno> {
    const FAULT: Errno = Errno(libc::EFAULT);
    if list.is_null() {
        return Err(FAULT);
    }
    // SAFETY: by contract. What is no null is a block.
    unsafe {
        let address = list.add(index).read_unaligned();
        address.as_ref().map(|block| (address, block)).ok_or(FAULT)
    }
}

/// Whether O_DIRECT requests go to the kernel's context: not while a lone thread, which cannot wait for two things at once,
/// has others on a ring of its own; and not where the system gives us no context.
#[inline]
fn goes_direct(process: &Process, context: &Held) -> bool {
    let is_waiting_elsewhere = process.engine.is_on_own_ring() && context.is_in_engine();
    !is_waiting_elsewhere && context.direct.context(context.asked, context.registry).is_some()
}

/// How many blocks in a row, from `first` on, are for the kernel's context.
///
/// # Safety
/// There are so many, of which the first is for it.
unsafe fn direct_run(list: *const *mut Iocb, first: usize, count: usize) -> usize {
    let is_direct = |index: &usize| {
        // SAFETY: by contract.
        unsafe { block_at(list, *index) }
            .is_ok_and(|(_, block)| check::is_transfer(block) && inline::is_known_direct(block.fd))
    };
    1 + (first + 1..count).take_while(is_direct).count()
}

/// # Safety
/// As [`submit`].
unsafe fn submit_direct(context: &Held, count: usize, list: *const *mut Iocb) -> Result<usize, Errno> {
    let Some(kernel) = context.direct.context(context.asked, context.registry) else { return Err(Errno::AGAIN) };
    // SAFETY: passed on to the caller.
    let submitted = unsafe { context.direct.submit(kernel, count, list) }?;
    // Who sleeps elsewhere has to sleep in the kernel now.
    context.rouse();
    Ok(submitted)
}

/// Does a block's work here and now, or gives it to the engine.
///
/// # Safety
/// The block's buffers are valid until it ends.
unsafe fn take(process: &'static Process, context: &Held, address: *mut Iocb, block: &Iocb) -> Result<Taken, Errno> {
    check::shape(block)?;
    if !context.admit() {
        return Err(Errno::AGAIN);
    }
    // SAFETY: passed on to the caller.
    let taken = unsafe { take_admitted(process, context, address, block) };
    if !matches!(taken, Ok(Taken::Inline | Taken::Engine)) {
        context.dismiss();
    }
    taken
}

/// # Safety
/// As [`take`].
#[inline]
unsafe fn take_admitted(
    process: &'static Process,
    context: &Held,
    address: *mut Iocb,
    block: &Iocb,
) -> Result<Taken, Errno> {
    let mut belongings = Belongings::default();
    if !check::is_plain(block) {
        onewait::sys::status_flags(block.fd)?;
        if block.flags & FLAG_EVENTFD != 0 {
            match process.bells.find(block.event_fd) {
                Ok(bell) => belongings.bell = Some(bell),
                Err(Errno::AGAIN) => return leave_to_kernel(context),
                Err(errno) => return Err(errno),
            }
        }
    }
    // SAFETY: the program's block; the kernel writes this, too.
    unsafe { (*address).key = 0 };
    let mut bytes = block.length;
    let operation = match block.opcode {
        command::READ | command::WRITE => check::transfer(block, Memory::Buffer(block.buffer, block.length))?,
        command::READ_VECTORED | command::WRITE_VECTORED => {
            // SAFETY: the program says that so many vectors are there.
            let vectors = unsafe { context.used_vectors.copy(block.buffer, block.length) }?;
            let memory = match vectors.alone() {
                Some(vector) => Memory::Buffer(vector.iov_base as u64, vector.iov_len as u64),
                None => Memory::Vectors(vectors.address(), vectors.count(), vectors.bytes()),
            };
            bytes = vectors.bytes();
            belongings.vectors = Some(vectors);
            check::transfer(block, memory)?
        }
        command::FSYNC | command::FDATASYNC => check::sync(block)?,
        command::POLL => check::poll(block)?,
        _ => return Err(Errno::INVAL),
    };
    let is_transfer = operation.is_read() || operation.is_write();
    if is_transfer {
        check::options(block)?;
    }
    let started = Counters::current().is_timed().then(Instant::now);
    if is_transfer && operation.rw_flags & libc::RWF_NOWAIT != 0 {
        // SAFETY: passed on to the caller.
        let outcome = unsafe { nowait::transfer(&operation) };
        refused(outcome)?;
        finish(context, address, block, &operation, outcome, started, belongings);
        return Ok(Taken::Inline);
    }
    // SAFETY: passed on to the caller.
    match unsafe { inline::attempt(operation, process.engine.copy_split()) } {
        Attempt::Done(outcome) => {
            refused(outcome)?;
            finish(context, address, block, &operation, outcome, started, belongings);
            Ok(Taken::Inline)
        }
        Attempt::Queue(operation, before) => {
            if operation.direct && operation.kind_of_file == FileKind::Storage && goes_direct(process, context) {
                return Ok(Taken::Direct);
            }
            if operation.is_read() && operation.kind_of_file == FileKind::Other && check::is_directory(operation.fd) {
                return Err(Errno::INVAL);
            }
            // SAFETY: passed on to the caller.
            if operation.is_vectored() && unsafe { nowait::reads_all(&operation, bytes) } {
                finish(context, address, block, &operation, Ok(bytes as usize), started, belongings);
                return Ok(Taken::Inline);
            }
            let submission = Submission { operation, before, started, payload: () };
            match queue(process, context, address, block, submission, belongings) {
                Ok(()) => Ok(Taken::Engine),
                Err(Errno::AGAIN) => leave_to_kernel(context),
                Err(errno) => Err(errno),
            }
        }
    }
}

/// There is too little of something for the engine. The kernel's own AIO, which may block, is better than nothing.
#[cold]
fn leave_to_kernel(context: &Held) -> Result<Taken, Errno> {
    let kernel = context.direct.context(context.asked, context.registry);
    kernel.map(|_| Taken::Direct).ok_or(Errno::AGAIN)
}

/// What the kernel says when a request is submitted, and not in its event.
#[inline]
fn refused(outcome: Outcome) -> Result<(), Errno> {
    match outcome {
        Err(Errno::BADF) => Err(Errno::BADF),
        Err(Errno(libc::EISDIR)) => Err(Errno::INVAL),
        Err(Errno(libc::EOPNOTSUPP)) => Err(Errno(libc::EOPNOTSUPP)),
        _ => Ok(()),
    }
}

/// A request that was done in the call itself.
#[inline]
fn finish(
    context: &Held,
    address: *mut Iocb,
    block: &Iocb,
    operation: &Operation,
    outcome: Outcome,
    started: Option<Instant>,
    belongings: Belongings,
) {
    context.direct.mix();
    inline::count(operation.kind(), outcome, started);
    let result = outcome.map_or_else(|errno| -i64::from(errno.0), |value| value as i64);
    context.complete(block.data, address as u64, result);
    if let Some(bell) = belongings.bell {
        bell.ring();
    }
    if let Some(vectors) = belongings.vectors {
        context.used_vectors.put(vectors);
    }
}

fn queue(
    process: &'static Process,
    context: &Held,
    address: *mut Iocb,
    block: &Iocb,
    submission: Submission<()>,
    belongings: Belongings,
) -> Result<(), Errno> {
    context.direct.mix();
    if !context.enter_engine() {
        return Err(Errno::INVAL);
    }
    let key = process.engine.reserve().inspect_err(|_| context.leave_engine())?;
    let Submission { operation, before, started, .. } = submission;
    let polled = (operation.code == Code::Poll).then_some(operation.length);
    let is_cancellable = polled.is_some() || operation.is_stream();
    let object = address as u64;
    if is_cancellable {
        let _masked = MaskedSignals::new();
        context.cancellable.lock().unwrap_or_else(PoisonError::into_inner).insert(object, key);
    }
    // A lone thread that waits in the kernel's context does not reap a ring of its own.
    let is_private = belongings.bell.is_none() && !context.direct.is_busy();
    let payload = FaceRequest::Libaio(LibaioRequest {
        context: context.clone(),
        key,
        data: block.data,
        object,
        bell: belongings.bell,
        vectors: belongings.vectors,
        polled,
        is_cancellable,
    });
    let submission = Submission { operation, before, started, payload };
    let standing = if is_private { Standing::Private } else { Standing::Public };
    // SAFETY: the buffer is the program's, valid until the request ends; the key is fresh.
    let submitted = unsafe { process.engine.submit(key, submission, standing, false) };
    submitted.map_err(|_| {
        if is_cancellable {
            let _masked = MaskedSignals::new();
            context.cancellable.lock().unwrap_or_else(PoisonError::into_inner).remove(&object);
        }
        context.leave_engine();
        // Whatever there was too little of.
        Errno::AGAIN
    })
}
