//! The kernel's native AIO (`io_submit(2)`), for O_DIRECT only: on anything else it blocks the submitter.

use crate::driver::operation::{Code, Operation};
use crate::driver::pool::Sink;
use crate::errno::Errno;
use crate::sys::{self, EventFd};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::Arc;

/// Requests that the context is made for. The system limits their sum over all processes (`fs.aio-max-nr`).
const REQUESTS: usize = 256;

const COMMAND_READ: u16 = 0;
const COMMAND_WRITE: u16 = 1;
const COMMAND_READ_VECTORED: u16 = 7;
const COMMAND_WRITE_VECTORED: u16 = 8;
/// The request reports to an eventfd.
const FLAG_EVENTFD: u32 = 1;

/// `struct iocb` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Default)]
struct Iocb {
    data: u64,
    #[cfg(target_endian = "little")]
    key: u32,
    rw_flags: i32,
    #[cfg(target_endian = "big")]
    key: u32,
    opcode: u16,
    priority: i16,
    fd: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event_fd: u32,
}

/// `struct io_event` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct IoEvent {
    data: u64,
    object: u64,
    result: i64,
    result2: i64,
}

/// A context of native AIO. Any thread may submit; the readiness thread reaps.
pub(super) struct NativeAio<S: Sink> {
    context: usize,
    bell: EventFd,
    sink: Arc<S>,
}

impl<S: Sink> NativeAio<S> {
    /// Makes a context.
    ///
    /// # Errors
    /// EAGAIN when the system's limit is reached, ENOSYS, EMFILE.
    pub(super) fn new(sink: Arc<S>) -> Result<NativeAio<S>, Errno> {
        let bell = EventFd::new()?;
        let mut context: usize = 0;
        let arguments = [REQUESTS, &raw mut context as usize, 0, 0, 0, 0];
        // SAFETY: the context is valid for writing.
        unsafe { sys::raw_syscall(libc::SYS_io_setup, arguments) }?;
        Ok(NativeAio { context, bell, sink })
    }

    /// Becomes readable when something has completed.
    pub(super) fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Begins an operation. False if native AIO does not take it: nothing was begun, and a thread has to do it.
    pub(super) fn submit(&self, operation: &Operation, user_data: u64) -> bool {
        let opcode = match operation.code {
            Code::Read => COMMAND_READ,
            Code::Write => COMMAND_WRITE,
            Code::ReadVectored => COMMAND_READ_VECTORED,
            Code::WriteVectored => COMMAND_WRITE_VECTORED,
            _ => return false,
        };
        // The kernel would raise SIGXFSZ in the thread that submits.
        if operation.is_write() && sys::has_size_limit() {
            return false;
        }
        let mut request = Iocb {
            data: user_data,
            rw_flags: operation.rw_flags,
            opcode,
            fd: operation.fd as u32,
            buffer: operation.address as u64,
            bytes: u64::from(operation.length),
            offset: operation.offset,
            flags: FLAG_EVENTFD,
            event_fd: self.bell.as_raw_fd() as u32,
            ..Iocb::default()
        };
        let mut list = [&raw mut request];
        let arguments = [self.context, 1, list.as_mut_ptr() as usize, 0, 0, 0];
        // SAFETY: one valid entry; the kernel copies it. Its buffer is valid by the contract of `Epoll::submit`.
        unsafe { sys::raw_syscall(libc::SYS_io_submit, arguments) == Ok(1) }
    }

    /// Tells the sink what has completed.
    pub(super) fn reap(&self) {
        self.bell.drain();
        let mut events = [IoEvent::default(); 64];
        loop {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            let (list, now) = (events.as_mut_ptr() as usize, ptr::from_ref(&now) as usize);
            // SAFETY: the events are valid for writing that many; no time is waited.
            let count =
                unsafe { sys::raw_syscall(libc::SYS_io_getevents, [self.context, 0, events.len(), list, now, 0]) };
            let Some(reaped) = count.ok().and_then(|count| events.get(..count)) else { return };
            for event in reaped {
                self.sink.done(event.data, event.result as i32);
            }
            if reaped.len() < events.len() {
                return;
            }
        }
    }
}

impl<S: Sink> Drop for NativeAio<S> {
    fn drop(&mut self) {
        // SAFETY: the context is ours. The kernel waits for what is in flight.
        unsafe {
            let _ = sys::raw_syscall(libc::SYS_io_destroy, [self.context, 0, 0, 0, 0, 0]);
        }
    }
}
