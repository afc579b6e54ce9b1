//! The reactor's handle: made, waited on, woken.

use super::handle::{behind, count, end, made, room, status, timeout};
use crate::errno::Kept;
use onewait::Errno;
use onewait::reactor::{Reactor, Ready, Registry, Waker};
use std::ffi::c_int;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

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

/// `struct ow_reactor_options`.
#[repr(C)]
pub struct OwReactorOptions {
    size: usize,
    flags: u32,
    timers: u32,
    spin_ns: u64,
}

const _: () = assert!(size_of::<OwReactorOptions>() == 24 && offset_of!(OwReactorOptions, timers) == 12);

/// `OW_EMBEDDABLE`.
const EMBEDDABLE: u32 = 1;
/// `OW_REFUSE_FILES`.
const REFUSE_FILES: u32 = 2;

/// Events of one wait, whatever room there is: they are copied.
const MOST: usize = 1024;

impl ReactorHandle {
    fn new(options: Option<&OwReactorOptions>) -> Result<ReactorHandle, Errno> {
        let mut builder = Reactor::builder();
        if let Some(options) = options {
            if options.size != size_of::<OwReactorOptions>() || options.flags & !(EMBEDDABLE | REFUSE_FILES) != 0 {
                return Err(Errno::INVAL);
            }
            builder = builder.spin(Duration::from_nanos(options.spin_ns));
            if options.timers > 0 {
                builder = builder.timers(options.timers as usize);
            }
            if options.flags & EMBEDDABLE != 0 {
                builder = builder.embeddable();
            }
            if options.flags & REFUSE_FILES != 0 {
                builder = builder.refuse_files();
            }
        }
        let reactor = builder.build()?;
        Ok(ReactorHandle {
            registry: reactor.registry().clone(),
            waker: reactor.registry().waker(),
            descriptor: reactor.descriptor().map(|fd| fd.as_raw_fd()),
            waiting: Mutex::new(Waiting { reactor, ready: Vec::new() }),
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
/// The options are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reactor_create(options: *const OwReactorOptions) -> *mut ReactorHandle {
    // SAFETY: passed on to the caller.
    made(|| ReactorHandle::new(unsafe { options.as_ref() }))
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
        let Waiting { reactor, ready } = &mut *waiting;
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
