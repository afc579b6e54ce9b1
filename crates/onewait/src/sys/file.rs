//! Descriptors: what they are, and reading and writing them without waiting.

use super::{Descriptor, Making, OwnDescriptor, check};
use crate::errno::Errno;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// The error of a positional call on a descriptor that has no position.
pub const ESPIPE: Errno = Errno(libc::ESPIPE);

/// What a descriptor stands for, as far as the engine treats it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file or a block device: has positions, and an operation ends in bounded time.
    Storage,
    /// Anything else.
    Other,
}

/// Which file a descriptor stands for: equal for all descriptors of one file. It stays another file's while anything
/// holds the file open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The device of files that have no inode of their own (eventfds and the like share one): they are known by number.
    const NO_DEVICE: u64 = u64::MAX;

    /// No file in particular.
    pub const UNKNOWN: FileId = FileId { device: 0, inode: 0 };

    /// Whether the file has no identity but a descriptor's number.
    pub(crate) fn is_number(self) -> bool {
        self.device == FileId::NO_DEVICE
    }

    /// What a descriptor's number alone says.
    pub fn of_number(fd: RawFd) -> FileId {
        FileId { device: FileId::NO_DEVICE, inode: fd as u64 }
    }
}

/// The descriptor's status flags (`O_DIRECT`, `O_NONBLOCK`, `O_APPEND`, …).
///
/// # Errors
/// EBADF.
#[inline]
pub fn status_flags(fd: RawFd) -> Result<i32, Errno> {
    // SAFETY: F_GETFL takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_GETFL) }).map(|flags| flags as i32)
}

/// Whether the descriptor has positions: not a pipe, socket or terminal.
#[inline]
pub(crate) fn seekable(fd: RawFd) -> bool {
    // Not by `lseek(2)`: that succeeds on terminals and eventfds, which have no `pread(2)`.
    // SAFETY: no vectors, so nothing is read.
    let result = unsafe { positional(libc::SYS_preadv2, fd, ptr::null(), 0, 0, 0) };
    result != Err(ESPIPE)
}

/// Whether the file can be read from, or written to, at all: an epoll instance, say, cannot, and says EINVAL. Asks for no
/// bytes, so the file is not touched, and nothing waits.
pub(crate) fn can_transfer(fd: RawFd, is_read: bool) -> bool {
    let call = if is_read { libc::SYS_readv } else { libc::SYS_writev };
    // SAFETY: no vectors.
    check(unsafe { libc::syscall(call, fd, ptr::null::<libc::iovec>(), 0) }) != Err(Errno::INVAL)
}

/// The inode and the type. Does not ask a network file system's server.
fn status(fd: RawFd) -> Option<libc::statx> {
    let mut buffer = std::mem::MaybeUninit::<libc::statx>::uninit();
    // SAFETY: the path is an empty C string, as AT_EMPTY_PATH wants it; the buffer is valid for writing.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_statx,
            fd,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            libc::STATX_TYPE | libc::STATX_INO,
            buffer.as_mut_ptr(),
        )
    });
    // SAFETY: if it succeeded, the call filled the buffer.
    result.ok().map(|_| unsafe { buffer.assume_init() })
}

fn id_of(status: &libc::statx) -> FileId {
    let device = u64::from(status.stx_dev_major) << 32 | u64::from(status.stx_dev_minor);
    FileId { device, inode: status.stx_ino }
}

/// Which file it is, for files that have an inode of their own.
pub(crate) fn file_id(fd: RawFd) -> FileId {
    status(fd).map_or(FileId::of_number(fd), |status| id_of(&status))
}

/// What the descriptor stands for. Does not ask a network file system's server.
pub(crate) fn identify(fd: RawFd) -> (FileKind, FileId) {
    let Some(status) = status(fd) else { return (FileKind::Other, FileId::of_number(fd)) };
    let file = id_of(&status);
    match u32::from(status.stx_mode) & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFBLK => (FileKind::Storage, file),
        libc::S_IFIFO | libc::S_IFSOCK => (FileKind::Other, file),
        _ => (FileKind::Other, FileId::of_number(fd)),
    }
}

/// Reads at `offset` (-1: at the descriptor's own position) without waiting: `preadv2(2)` with RWF_NOWAIT.
///
/// # Errors
/// EAGAIN if it would have to wait, EOPNOTSUPP if the file cannot say, and those of `preadv2(2)`.
///
/// # Safety
/// The vectors and what they point to must be valid for the kernel to write, or the kernel must be allowed to answer
/// EFAULT.
#[inline]
pub(crate) unsafe fn nonblocking_read(
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { positional(libc::SYS_preadv2, fd, vectors, count, offset, libc::RWF_NOWAIT) }
}

