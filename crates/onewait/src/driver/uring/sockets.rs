//! What a ring does with sockets.

use super::Ring;
use crate::errno::Errno;
use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd};
use std::os::fd::RawFd;

/// A staged operation on a socket, which can wait for room in the submission queue.
pub(crate) struct Staged(Entry);

impl Staged {
    /// Takes connections from a listener, one or all that come. They are not blocking, and closed by exec.
    pub(crate) fn accept(fd: RawFd, again: bool, user_data: u64) -> Staged {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let entry = if again {
            opcode::AcceptMulti::new(Fd(fd)).flags(flags).build()
        } else {
            opcode::Accept::new(Fd(fd), std::ptr::null_mut(), std::ptr::null_mut()).flags(flags).build()
        };
        Staged(entry.user_data(user_data))
    }

    /// Connects to the address at `address`, of `length` bytes.
    pub(crate) fn connect(fd: RawFd, address: *const libc::sockaddr, length: u32, user_data: u64) -> Staged {
        Staged(opcode::Connect::new(Fd(fd), address, length).build().user_data(user_data))
    }

    /// Receives into a buffer that the kernel takes from the group, once or whenever something comes.
    pub(crate) fn receive(fd: RawFd, again: bool, group: u16, user_data: u64) -> Staged {
        Staged::receive_with(fd, again, 0, group, user_data)
    }

    /// The same for messages: the result is how many bytes one has, which may be more than there is room for.
    pub(crate) fn receive_message(fd: RawFd, again: bool, group: u16, user_data: u64) -> Staged {
        Staged::receive_with(fd, again, libc::MSG_TRUNC, group, user_data)
    }

    fn receive_with(fd: RawFd, again: bool, flags: i32, group: u16, user_data: u64) -> Staged {
        let entry = if again {
            opcode::RecvMulti::new(Fd(fd), group).flags(flags).build()
        } else {
            let entry = opcode::Recv::new(Fd(fd), std::ptr::null_mut(), 0).flags(flags).buf_group(group).build();
            entry.flags(Flags::BUFFER_SELECT)
        };
        Staged(entry.user_data(user_data))
    }

    /// Sends all of the bytes, if the socket lives so long.
    pub(crate) fn send(fd: RawFd, bytes: *const u8, length: u32, user_data: u64) -> Staged {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        Staged(opcode::Send::new(Fd(fd), bytes, length).flags(flags).build().user_data(user_data))
    }

    /// Waits until the descriptor is readable, once.
    pub(crate) fn readable(fd: RawFd, user_data: u64) -> Staged {
        Staged(opcode::PollAdd::new(Fd(fd), libc::POLLIN as u32).build().user_data(user_data))
    }

    /// Cancels the operation with `target` as its `user_data`.
    pub(crate) fn cancel(target: u64, user_data: u64) -> Staged {
        Staged(opcode::AsyncCancel::new(target).build().user_data(user_data))
    }

    /// Cancels everything.
    pub(crate) fn cancel_all(user_data: u64) -> Staged {
        Staged(opcode::AsyncCancel2::new(CancelBuilder::any()).build().user_data(user_data))
    }
}

impl Ring {
    /// Signals the eventfd whenever there is something to be had by entering the ring.
    ///
    /// # Errors
    /// Those of `io_uring_register(2)`.
    pub(crate) fn register_eventfd(&self, eventfd: RawFd) -> Result<(), Errno> {
        self.ring.submitter().register_eventfd(eventfd).map_err(|error| Errno::of(&error))
    }

    /// Stages an operation on a socket. False if the submission queue is full.
    ///
    /// # Safety
    /// What it points to stays valid until the completion with its `user_data` was seen, or the ring is dropped; buffers of
    /// the group as well.
    pub(crate) unsafe fn stage_socket(&mut self, staged: &Staged) -> bool {
        self.push(staged.0.clone())
    }
}
