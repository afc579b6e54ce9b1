//! A request inside the engine, with the memory that the kernel may be working on.

use super::buffer::Buffer;
use super::completion::Completion;
use super::request::Request;
use crate::aio::Outcome;
use crate::driver::operation::{Code, MAX_LENGTH, Operation};
use crate::errno::Errno;
use std::os::fd::AsRawFd;

/// Owns all that a request points to, from submission until the kernel is done with it: it lies in the engine's slot, out
/// of reach of the program, so nothing that the program drops or forgets can free it earlier.
pub(crate) struct InFlight {
    pub(super) request: Request,
    vectors: Vectors,
    /// Of a poll: the events that it may tell of.
    polled: Option<u32>,
}

/// The list of a vectored request. The kernel copies it when the request begins, which may be later than the call.
#[derive(Default)]
struct Vectors(Vec<libc::iovec>);

// SAFETY: the pointers are to the buffers of the same request, which moves as a whole and owns them alone; or to memory that
// was promised to be left alone. They are for the kernel.
unsafe impl Send for Vectors {}

impl InFlight {
    pub(super) fn new(request: Request) -> InFlight {
        InFlight { request, vectors: Vectors::default(), polled: None }
    }

    /// The operation that carries the request out. What it points to lies on the heap and is owned by `self`, wherever
    /// that is moved.
    ///
    /// # Errors
    /// EINVAL if the request asks for what its buffers do not have.
    pub(super) fn operation(&mut self) -> Result<Operation, Errno> {
        let Request { code, descriptor, buffer, buffers, offset, skip, at_most, events, .. } = &self.request;
        let fd = descriptor.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        // Offsets beyond the kernel's are negative to it: EINVAL.
        let mut operation = Operation { offset: i64::try_from(*offset).unwrap_or(-1), ..Operation::new(*code, fd) };
        let end_of = |buffer: &Buffer| if operation.is_read() { buffer.capacity() } else { buffer.len() };
        match code {
            Code::Read | Code::Write => {
                if *skip > buffer.len() {
                    return Err(Errno::INVAL);
                }
                operation.length = (end_of(buffer) - skip).min(*at_most).min(MAX_LENGTH) as u32;
                operation.address = buffer.address() + skip;
            }
            Code::ReadVectored | Code::WriteVectored => {
                if *skip > 0 || *at_most < usize::MAX {
                    return Err(Errno::INVAL);
                }
                let vector = |buffer: &Buffer| libc::iovec {
                    iov_base: buffer.address() as *mut libc::c_void,
                    iov_len: end_of(buffer),
                };
                self.vectors = Vectors(buffers.iter().map(vector).collect());
                operation.length = u32::try_from(buffers.len()).map_err(|_| Errno::INVAL)?;
                operation.address = self.vectors.0.as_ptr() as usize;
            }
            Code::Poll => {
                operation.length = u32::from(events.bits());
                self.polled = Some(operation.length | UNASKED);
            }
            Code::Fsync | Code::Fdatasync | Code::Nop => {}
        }
        Ok(operation)
    }

    /// Takes over an operation on memory of somebody else's: with a copy of its list, if it is vectored.
    ///
    /// # Errors
    /// EINVAL for more vectors than the kernel takes.
    ///
    /// # Safety
    /// If the operation is vectored, its list is valid.
    pub(super) unsafe fn borrow(&mut self, operation: Operation) -> Result<Operation, Errno> {
        self.polled = (operation.code == Code::Poll).then_some(operation.length | UNASKED);
        if !operation.is_vectored() || operation.length == 0 {
            return Ok(operation);
        }
        if operation.length > MOST_VECTORS {
            return Err(Errno::INVAL);
        }
        let list = operation.address as *const libc::iovec;
        // SAFETY: there are so many, by the contract of this function.
        self.vectors = Vectors(unsafe { std::slice::from_raw_parts(list, operation.length as usize) }.to_vec());
        Ok(Operation { address: self.vectors.0.as_ptr() as usize, ..operation })
    }

    /// The end: everything is given back. Calls nothing of the program's.
    pub(super) fn completion(self, outcome: Outcome) -> Completion {
        let InFlight { mut request, polled, .. } = self;
        // io_uring tells of POLLRDHUP unasked.
        let outcome = outcome.map(|value| polled.map_or(value, |polled| value & polled as usize));
        if let Ok(count) = outcome {
            match request.code {
                // SAFETY: `skip` bytes were initialised before (`operation` saw to that), and the kernel has written
                // `count` after them, not more than it was asked for.
                Code::Read => unsafe { request.buffer.set_length(request.skip + count) },
                // SAFETY: the kernel has written `count` bytes into the capacities, in this order.
                Code::ReadVectored => unsafe { distribute(&mut request.buffers, count) },
                _ => {}
            }
        }
        Completion {
            token: request.token,
            result: outcome,
            buffer: request.buffer,
            buffers: request.buffers,
            _descriptor: request.descriptor,
        }
    }
}

/// What poll(2) tells of unasked.
const UNASKED: u32 = (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) as u32;

/// The most vectors that the kernel takes (UIO_MAXIOV).
const MOST_VECTORS: u32 = 1024;

/// Sets the lengths of buffers that were filled one after the other.
///
/// # Safety
/// `count` bytes were written into the buffers' capacities, in their order.
unsafe fn distribute(buffers: &mut [Buffer], mut count: usize) {
    for buffer in buffers {
        let part = count.min(buffer.capacity());
        // SAFETY: by the contract of this function.
        unsafe { buffer.set_length(part) };
        count -= part;
    }
}