/// Writes at `offset` (-1: at the descriptor's own position) without waiting: `pwritev2(2)` with RWF_NOWAIT. Can raise
/// SIGPIPE and SIGXFSZ in the calling thread.
///
/// # Errors
/// As [`nonblocking_read`].
///
/// # Safety
/// As [`nonblocking_read`], for reading.
#[inline]
pub(crate) unsafe fn nonblocking_write(
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { positional(libc::SYS_pwritev2, fd, vectors, count, offset, libc::RWF_NOWAIT) }
}

/// Reads at `offset` (-1: at the descriptor's own position), waiting if need be: `preadv2(2)`, with its flags.
///
/// # Errors
/// Those of `preadv2(2)`.
///
/// # Safety
/// As [`nonblocking_read`].
pub(crate) unsafe fn read(
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
    flags: i32,
) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { positional(libc::SYS_preadv2, fd, vectors, count, offset, flags) }
}

/// Writes at `offset` (-1: at the descriptor's own position), waiting if need be: `pwritev2(2)`, with its flags.
///
/// # Errors
/// Those of `pwritev2(2)`.
///
/// # Safety
/// As [`nonblocking_write`].
pub(crate) unsafe fn write(
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
    flags: i32,
) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    unsafe { positional(libc::SYS_pwritev2, fd, vectors, count, offset, flags) }
}

/// Writes `length` bytes at `offset`, which is not negative: `pwrite(2)`. Cheaper than [`write`], whose vectors the kernel
/// has to copy.
///
/// # Errors
/// Those of `pwrite(2)`.
///
/// # Safety
/// As [`nonblocking_write`].
#[inline]
pub(crate) unsafe fn write_at(fd: RawFd, address: usize, length: u32, offset: i64) -> Result<usize, Errno> {
    // SAFETY: by the contract of this function.
    check(unsafe { libc::syscall(libc::SYS_pwrite64, fd, address, length as usize, offset) })
}

/// Reads or writes by a call without vectors: `pread(2)` or `pwrite(2)`, and on a descriptor without positions, if
/// `or_without_position`, by `read(2)` or `write(2)`.
///
/// For the lengths that vectors do not do justice: more than `ssize_t` holds, or beyond the last offset, which the kernel
/// refuses; and none, which ends before the file is asked, although it means something to some (an empty datagram, a
/// directory).
///
/// # Errors
/// EINVAL, EFAULT, EBADF and those of the file; ESPIPE on a descriptor without positions, if that is not to be tried.
///
/// # Safety
/// The kernel may be asked to transfer that many bytes; where it does not refuse, the buffer is valid for them.
pub unsafe fn plain_transfer(
    fd: RawFd,
    is_read: bool,
    buffer: *mut libc::c_void,
    length: usize,
    offset: i64,
    or_without_position: bool,
) -> Result<usize, Errno> {
    let (positional, plain) =
        if is_read { (libc::SYS_pread64, libc::SYS_read) } else { (libc::SYS_pwrite64, libc::SYS_write) };
    // SAFETY: by the contract of this function.
    match check(unsafe { libc::syscall(positional, fd, buffer, length, offset) }) {
        // SAFETY: as above.
        Err(ESPIPE) if or_without_position => check(unsafe { libc::syscall(plain, fd, buffer, length) }),
        answer => answer,
    }
}

/// `fsync(2)`.
///
/// # Errors
/// Those of `fsync(2)`.
pub(crate) fn fsync(fd: RawFd) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_fsync, fd) })
}

/// `fdatasync(2)`.
///
/// # Errors
/// Those of `fdatasync(2)`.
pub(crate) fn fdatasync(fd: RawFd) -> Result<usize, Errno> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_fdatasync, fd) })
}

#[inline]
unsafe fn positional(
    call: libc::c_long,
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
    flags: i32,
) -> Result<usize, Errno> {
    // The kernel takes the offset as two halves and joins them by shifts as wide as a long: on 64 bits the low half is
    // all of it.
    let (low, high) = (offset as libc::c_long, (offset >> 32) as libc::c_long);
    // SAFETY: by the contracts of the callers.
    match check(unsafe { libc::syscall(call, fd, vectors, libc::c_ulong::from(count), low, high, flags) }) {
        // SAFETY: as above.
        Err(Errno(libc::ENOSYS)) => unsafe { without_flags(call, fd, vectors, count, offset, flags) },
        answer => answer,
    }
}

