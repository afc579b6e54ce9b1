//! Which levels sockets have.

use crate::bits::{ERR, ET, EXCLUSIVE, HUP, IN, ONESHOT, OUT, PRI, RDHUP};
use crate::fds::{connect, datagram, listener, poll_for, polled, read, stream, tcp, write};
use crate::world::{World, both, event};
use rustix::event::PollFlags;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

both!(
    rule_73_unix_the_peers_shutdown_and_close,
    rule_73_unix_ones_own_shutdown,
    rule_73_a_datagram_peers_close_is_nothing,
    rule_74_a_fresh_socket,
    rule_74_a_refused_connection,
    rule_74_a_reset_connection,
    rule_74_both_ends,
    rule_74_out_of_band_is_priority,
    rule_74_a_listener,
);

const ALL: u32 = IN | PRI | OUT | ERR | HUP | RDHUP;

/// The level, as a fresh side reports it.
pub(super) fn level<W: World>(fd: &impl AsFd) -> u32 {
    assert_eq!(ALL & (EXCLUSIVE | ET | ONESHOT), 0);
    let mut w = W::new();
    w.add(fd, ALL, 3).unwrap();
    w.now(8).first().map_or(0, |event| event.bits)
}

/// The level once it is this one, which it becomes when the network has done its part; what else the side reports then.
fn becomes<W: World>(fd: &impl AsFd, expected: u32) {
    let mut w = W::new();
    w.add(fd, ALL | ET, 3).unwrap();
    while polled(fd) & ALL != expected {
        std::thread::yield_now();
    }
    assert_eq!(w.now(8), [event(expected, 3)]);
    assert_eq!(level::<W>(fd), expected);
}

fn rule_73_unix_the_peers_shutdown_and_close<W: World>() {
    let (near, far) = stream();
    assert_eq!(level::<W>(&near), OUT);
    write(&far, 1).unwrap();
    assert_eq!(level::<W>(&near), IN | OUT);
    assert_eq!(read(&near, 8), Ok(1));
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(level::<W>(&near), IN | OUT | RDHUP);
    assert_eq!(read(&near, 8), Ok(0));
    drop(far);
    assert_eq!(level::<W>(&near), IN | OUT | RDHUP | HUP);
}

/// The kernel says RDHUP of it, too.
fn rule_73_unix_ones_own_shutdown<W: World>() {
    let (near, far) = stream();
    near.shutdown(Shutdown::Read).unwrap();
    assert_eq!(level::<W>(&near), IN | OUT | RDHUP);
    assert_eq!(level::<W>(&far), OUT);
}

fn rule_73_a_datagram_peers_close_is_nothing<W: World>() {
    let (mut w, (near, far)) = (W::new(), datagram());
    w.add(&near, ALL | ET, 1).unwrap();
    assert_eq!(w.now(8), [event(OUT, 1)]);
    drop(far);
    let after = w.now(8);
    assert!(after.iter().all(|after| *after == event(OUT, 1)), "{after:?}");
    assert_eq!(level::<W>(&near), OUT);
}

fn rule_74_a_fresh_socket<W: World>() {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0);
    // SAFETY: just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    assert_eq!(level::<W>(&socket), OUT | HUP);
}

/// A socket that is being connected, without waiting.
fn connecting(port: u16) -> OwnedFd {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    assert!(fd >= 0);
    // SAFETY: just made, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address has that size and outlives the call.
    let result = unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), size) };
    assert!(result == 0 || crate::world::last() == libc::EINPROGRESS);
    socket
}

const BROKEN: u32 = IN | OUT | ERR | HUP | RDHUP;

fn rule_74_a_refused_connection<W: World>() {
    // A port that is bound, so that nobody else gets it, but not listened at.
    // SAFETY: no pointers.
    let holder = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    assert!(holder >= 0);
    // SAFETY: just made, owned by nobody else.
    let holder = unsafe { OwnedFd::from_raw_fd(holder) };
    becomes::<W>(&connecting(bound_port(&holder)), BROKEN);
}

/// Binds a socket to loopback; the port.
fn bound_port(socket: &OwnedFd) -> u16 {
    let mut address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let mut size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address has that size and outlives both calls.
    unsafe {
        assert_eq!(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size), 0);
        assert_eq!(libc::getsockname(socket.as_raw_fd(), (&raw mut address).cast(), &raw mut size), 0);
    }
    u16::from_be(address.sin_port)
}

fn rule_74_a_reset_connection<W: World>() {
    let (near, far) = tcp();
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the structure has that size and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            far.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const at_once).cast(),
            size_of_val(&at_once) as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
    drop(far);
    becomes::<W>(&near, BROKEN);
}

fn rule_74_both_ends<W: World>() {
    let (near, far) = tcp();
    becomes::<W>(&near, OUT);
    write(&far, 1).unwrap();
    becomes::<W>(&near, IN | OUT);
    assert_eq!(read(&near, 8), Ok(1));
    becomes::<W>(&near, OUT);
    far.shutdown(Shutdown::Write).unwrap();
    becomes::<W>(&near, IN | OUT | RDHUP);
    near.shutdown(Shutdown::Write).unwrap();
    becomes::<W>(&near, IN | OUT | RDHUP | HUP);
}

fn rule_74_out_of_band_is_priority<W: World>() {
    let (mut w, (near, far)) = (W::new(), tcp());
    w.add(&near, PRI | ET, 1).unwrap();
    assert_eq!(w.now(8), []);
    // SAFETY: one byte at a valid address.
    assert_eq!(unsafe { libc::send(far.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) }, 1);
    assert_eq!(w.next(8), [event(PRI, 1)]);
    poll_for(&near, PollFlags::PRI);
    assert_eq!(level::<W>(&near) & (PRI | OUT), PRI | OUT);
}

fn rule_74_a_listener<W: World>() {
    let (mut w, listener): (W, TcpListener) = (W::new(), listener());
    w.add(&listener, ALL, 1).unwrap();
    assert_eq!(w.now(8), []);
    let _client = connect(&listener);
    assert_eq!(w.next(8), [event(IN, 1)]);
    assert_eq!(w.now(8), [event(IN, 1)], "by level");
    listener.accept().unwrap();
    assert_eq!(w.now(8), []);
}
