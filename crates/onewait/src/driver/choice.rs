//! Which driver is used, and why.

use crate::errno::Errno;
use std::env;
use std::fmt;

/// The environment variable that asks for a driver: `uring` or `epoll`.
pub const DRIVER_VARIABLE: &str = "ONEWAIT_DRIVER";

/// The drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring.
    Uring,
    /// epoll, a thread pool, and native AIO for O_DIRECT.
    Epoll,
}

impl DriverKind {
    /// The name used by [`DRIVER_VARIABLE`] and in reports.
    pub fn name(self) -> &'static str {
        match self {
            DriverKind::Uring => "uring",
            DriverKind::Epoll => "epoll",
        }
    }
}

/// Which driver is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// `uring`; where the system refuses it, `epoll`.
    #[default]
    Probe,
    /// This one, or none: what the system refuses is an error.
    Strict(DriverKind),
}

/// A driver's name that there is none of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDriver(String);

impl fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DRIVER_VARIABLE}: there is no driver “{}”; say uring or epoll", self.0)
    }
}

impl std::error::Error for UnknownDriver {}

impl Choice {
    /// What [`DRIVER_VARIABLE`] asks for; [`Choice::Probe`] if it is unset or empty.
    ///
    /// # Errors
    /// A name that there is no driver of.
    pub fn from_environment() -> Result<Choice, UnknownDriver> {
        match env::var_os(DRIVER_VARIABLE) {
            None => Ok(Choice::Probe),
            Some(name) if name.is_empty() => Ok(Choice::Probe),
            Some(name) if name == "uring" => Ok(Choice::Strict(DriverKind::Uring)),
            Some(name) if name == "epoll" => Ok(Choice::Strict(DriverKind::Epoll)),
            Some(name) => Err(UnknownDriver(name.to_string_lossy().into_owned())),
        }
    }

    pub(crate) fn allows(self, kind: DriverKind) -> bool {
        matches!(self, Choice::Probe) || self == Choice::Strict(kind)
    }

    /// Why `kind` is used, for reports. `refused` is what the system said to the driver before it.
    pub(crate) fn reason(self, kind: DriverKind, refused: Option<Errno>) -> String {
        match (self, refused) {
            (Choice::Strict(_), _) => format!("asked for ({DRIVER_VARIABLE} or --driver)"),
            (Choice::Probe, None) => format!("the first choice, and {} works here", kind.name()),
            (Choice::Probe, Some(errno)) => format!("io_uring is refused: {errno}"),
        }
    }
}

/// Whether the system's refusal of io_uring is one that the other driver is for.
pub(crate) fn is_refusal(errno: Errno) -> bool {
    matches!(
        errno.0,
        libc::ENOSYS | libc::EPERM | libc::EACCES | libc::EINVAL | libc::ENOMEM | libc::EMFILE | libc::ENFILE
    )
}
