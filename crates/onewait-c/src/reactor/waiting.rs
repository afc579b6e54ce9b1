//! The reactor's handle: made, waited on, woken.

use super::handle::{behind, count, end, made, room, status, timeout};
use super::options::{self, OwReactorOptions};
use crate::errno::Kept;
use onewait::Errno;
use onewait::reactor::{Reactor, ReactorBuilder, Ready, Registry, Waker};
use onewait::sys::Uncancellable;
use std::ffi::c_int;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Behind an `ow_reactor *`.
pub struct ReactorHandle {
    pub(super) registry: Registry,
    waker: Waker,
    /// If other loops can poll it.
    descriptor: Option<c_int>,
    /// Held by the thread that waits. Nobody waits for it.
    waiting: Mutex<Waiting>,
}

/// What belongs to one thread at a time.
pub(super) struct Waiting {
    pub(super) reactor: Reactor,
    /// Sockets by completion were made.
    pub(super) has_sockets: bool,
    /// Where the reactor writes to.
    ready: Vec<Ready>,
}

const fn is_shared<T: Send + Sync>() {}
const _: () = is_shared::<ReactorHandle>();

/// `struct ow_ready`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OwReady {
    token: u64,
    events: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<OwReady>() == 16 && offset_of!(OwReady, events) == 8);

/// Events of one wait, whatever room there is: they are copied.
const MOST: usize = 1024;

impl ReactorHandle {
    fn new(builder: ReactorBuilder) -> Result<ReactorHandle, Errno> {
        let reactor = builder.build()?;
        Ok(ReactorHandle {
            registry: reactor.registry().clone(),
            waker: reactor.registry().waker(),
            descriptor: reactor.descriptor().map(|fd| fd.as_raw_fd()),
            waiting: Mutex::new(Waiting { reactor, has_sockets: false, ready: Vec::new() }),
        })
    }

    /// What belongs to one thread at a time, for the calling one.
    ///
    /// # Errors
    /// EBUSY: another thread has it, or the calling one, which a handler has interrupted.
    #[inline]
    pub(super) fn waiting(&self) -> Result<MutexGuard<'_, Waiting>, Errno> {
        match self.waiting.try_lock() {
            Ok(waiting) => Ok(waiting),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Errno(libc::EBUSY)),
        }
    }
}

/// `ow_reactor_create`.
///
/// # Safety
/// The options are null, or valid for the size that they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reactor_create(options: *const OwReactorOptions) -> *mut ReactorHandle {
    // SAFETY: passed on to the caller.
    made(|| ReactorHandle::new(unsafe { options::read(options) }?))
}

/// `ow_reactor_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reactor_destroy(reactor: *mut ReactorHandle) {
    // SAFETY: passed on to the caller.
    unsafe { end(reactor, drop) };
}

/// `ow_reactor_wait`.
///
/// # Safety
/// The handle is null or valid; so many events can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reactor_wait(
    reactor: *mut ReactorHandle,
    events: *mut OwReady,
    max: c_int,
    timeout_ns: i64,
) -> c_int {
    let waited = count(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        // With sockets, descriptors are closed and opened here.
        let _uncancellable = waiting.has_sockets.then(Uncancellable::new);
        let Waiting { reactor, ready, .. } = &mut *waiting;
        let room = room(max)?.min(MOST);
        if events.is_null() {
            return Err(Errno::INVAL);
        }
        if ready.len() < room {
            ready.resize(room, Ready::default());
        }
        let reported = reactor.wait(&mut ready[..room], timeout(timeout_ns))?;
        for (index, ready) in reported.iter().enumerate() {
            let event = OwReady { token: ready.token, events: ready.events.bits(), reserved: 0 };
            // SAFETY: by contract: there are not more than `max`.
            unsafe { events.add(index).write(event) };
        }
        Ok(reported.len())
    });
    waited as c_int
}

/// `ow_wake`. Async-signal-safe.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_wake(reactor: *mut ReactorHandle) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let reactor = unsafe { behind(reactor) }?;
        let _kept = Kept::new();
        reactor.waker.wake();
        Ok(())
    })
}

/// `ow_reactor_descriptor`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reactor_descriptor(reactor: *mut ReactorHandle) -> c_int {
    // SAFETY: passed on to the caller.
    count(|| Ok(unsafe { behind(reactor) }?.descriptor.ok_or(Errno::INVAL)? as usize)) as c_int
}
