//! Sockets by completion: what they are asked for.

use super::handle::{behind, count, place, status};
use super::waiting::{ReactorHandle, Waiting};
use onewait::Errno;
use onewait::sockets::{Address, Received, SocketId, Sockets};
use onewait::sys::Uncancellable;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::NonNull;
use std::slice;

/// `ow_socket_attach`.
///
/// # Safety
/// The pointers are null or valid; the descriptor is the caller's to give away.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_attach(reactor: *mut ReactorHandle, fd: c_int, socket: *mut u64) -> c_int {
    let _uncancellable = Uncancellable::new();
    status(|| {
        // SAFETY: passed on to the caller.
        let (mut waiting, socket) = unsafe { (behind(reactor)?.waiting()?, place(socket)?) };
        if fd < 0 {
            return Err(Errno::BADF);
        }
        if !waiting.has_sockets {
            // Whoever makes them is their thread: not for the sake of something that is none.
            check_is_socket(fd)?;
        }
        let sockets = waiting.reactor.sockets()?;
        // SAFETY: the caller gives it away; if that fails, it is not closed here.
        let attached = sockets.take_over(unsafe { OwnedFd::from_raw_fd(fd) }).map_err(|(errno, fd)| {
            let _ = fd.into_raw_fd();
            errno
        })?;
        waiting.has_sockets = true;
        *socket = attached.to_bits();
        Ok(())
    })
}

/// `ow_socket_accept`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_accept(reactor: *mut ReactorHandle, socket: u64, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, |sockets, socket| sockets.accept(socket, token)) }
}

/// `ow_socket_accept_once`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_accept_once(reactor: *mut ReactorHandle, socket: u64, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, |sockets, socket| sockets.accept_once(socket, token)) }
}

/// `ow_socket_connect`.
///
/// # Safety
/// The handle is null or valid; the address is null, or so long.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_connect(
    reactor: *mut ReactorHandle,
    socket: u64,
    address: *const libc::sockaddr,
    length: libc::socklen_t,
    token: u64,
) -> c_int {
    let connect = |sockets: &mut Sockets, socket| {
        if address.is_null() {
            return Err(Errno::INVAL);
        }
        // SAFETY: by contract.
        let address = unsafe { slice::from_raw_parts(address.cast(), length as usize) };
        sockets.connect(socket, Address::from_bytes(address)?, token)
    };
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, connect) }
}

/// `ow_socket_receive`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_receive(reactor: *mut ReactorHandle, socket: u64, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, |sockets, socket| sockets.receive(socket, token)) }
}

/// `ow_socket_receive_once`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_receive_once(reactor: *mut ReactorHandle, socket: u64, token: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, |sockets, socket| sockets.receive_once(socket, token)) }
}

/// `ow_socket_send`.
///
/// # Safety
/// The handle is null or valid; the bytes stay as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_send(
    reactor: *mut ReactorHandle,
    socket: u64,
    bytes: *const c_void,
    length: usize,
    token: u64,
) -> c_int {
    let send = |sockets: &mut Sockets, socket| {
        if isize::try_from(length).is_err() || bytes.is_null() && length > 0 {
            return Err(Errno::INVAL);
        }
        let bytes = NonNull::new(bytes.cast_mut().cast()).unwrap_or(NonNull::dangling());
        // SAFETY: the program keeps the bytes until the completion, or the end of the reactor.
        unsafe { sockets.send_borrowed(socket, bytes.as_ptr(), length, token) }
    };
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, send) }
}

/// `ow_socket_send_received`.
///
/// # Safety
/// The handles are null or valid; if this succeeds, what was received is not the caller's any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_send_received(
    reactor: *mut ReactorHandle,
    socket: u64,
    received: *mut c_void,
    token: u64,
) -> c_int {
    let send = |sockets: &mut Sockets, socket| {
        if received.is_null() {
            return Err(Errno::INVAL);
        }
        // SAFETY: by contract; if it is refused, it is given back as it was.
        sockets.send(socket, unsafe { Received::from_raw(received) }, token).map_err(|unsent| {
            if let onewait::sockets::Outgoing::Received(received) = unsent.bytes {
                let _ = received.into_raw();
            }
            unsent.errno
        })
    };
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, send) }
}

/// `ow_socket_stop`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_stop(reactor: *mut ReactorHandle, socket: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, Sockets::stop) }
}

/// `ow_socket_close`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_close(reactor: *mut ReactorHandle, socket: u64) -> c_int {
    // SAFETY: passed on to the caller.
    unsafe { ask(reactor, socket, Sockets::close) }
}

/// `ow_socket_descriptor`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_socket_descriptor(reactor: *mut ReactorHandle, socket: u64) -> c_int {
    let descriptor = count(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        let sockets = existing(&mut waiting)?.ok_or(Errno::BADF)?;
        let descriptor = SocketId::from_bits(socket).and_then(|socket| sockets.descriptor(socket));
        Ok(descriptor.ok_or(Errno::BADF)?.as_raw_fd() as usize)
    });
    descriptor as c_int
}

/// Looks whether a descriptor is a socket.
///
/// # Errors
/// EBADF, ENOTSOCK.
fn check_is_socket(fd: c_int) -> Result<(), Errno> {
    let mut kind: c_int = 0;
    let mut length = size_of_val(&kind) as libc::socklen_t;
    // SAFETY: the value is valid for writing so many bytes.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut length) };
    if result == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// Asks something of a socket.
///
/// # Safety
/// The handle is null or valid.
#[inline]
unsafe fn ask(
    reactor: *mut ReactorHandle,
    socket: u64,
    body: impl FnOnce(&mut Sockets, SocketId) -> Result<(), Errno>,
) -> c_int {
    // Closing a descriptor is a cancellation point of libc's.
    let _uncancellable = Uncancellable::new();
    status(|| {
        // SAFETY: passed on to the caller.
        let mut waiting = unsafe { behind(reactor) }?.waiting()?;
        let sockets = existing(&mut waiting)?.ok_or(Errno::BADF)?;
        body(sockets, SocketId::from_bits(socket).ok_or(Errno::BADF)?)
    })
}

/// The sockets of a reactor, which belong to the calling thread; `None` if none was ever attached: then none are made, since
/// whoever makes them is their thread.
///
/// # Errors
/// ECHILD, EEXIST.
#[inline]
pub(super) fn existing(waiting: &mut Waiting) -> Result<Option<&mut Sockets>, Errno> {
    if !waiting.has_sockets {
        return Ok(None);
    }
    let sockets = waiting.reactor.sockets()?;
    sockets.check_owner()?;
    Ok(Some(sockets))
}
