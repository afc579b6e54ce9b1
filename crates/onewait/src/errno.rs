//! Error numbers as values.

use std::fmt;
use std::io;

/// An error number of the system, as `errno(3)` lists them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Resources are exhausted for now, or an operation that must not wait would have to.
    pub const AGAIN: Errno = Errno(libc::EAGAIN);
    /// Cancelled.
    pub const CANCELED: Errno = Errno(libc::ECANCELED);
    /// Interrupted by a signal.
    pub const INTR: Errno = Errno(libc::EINTR);
    /// An argument is out of its range.
    pub const INVAL: Errno = Errno(libc::EINVAL);
    /// The descriptor is not open, or not open for this.
    pub const BADF: Errno = Errno(libc::EBADF);

    /// The calling thread's `errno`.
    pub fn last() -> Errno {
        Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// The number that an `io::Error` carries; EIO for one that carries none.
    pub fn of(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<eventpoll::Error> for Errno {
    fn from(error: eventpoll::Error) -> Errno {
        Errno(error.raw_os_error())
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {})", self.0, io::Error::from_raw_os_error(self.0))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl std::error::Error for Errno {}
