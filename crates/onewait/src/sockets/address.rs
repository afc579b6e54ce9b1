//! Addresses of sockets.

use crate::errno::Errno;
use crate::sys::socket::RawAddress;
use std::fmt;
use std::net::SocketAddr;

/// Where a socket connects to: an address of the Internet; a name of a Unix socket, in the filesystem or abstract; or one of
/// any other family, as [bytes](Address::from_bytes).
pub struct Address(pub(super) RawAddress);

impl Address {
    /// An address of any family as `connect(2)` has it, which judges it.
    ///
    /// # Errors
    /// EINVAL for more bytes than a `struct sockaddr_storage` has.
    pub fn from_bytes(bytes: &[u8]) -> Result<Address, Errno> {
        RawAddress::from_bytes(bytes).map(Address).ok_or(Errno::INVAL)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(address.into())
    }
}

impl From<&std::os::unix::net::SocketAddr> for Address {
    fn from(address: &std::os::unix::net::SocketAddr) -> Address {
        Address(address.into())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").finish_non_exhaustive()
    }
}
