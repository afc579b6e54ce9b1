//! Files that requests keep open.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

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
pub struct Descriptor(Arc<OwnedFd>);

impl Descriptor {
    /// The descriptor for its owner alone again, so that it can be closed or turned into what it was.
    ///
    /// # Errors
    /// The descriptor unchanged, if it has other clones, or requests that were not reaped.
    pub fn into_owned(self) -> Result<OwnedFd, Descriptor> {
        Arc::try_unwrap(self.0).map_err(Descriptor)
    }
}

impl<T: Into<OwnedFd>> From<T> for Descriptor {
    fn from(owner: T) -> Descriptor {
        Descriptor(Arc::new(owner.into()))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Compile-time proof of what the page above promises.
#[allow(dead_code, reason = "only its types are checked")]
fn comes_from(file: File, pipe: std::io::PipeReader, socket: std::net::TcpStream) -> [Descriptor; 3] {
    [file.into(), pipe.into(), socket.into()]
}
