//! Descriptors to watch, none of which blocks, and what is done to them.

use crate::world::Errno;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify;
use rustix::io;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// A pipe of 16 slots: the end that is read, and the end that is written.
pub(crate) fn pipe() -> (OwnedFd, OwnedFd) {
    pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe2")
}

pub(crate) fn counter(initial: u32) -> OwnedFd {
    eventfd(initial, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("eventfd")
}

/// A counter whose reads take one.
pub(crate) fn semaphore(initial: u32) -> OwnedFd {
    eventfd(initial, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE).expect("eventfd")
}

pub(crate) fn stream() -> (UnixStream, UnixStream) {
    let (one, other) = UnixStream::pair().expect("socketpair");
    for socket in [&one, &other] {
        socket.set_nonblocking(true).expect("fcntl");
    }
    (one, other)
}

pub(crate) fn datagram() -> (UnixDatagram, UnixDatagram) {
    let (one, other) = UnixDatagram::pair().expect("socketpair");
    for socket in [&one, &other] {
        socket.set_nonblocking(true).expect("fcntl");
    }
    (one, other)
}

/// On loopback, at a port that the system chooses.
pub(crate) fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("fcntl");
    listener
}

pub(crate) fn connect(listener: &TcpListener) -> TcpStream {
    let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("loopback");
    stream.set_nonblocking(true).expect("fcntl");
    stream.set_nodelay(true).expect("setsockopt");
    stream
}

/// Both ends of a connection.
pub(crate) fn tcp() -> (TcpStream, TcpStream) {
    let listener = listener();
    let client = connect(&listener);
    poll_for(&listener, PollFlags::IN);
    let (server, _) = listener.accept().expect("it is connected");
    server.set_nonblocking(true).expect("fcntl");
    server.set_nodelay(true).expect("setsockopt");
    (client, server)
}

pub(crate) fn timer() -> OwnedFd {
    timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK).expect("timerfd_create")
}

/// Expires after `first`, and then after each `period` if that is not zero.
pub(crate) fn set_timer(timer: &OwnedFd, first: Duration, period: Duration) {
    let time = |time| Timespec::try_from(time).expect("a time of the tests");
    let setting = Itimerspec { it_value: time(first), it_interval: time(period) };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &setting).expect("timerfd_settime");
}

/// A terminal in raw mode: the side of who shows it, and the side of the program in it.
pub(crate) fn tty() -> (OwnedFd, OwnedFd) {
    let (mut shows, mut program) = (-1, -1);
    // SAFETY: both numbers are valid for writing; there is no name, and the terminal is as it comes.
    let result = unsafe {
        libc::openpty(&raw mut shows, &raw mut program, std::ptr::null_mut(), std::ptr::null(), std::ptr::null())
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just made, owned by nobody else.
    let (shows, program) = unsafe { (OwnedFd::from_raw_fd(shows), OwnedFd::from_raw_fd(program)) };
    let mut mode = std::mem::MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the mode is valid for writing; what `tcgetattr` succeeds with is initialised.
    unsafe {
        assert_eq!(libc::tcgetattr(program.as_raw_fd(), mode.as_mut_ptr()), 0);
        libc::cfmakeraw(mode.as_mut_ptr());
        assert_eq!(libc::tcsetattr(program.as_raw_fd(), libc::TCSANOW, mode.as_ptr()), 0);
    }
    for fd in [&shows, &program] {
        rustix::io::ioctl_fionbio(fd, true).expect("ioctl");
    }
    (shows, program)
}

/// Tells when something is made in a directory.
pub(crate) fn directory_watch(directory: &Path) -> OwnedFd {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).expect("inotify_init1");
    inotify::add_watch(&fd, directory, inotify::WatchFlags::CREATE).expect("inotify_add_watch");
    fd
}