/// Does by an older call what `preadv2(2)` or `pwritev2(2)` should, where these are unknown: to qemu 7.2, for one, in programs
/// that it runs for another processor.
///
/// # Errors
/// EOPNOTSUPP if there are flags, as for a file that does not know them; those of the older call.
///
/// # Safety
/// As [`nonblocking_read`] and [`nonblocking_write`].
#[cold]
unsafe fn without_flags(
    call: libc::c_long,
    fd: RawFd,
    vectors: *const libc::iovec,
    count: u32,
    offset: i64,
    flags: i32,
) -> Result<usize, Errno> {
    let [plain, bare, positional] = match call {
        libc::SYS_preadv2 => [libc::SYS_readv, libc::SYS_pread64, libc::SYS_preadv],
        _ => [libc::SYS_writev, libc::SYS_pwrite64, libc::SYS_pwritev],
    };
    let not_supported = Err(Errno(libc::EOPNOTSUPP));
    if offset == -1 {
        // SAFETY: by the contract of this function.
        let transfer = || check(unsafe { libc::syscall(plain, fd, vectors, libc::c_ulong::from(count)) });
        return if flags == 0 { transfer() } else { not_supported };
    }
    if flags != 0 || count == 0 {
        // What is wrong with the descriptor comes before what is wrong with the flags. Not asked for without vectors by
        // `preadv(2)`: qemu answers that itself.
        // SAFETY: no bytes are transferred.
        let answer = check(unsafe { libc::syscall(bare, fd, ptr::null::<u8>(), 0_usize, offset) });
        return if flags == 0 { answer } else { answer.and(not_supported) };
    }
    let (low, high) = (offset as libc::c_long, (offset >> 32) as libc::c_long);
    // SAFETY: by the contract of this function.
    check(unsafe { libc::syscall(positional, fd, vectors, libc::c_ulong::from(count), low, high) })
}

/// Whether the descriptor was told how long to wait: a socket by SO_RCVTIMEO or SO_SNDTIMEO, a terminal by its VMIN and
/// VTIME.
pub(crate) fn has_own_timeout(fd: RawFd, is_read: bool) -> bool {
    let option = if is_read { libc::SO_RCVTIMEO } else { libc::SO_SNDTIMEO };
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut size = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the time and its size are valid for writing.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut time).cast(), &raw mut size) };
    if result == 0 {
        return time.tv_sec != 0 || time.tv_usec != 0;
    }
    if Errno::last().0 != libc::ENOTSOCK || !is_read {
        return false;
    }
    let mut terminal = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the attributes are valid for writing, and read only if the call succeeded.
    unsafe {
        if libc::tcgetattr(fd, terminal.as_mut_ptr()) != 0 {
            return false;
        }
        let terminal = terminal.assume_init();
        let is_raw = terminal.c_lflag & libc::ICANON == 0;
        is_raw && (terminal.c_cc[libc::VMIN] == 0 || terminal.c_cc[libc::VTIME] != 0)
    }
}

/// A descriptor of our own for the file behind `fd`.
///
/// # Errors
/// EBADF, EMFILE.
pub fn duplicate(fd: RawFd) -> Result<Descriptor, Errno> {
    // SAFETY: no pointers; F_DUPFD_CLOEXEC makes a new descriptor.
    let high = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, super::own::HIGH) };
    // SAFETY: as above; the limit on descriptors may be too low for a high one.
    let copy = if high >= 0 { high } else { unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) } };
    if copy < 0 {
        return Err(Errno::last());
    }
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { Descriptor::from_raw(copy) })
}

/// An `eventfd(2)` of our own.
#[derive(Debug)]
pub struct EventFd(Number);

#[derive(Debug)]
enum Number {
    /// High, known as the engine's, and may change.
    Engine(OwnDescriptor),
    /// As it came.
    Fixed(OwnedFd),
}

impl EventFd {
    /// A counter at 0, non-blocking, with a high descriptor number.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> Result<EventFd, Errno> {
        let _making = Making::new();
        // SAFETY: just made, owned by nobody else.
        let own = OwnDescriptor::new(unsafe { Descriptor::from_raw(eventfd()?) })?;
        Ok(EventFd(Number::Engine(own)))
    }

    /// One whose number does not change.
    ///
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub(crate) fn fixed() -> Result<EventFd, Errno> {
        // SAFETY: just made, owned by nobody else.
        eventfd().map(|fd| EventFd(Number::Fixed(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Adds one: whoever polls the descriptor wakes. Async-signal-safe.
    pub fn signal(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes at a valid address. It cannot fail but by the counter's overflow, after 2^64 signals.
        unsafe {
            libc::syscall(libc::SYS_write, self.as_raw_fd(), ptr::from_ref(&one), size_of::<u64>());
        }
    }

    /// Takes the counter back to 0.
    pub(crate) fn drain(&self) {
        let mut count: u64 = 0;
        // SAFETY: eight bytes at a valid address; EAGAIN when it is 0 already.
        unsafe {
            libc::syscall(libc::SYS_read, self.as_raw_fd(), ptr::from_mut(&mut count), size_of::<u64>());
        }
    }
}

fn eventfd() -> Result<RawFd, Errno> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 { Err(Errno::last()) } else { Ok(fd) }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        match &self.0 {
            Number::Engine(own) => own.as_raw_fd(),
            Number::Fixed(fd) => fd.as_raw_fd(),
        }
    }
}
