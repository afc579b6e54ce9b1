//! Sockets, typed. Nothing here waits.

use super::{check, raw_syscall};
use crate::errno::Errno;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::ptr;

/// An address as the kernel has it.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        ptr::from_ref(&self.storage).cast()
    }

    /// In bytes.
    pub(crate) fn len(&self) -> libc::socklen_t {
        self.length
    }

    /// `None` for more bytes than any address has.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<RawAddress> {
        // SAFETY: all zeros are a valid storage.
        let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        if bytes.len() > size_of_val(&storage) {
            return None;
        }
        // SAFETY: they fit, and bytes need no alignment.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::from_mut(&mut storage).cast(), bytes.len()) };
        Some(RawAddress { storage, length: bytes.len() as libc::socklen_t })
    }

    /// `T` is one of the kernel's addresses, which are all plain numbers.
    fn of<T: Copy>(address: T, length: usize) -> RawAddress {
        const { assert!(size_of::<T>() <= size_of::<libc::sockaddr_storage>()) };
        // SAFETY: all zeros are a valid storage.
        let mut storage: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
        // SAFETY: it fits, and is aligned to any of them.
        unsafe { ptr::from_mut(&mut storage).cast::<T>().write(address) };
        RawAddress { storage, length: length as libc::socklen_t }
    }
}

impl From<SocketAddr> for RawAddress {
    fn from(address: SocketAddr) -> RawAddress {
        match address {
            SocketAddr::V4(address) => {
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                };
                RawAddress::of(raw, size_of_val(&raw))
            }
            SocketAddr::V6(address) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo().to_be(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                };
                RawAddress::of(raw, size_of_val(&raw))
            }
        }
    }
}

impl From<&UnixAddr> for RawAddress {
    fn from(address: &UnixAddr) -> RawAddress {
        let mut raw = libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
        let family = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        // A name of the filesystem ends with a zero, one of the abstract space begins with one.
        let (first, name, more) = match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => (0, path.as_os_str().as_bytes(), 1),
            (None, Some(name)) => (1, name, 1),
            (None, None) => (0, &[][..], 0),
        };
        for (place, byte) in raw.sun_path[first..].iter_mut().zip(name) {
            *place = *byte as libc::c_char;
        }
        RawAddress::of(raw, family + name.len() + more)
    }
}

/// # Errors
/// Those of `accept(2)`.
pub(crate) fn accept(fd: RawFd) -> Result<OwnedFd, Errno> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let none = ptr::null_mut::<libc::c_void>();
    // SAFETY: no address is asked for.
    let accepted = check(unsafe { libc::syscall(libc::SYS_accept4, fd, none, none, flags) })?;
    // SAFETY: just made, owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted as RawFd) })
}

/// # Errors
/// Those of `connect(2)`: EINPROGRESS if it goes on.
pub(crate) fn connect(fd: RawFd, address: &RawAddress) -> Result<(), Errno> {
    // SAFETY: the address is valid for its length.
    check(unsafe { libc::syscall(libc::SYS_connect, fd, address.as_ptr(), address.len()) }).map(drop)
}

/// Receives up to `length` bytes.
///
/// # Errors
/// Those of `recv(2)`: EAGAIN if there is nothing.
///
/// # Safety
/// So many bytes at `address` are the caller's.
#[inline]
pub(crate) unsafe fn receive(fd: RawFd, address: usize, length: usize) -> Result<usize, Errno> {
    // SAFETY: by the contract of this function; no address is asked for.
    unsafe { raw_syscall(libc::SYS_recvfrom, [fd as usize, address, length, libc::MSG_DONTWAIT as usize, 0, 0]) }
}

/// Receives a message. How many bytes it has, which may be more than there is room for: the rest is lost then.
///
/// # Errors
/// As [`receive`].
///
/// # Safety
/// As [`receive`].
pub(crate) unsafe fn receive_message(fd: RawFd, address: usize, length: usize) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: by the contract of this function; no address is asked for.
    unsafe { raw_syscall(libc::SYS_recvfrom, [fd as usize, address, length, flags as usize, 0, 0]) }
}

/// # Errors
/// Those of `send(2)`: EAGAIN if there is no room. There is no SIGPIPE.
#[inline]
pub(crate) fn send(fd: RawFd, bytes: &[u8]) -> Result<usize, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (address, length) = (bytes.as_ptr() as usize, bytes.len());
    // SAFETY: the bytes are valid; there is no address.
    unsafe { raw_syscall(libc::SYS_sendto, [fd as usize, address, length, flags as usize, 0, 0]) }
}

/// How an attempt to connect ended.
///
/// # Errors
/// What `SO_ERROR` says (`socket(7)`), and those of `getsockopt(2)`.
pub(crate) fn pending_error(fd: RawFd) -> Result<(), Errno> {
    match option(fd, libc::SO_ERROR)? {
        0 => Ok(()),
        errno => Err(Errno(errno)),
    }
}

/// What a socket receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketKind {
    /// Bytes. A receive that is short, or finds none, says that there is no more, for now or at all.
    Stream,
    /// Messages of a connection. One without bytes cannot be told from its end.
    Sequence,
    /// Messages, some of them without bytes, and no end.
    Datagrams,
}

impl SocketKind {
    /// Whether there are connections: it may be a listener's, and a receive of no bytes is the end of one.
    pub(crate) fn has_connections(self) -> bool {
        self != SocketKind::Datagrams
    }
}

/// Messages of a connection, too. The libc crate has it for some C libraries only.
const SOCK_DCCP: libc::c_int = 6;

/// # Errors
/// ENOTSOCK, EBADF.
pub(crate) fn kind(fd: RawFd) -> Result<SocketKind, Errno> {
    Ok(match option(fd, libc::SO_TYPE)? {
        libc::SOCK_STREAM => SocketKind::Stream,
        libc::SOCK_SEQPACKET | SOCK_DCCP => SocketKind::Sequence,
        _ => SocketKind::Datagrams,
    })
}

fn option(fd: RawFd, name: libc::c_int) -> Result<libc::c_int, Errno> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the value is valid for writing so many bytes.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut length) };
    check(result.into()).map(|_| value)
}

/// # Errors
/// EBADF.
pub(crate) fn set_nonblocking(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) }.into())? as libc::c_int;
    if flags & libc::O_NONBLOCK != 0 {
        return Ok(());
    }
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }.into()).map(drop)
}
