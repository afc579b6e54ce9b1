//! Files that requests keep open.

use crate::sys::{self, FileKind};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};

/// A file, pipe, socket, … that is shared with the requests on it: whatever the program does, it stays open until the last
/// of them has ended and was reaped.
///
/// Made from whatever owns a descriptor: [`std::fs::File`], [`std::net::TcpStream`], [`std::io::PipeReader`],
/// [`OwnedFd`], … A clone is the same descriptor. It is closed where the last clone is dropped, and a completion that was
/// not reaped holds one.
///
/// ```
/// use onewait::Descriptor;
///
/// let file = Descriptor::from(std::fs::File::open("/dev/zero")?);
/// let same = file.clone();
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor(Arc<Open>);

#[derive(Debug)]
struct Open {
    fd: OwnedFd,
    /// As long as it is open it stays what it is.
    is_storage: OnceLock<bool>,
}

impl Descriptor {
    /// The descriptor for its owner alone again, so that it can be closed or turned into what it was.
    ///
    /// # Errors
    /// The descriptor unchanged, if it has other clones, or requests that were not reaped.
    pub fn into_owned(self) -> Result<OwnedFd, Descriptor> {
        Arc::try_unwrap(self.0).map(|open| open.fd).map_err(Descriptor)
    }

    /// Whether it is a regular file or a block device. A system call for the first time only.
    pub(super) fn is_storage(&self) -> bool {
        *self.0.is_storage.get_or_init(|| sys::identify(self.as_raw_fd()).0 == FileKind::Storage)
    }
}

impl<T: Into<OwnedFd>> From<T> for Descriptor {
    fn from(owner: T) -> Descriptor {
        Descriptor(Arc::new(Open { fd: owner.into(), is_storage: OnceLock::new() }))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd.as_raw_fd()
    }
}

/// Compile-time proof of what the page above promises.
#[allow(dead_code, reason = "only its types are checked")]
fn comes_from(file: File, pipe: std::io::PipeReader, socket: std::net::TcpStream) -> [Descriptor; 3] {
    [file.into(), pipe.into(), socket.into()]
}
