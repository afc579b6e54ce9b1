//! Multiplexed by select: one call sleeps until any of many descriptors is ready. Sets of descriptors are bit maps. The kernel
//! looks at each of them in each call, and writes the answer over the question, so the question is copied each time.
//!
//! `cargo run --release -p onewait --example echo_select -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::event::{FdSetElement, FdSetIter, fd_set_bound, fd_set_insert, fd_set_num_elements, fd_set_remove, select};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Connections, Meter, Next, accept};
use std::io::{self, Error};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

/// Bits of C's `fd_set`, which is no larger whatever the kernel can do. Beyond it, FD_SET writes over other memory.
const FD_SETSIZE: RawFd = libc::FD_SETSIZE as RawFd;

fn main() -> ExitCode {
    shared::main("select", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut connections = Connections::default();
    let empty = vec![FdSetElement::default(); fd_set_num_elements(FD_SETSIZE as usize, FD_SETSIZE)];
    // The two questions, and the two answers.
    let (mut to_read, mut to_write) = (empty.clone(), empty.clone());
    let (mut readable, mut writable) = (empty.clone(), empty);
    fd_set_insert(&mut to_read, listener.as_raw_fd());

    while !meter.is_over() {
        readable.copy_from_slice(&to_read);
        writable.copy_from_slice(&to_write);
        // The kernel looks at all numbers below this, set or not.
        let bound = fd_set_bound(&to_read).max(fd_set_bound(&to_write));
        rustix::io::retry_on_intr(|| {
            // SAFETY: the sets hold the listener and what `connections` owns; closed ones are removed below, before.
            meter.call(unsafe { select(bound, Some(&mut readable), Some(&mut writable), None, None) })
        })?;
        for fd in FdSetIter::new(&readable).chain(FdSetIter::new(&writable)) {
            if fd == listener.as_raw_fd() {
                while let Some(socket) = accept(&listener, SocketFlags::NONBLOCK, meter)? {
                    if socket.as_raw_fd() >= FD_SETSIZE {
                        return Err(Error::other(format!("select cannot watch descriptor {FD_SETSIZE} (FD_SETSIZE)")));
                    }
                    fd_set_insert(&mut to_read, socket.as_raw_fd());
                    connections.insert(Connection::new(socket));
                }
                continue;
            }
            let Some(connection) = connections.get(fd) else { continue };
            match connection.turn(&mut buffer, meter)? {
                Next::Room => {
                    fd_set_remove(&mut to_read, fd);
                    fd_set_insert(&mut to_write, fd);
                }
                Next::Closed => {
                    fd_set_remove(&mut to_read, fd);
                    fd_set_remove(&mut to_write, fd);
                    connections.close(fd, meter);
                }
                // If there is more, the next select says so again.
                Next::Again | Next::Drained | Next::Empty => {
                    fd_set_remove(&mut to_write, fd);
                    fd_set_insert(&mut to_read, fd);
                }
            }
        }
    }
    Ok(())
}
