//! Signal-driven: the kernel sends a signal when a descriptor becomes ready. Plain SIGIO does not say which one; a real-time
//! signal (F_SETSIG) does, and is queued. They are blocked here and read as records from a signalfd: in a handler, which
//! interrupts the program anywhere, hardly anything may be called.
//!
//! `cargo run --release -p onewait --example echo_signal_driven -- [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]]`

mod shared;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::net::SocketFlags;
use shared::{BUFFER, Connection, Connections, Meter, Next, accept};
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

// <asm-generic/fcntl.h>: the libc crate has these for some systems only.
const F_SETSIG: libc::c_int = 10;
const F_SETOWN_EX: libc::c_int = 15;
const F_OWNER_TID: libc::c_int = 0;

/// `struct f_owner_ex` of `fcntl(2)`.
#[repr(C)]
struct Owner {
    kind: libc::c_int,
    id: libc::pid_t,
}

/// Bytes of a signal in a signalfd, and how many signals a read takes.
const RECORD: usize = size_of::<libc::signalfd_siginfo>();
const SIGNALS: usize = 256;

fn main() -> ExitCode {
    // In all threads, which inherit it, so before there are others: SIGIO may go to any of them, and unhandled it would end
    // the process.
    let blocked = signals();
    // SAFETY: the set is initialised.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut()) };
    shared::main("signal-driven", serve)
}

fn serve(listener: TcpListener, meter: &'static Meter) -> io::Result<()> {
    let signals = receive(signals())?;
    listener.set_nonblocking(true)?;
    send_signals(&listener, meter)?;
    let mut server = Server { listener, connections: Connections::default(), buffer: vec![0; BUFFER], meter };
    // No signal comes of what had come before, so look once.
    server.accept_all()?;
    let mut records = vec![0; RECORD * SIGNALS];

    while !meter.is_over() {
        let length = rustix::io::retry_on_intr(|| meter.call(rustix::io::read(&signals, &mut records[..])))?;
        for record in records[..length].chunks_exact(RECORD) {
            let fd = field(record, offset_of!(libc::signalfd_siginfo, ssi_fd));
            if field(record, offset_of!(libc::signalfd_siginfo, ssi_signo)) == libc::SIGIO {
                // The queue of signals was full. This one only says that there is something somewhere.
                server.look_everywhere()?;
            } else if fd == server.listener.as_raw_fd() {
                server.accept_all()?;
            } else {
                server.echo(fd, false)?;
            }
        }
    }
    Ok(())
}

struct Server {
    listener: TcpListener,
    connections: Connections,
    buffer: Vec<u8>,
    meter: &'static Meter,
}

impl Server {
    fn accept_all(&mut self) -> io::Result<()> {
        while let Some(socket) = accept(&self.listener, SocketFlags::NONBLOCK, self.meter)? {
            // Flags and owner are not inherited from the listener.
            send_signals(&socket, self.meter)?;
            let fd = socket.as_raw_fd();
            self.connections.insert(Connection::new(socket));
            // As with the listener: something may have come before.
            self.echo(fd, true)?;
        }
        Ok(())
    }

    /// Nobody knows what the lost signals would have said, so look at each to the end.
    fn look_everywhere(&mut self) -> io::Result<()> {
        self.accept_all()?;
        self.connections.all().into_iter().try_for_each(|fd| self.echo(fd, true))
    }

    /// What a signal calls for. It may be an old one, of a descriptor that was closed meanwhile, whose number may even belong
    /// to another connection now: then there is nothing to read, and no harm done.
    fn echo(&mut self, fd: RawFd, to_the_end: bool) -> io::Result<()> {
        let Some(connection) = self.connections.get(fd) else { return Ok(()) };
        // A signal tells of a change, as an edge-triggered epoll does. Each change has its own, the client's hanging up too.
        if connection.turns(to_the_end, &mut self.buffer, self.meter)? == Next::Closed {
            self.connections.close(fd, self.meter);
        }
        Ok(())
    }
}

/// A 32-bit number in a record.
fn field(record: &[u8], offset: usize) -> i32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&record[offset..offset + 4]);
    i32::from_ne_bytes(bytes)
}

/// The signal of a descriptor, and the one that comes instead when its queue is full.
fn signals() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set, and the others change it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGIO);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGRTMIN());
        set.assume_init()
    }
}

/// A descriptor from which this thread reads these signals.
fn receive(signals: libc::sigset_t) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised.
    match unsafe { libc::signalfd(-1, &raw const signals, libc::SFD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: it is new, and nobody else's.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// From now on, this thread gets SIGRTMIN, with the descriptor's number, when there is something to read or room to write.
fn send_signals(source: impl AsFd, meter: &Meter) -> io::Result<()> {
    let fd = source.as_fd().as_raw_fd();
    // This thread, whose signals the signalfd reads, and not whichever of the process.
    let owner = Owner { kind: F_OWNER_TID, id: rustix::thread::gettid().as_raw_nonzero().get() };
    // SAFETY: the descriptor is open, and these operations read an `f_owner_ex` and a number.
    let is_set = unsafe {
        meter.call(libc::fcntl(fd, F_SETOWN_EX, &raw const owner)) == 0
            && meter.call(libc::fcntl(fd, F_SETSIG, libc::SIGRTMIN())) == 0
    };
    if !is_set {
        return Err(io::Error::last_os_error());
    }
    let flags = meter.call(fcntl_getfl(&source))?;
    Ok(meter.call(fcntl_setfl(&source, flags | OFlags::ASYNC))?)
}
