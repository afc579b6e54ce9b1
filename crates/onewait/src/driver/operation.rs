//! What can be asked of a driver.

use crate::counters::Kind;
use crate::sys::{FileId, FileKind};
use std::os::fd::RawFd;

/// The most bytes that one system call transfers on Linux (`read(2)`, “Notes”).
pub const MAX_LENGTH: usize = 0x7fff_f000;

/// The offset of an operation on something that has no positions: a pipe, a socket, a terminal.
pub const STREAM: i64 = -1;

/// The kinds of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// `pread(2)` into `length` bytes at `address`.
    Read,
    /// `pwrite(2)` of `length` bytes at `address`.
    Write,
    /// `preadv(2)` into the `length` vectors at `address`.
    ReadVectored,
    /// `pwritev(2)` of the `length` vectors at `address`.
    WriteVectored,
    /// `fsync(2)`.
    Fsync,
    /// `fdatasync(2)`.
    Fdatasync,
    /// One `poll(2)` for the events in `length`; the result is the mask that became ready.
    Poll,
    /// Nothing; the result is 0.
    Nop,
}

/// One operation, as plain numbers: whoever makes one answers for what `address` points to until it has completed.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What is to be done.
    pub code: Code,
    /// On which descriptor; it has to stay open until the operation was handed to the kernel.
    pub fd: RawFd,
    /// The buffer or the vectors.
    pub address: usize,
    /// Bytes, number of vectors, or poll events.
    pub length: u32,
    /// Position in the file in bytes, or [`STREAM`].
    pub offset: i64,
    /// The flags of `preadv2(2)` and `pwritev2(2)` with which it is to be done (RWF_DSYNC, …).
    pub rw_flags: i32,
    /// Never wait: an operation that would have to ends with EAGAIN.
    pub nowait: bool,
    /// The descriptor has its own idea of how long to wait (SO_RCVTIMEO, SO_SNDTIMEO, a terminal's VTIME), which only a
    /// plain system call obeys. So it is with a transfer of 0 bytes, too.
    pub own_timeout: bool,
    /// The descriptor is open with O_DIRECT.
    pub direct: bool,
    /// A write that goes to the end of the file, whatever `offset` says (O_APPEND).
    pub append: bool,
    /// A transfer to or from the page cache that the engine's copier is to do.
    pub for_copier: bool,
    /// Which file the descriptor stands for, where that matters: for what is ordered.
    pub file: FileId,
    /// What kind of file that is, where [`Operation::file`] is known.
    pub kind_of_file: FileKind,
}

impl Operation {
    /// An operation of `code` on `fd`, with everything else 0.
    pub const fn new(code: Code, fd: RawFd) -> Operation {
        Operation {
            code,
            fd,
            address: 0,
            length: 0,
            offset: 0,
            rw_flags: 0,
            nowait: false,
            own_timeout: false,
            direct: false,
            append: false,
            for_copier: false,
            file: FileId::UNKNOWN,
            kind_of_file: FileKind::Other,
        }
    }

    /// How statistics call it.
    pub const fn kind(&self) -> Kind {
        match self.code {
            Code::Read | Code::ReadVectored => Kind::Read,
            Code::Write | Code::WriteVectored => Kind::Write,
            Code::Fsync | Code::Fdatasync => Kind::Fsync,
            Code::Poll => Kind::Poll,
            Code::Nop => Kind::Nop,
        }
    }

    /// Whether it reads.
    pub const fn is_read(&self) -> bool {
        matches!(self.code, Code::Read | Code::ReadVectored)
    }

    /// Whether it writes.
    pub const fn is_write(&self) -> bool {
        matches!(self.code, Code::Write | Code::WriteVectored)
    }

    /// Whether it makes earlier writes durable.
    pub const fn is_sync(&self) -> bool {
        matches!(self.code, Code::Fsync | Code::Fdatasync)
    }

    /// Whether a ring would have a kernel thread do it: a write into the page cache, an `fsync`. Such a thread holds on to
    /// the file for a moment after the completion: a program that closes its descriptor then finds the file still locked,
    /// or busy (ETXTBSY). Threads of our own do not.
    ///
    /// And a transfer of 0 bytes, which a ring does not hand to every file: a plain call does.
    pub const fn needs_thread(&self) -> bool {
        let is_write = self.is_write() && !self.direct && !self.is_stream();
        !self.own_timeout && (self.is_sync() || self.is_empty() || is_write)
    }

    /// Whether it transfers 0 bytes. Most files do nothing then; to some it means something (an empty datagram), and some
    /// refuse it.
    pub const fn is_empty(&self) -> bool {
        matches!(self.code, Code::Read | Code::Write) && self.length == 0
    }

    /// Whether it goes to something without positions.
    pub const fn is_stream(&self) -> bool {
        self.offset == STREAM && (self.is_read() || self.is_write())
    }

    /// Whether it uses a list of vectors.
    pub const fn is_vectored(&self) -> bool {
        matches!(self.code, Code::ReadVectored | Code::WriteVectored)
    }
}
