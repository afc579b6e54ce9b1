//! What can go wrong, with the kernel's numbers.

use core::fmt;

/// Why a call failed. Nothing was changed by a call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// EINVAL: bits that do not go together (rules 16–18), an event poll in itself (rule 9), too many wake-up paths
    /// (rule 21), no room for events (rule 48), or a value that the source does not take.
    Invalid,
    /// EEXIST: the source is already in this event poll (rule 10).
    Exists,
    /// ENOENT: the source is not in this event poll (rule 10).
    NotFound,
    /// ELOOP: event polls would watch each other in a circle, or more than five in a chain (rules 19, 20).
    Loop,
    /// ENOSPC: the event poll has as many items as it may have (rule 14).
    NoSpace,
    /// EFAULT: the first event could not be stored (rule 50).
    Fault,
    /// EINTR: a [`Waker`](crate::Waker) or a signal ended the wait (rule 55).
    Interrupted,
    /// EBADF: the event poll was closed.
    Closed,
    /// EDEADLK: a call on an event poll from inside [`Source::level`](crate::Source::level).
    Deadlock,
    /// EAGAIN: a source has nothing to read, or no room to write.
    WouldBlock,
    /// EPIPE: nobody will read what is written.
    BrokenPipe,
}

/// The result of a call on an event poll or on one of the sources in the box.
pub type Result<T> = core::result::Result<T, Error>;

impl Error {
    /// The number that Linux has for it.
    #[must_use]
    pub const fn raw_os_error(self) -> i32 {
        match self {
            Self::NotFound => 2,
            Self::Interrupted => 4,
            Self::Closed => 9,
            Self::WouldBlock => 11,
            Self::Fault => 14,
            Self::Exists => 17,
            Self::Invalid => 22,
            Self::NoSpace => 28,
            Self::BrokenPipe => 32,
            Self::Deadlock => 35,
            Self::Loop => 40,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "the argument is not valid here",
            Self::Exists => "the source is already in this event poll",
            Self::NotFound => "the source is not in this event poll",
            Self::Loop => "the event polls would watch each other in a circle, or in a chain of more than five",
            Self::NoSpace => "the event poll has as many items as it may have",
            Self::Fault => "the event could not be stored",
            Self::Interrupted => "the wait was interrupted",
            Self::Closed => "the event poll is closed",
            Self::Deadlock => "a source's level may not call an event poll",
            Self::WouldBlock => "it would have to wait",
            Self::BrokenPipe => "the other side is gone",
        })
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        Self::from_raw_os_error(error.raw_os_error())
    }
}