/// Reads these signals, which the calling thread should hold back.
pub(crate) fn signals(signals: &libc::sigset_t) -> OwnedFd {
    // SAFETY: the set outlives the call.
    let fd = unsafe { libc::signalfd(-1, signals, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    // SAFETY: just made, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// How many of `n` bytes were there.
pub(crate) fn read(fd: &impl AsFd, n: usize) -> Result<usize, Errno> {
    let mut bytes = Vec::with_capacity(n);
    let read = io::read(fd, &mut bytes.spare_capacity_mut()[..n]).map(|(read, _)| read.len());
    read.map_err(io::Errno::raw_os_error)
}

/// How many of `n` bytes were taken. SIGPIPE is ignored by Rust's start.
pub(crate) fn write(fd: &impl AsFd, n: usize) -> Result<usize, Errno> {
    static BYTES: [u8; 1 << 20] = [0; 1 << 20];
    io::write(fd, &BYTES[..n]).map_err(io::Errno::raw_os_error)
}

/// Writes as much as there is room for; how much that was.
pub(crate) fn fill(fd: &impl AsFd, part: usize) -> usize {
    std::iter::from_fn(|| write(fd, part).ok()).sum()
}

/// Reads all that is there; how much that was.
pub(crate) fn drain(fd: &impl AsFd) -> usize {
    std::iter::from_fn(|| read(fd, 1 << 20).ok().filter(|read| *read > 0)).sum()
}

/// Of a counter.
pub(crate) fn raise(counter: &impl AsFd, n: u64) -> Result<(), Errno> {
    io::write(counter, &n.to_ne_bytes()).map(drop).map_err(io::Errno::raw_os_error)
}

/// Of a counter, or of a timer.
pub(crate) fn take(counter: &impl AsFd) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    io::read(counter, &mut bytes).map_err(io::Errno::raw_os_error)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Another descriptor of the same open file.
pub(crate) fn dup(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().expect("fcntl")
}

/// A descriptor of the same open file, whose number nobody else gets who asks for any number.
pub(crate) fn far_dup(fd: &impl AsFd) -> OwnedFd {
    static NEXT: AtomicI32 = AtomicI32::new(0);
    let least = limit() / 2 + NEXT.fetch_add(1, Ordering::Relaxed);
    rustix::io::fcntl_dupfd_cloexec(fd, least).expect("fcntl")
}

/// Lets `number` name the open file of `fd`; what it named before is closed.
pub(crate) fn dup2(fd: &impl AsFd, number: &mut OwnedFd) {
    rustix::io::dup3(fd, number, rustix::io::DupFlags::CLOEXEC).expect("dup3");
}

/// Closes, and still names the number; only for [`far_dup`]'s, which nobody else is given meanwhile.
pub(crate) fn close(fd: OwnedFd) -> BorrowedFd<'static> {
    let number = fd.as_raw_fd();
    drop(fd);
    // SAFETY: nothing is read or written through it: it names a number to calls that have to refuse it.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Lets a number that [`close`] has freed name the open file of `fd`.
pub(crate) fn reopen(fd: &impl AsFd, number: BorrowedFd<'_>) -> OwnedFd {
    let number = number.as_raw_fd();
    // SAFETY: no pointers; nobody has the number.
    let result = unsafe { libc::dup3(fd.as_fd().as_raw_fd(), number, libc::O_CLOEXEC) };
    assert_eq!(result, number, "{}", std::io::Error::last_os_error());
    // SAFETY: just made, owned by nobody else.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// How many descriptors this process may have: from the first call on, as many as it can get.
pub(crate) fn limit() -> i32 {
    static LIMIT: OnceLock<i32> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the structure outlives both calls.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
        limit.rlim_cur.try_into().unwrap_or(1 << 20)
    })
}

/// What `poll(2)` says of a descriptor now.
pub(crate) fn polled(fd: &impl AsFd) -> u32 {
    let mut fds = [PollFd::new(fd, PollFlags::from_bits_retain(0xffff))];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll");
    fds[0].revents().bits().into()
}

/// Waits for one of these.
pub(crate) fn poll_for(fd: &impl AsFd, flags: PollFlags) {
    let mut fds = [PollFd::new(fd, flags)];
    while poll(&mut fds, None).is_err() {}
}
