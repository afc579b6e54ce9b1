//! The kernel's side: epoll, eventfd, pipe, timerfd.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd, poll};
use rustix::io::{self, Errno as Error};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::bytes::BYTES;
use super::world::{self, Errno, Event, Op, Watched, World};
use super::{kernel_memory, kernel_signal};

/// The kernel's epoll over the kernel's sources.
pub(crate) struct Kernel;

impl World for Kernel {
    type Source<'a> = BorrowedFd<'a>;
    type Poll = Poll;
    type Counter = Counter;
    type Reader = Reader;
    type Writer = Writer;
    type Timer = Timer;

    fn poll() -> Poll {
        Poll(epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll_create1"))
    }

    fn counter(initial: u32) -> Counter {
        Counter(eventfd(initial, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("eventfd"))
    }

    fn semaphore(initial: u32) -> Counter {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK | EventfdFlags::SEMAPHORE;
        Counter(eventfd(initial, flags).expect("eventfd"))
    }

    fn pipe() -> (Reader, Writer) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).expect("pipe2");
        (Reader(reader), Writer(writer))
    }

    fn timer() -> Timer {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Timer(timerfd_create(TimerfdClockId::Monotonic, flags).expect("timerfd_create"))
    }
}

/// An epoll.
pub(crate) struct Poll(OwnedFd);
/// An eventfd.
pub(crate) struct Counter(OwnedFd);
/// The end of a pipe that is read.
pub(crate) struct Reader(OwnedFd);
/// The end of a pipe that is written.
pub(crate) struct Writer(OwnedFd);
/// A timerfd.
pub(crate) struct Timer(OwnedFd);

macro_rules! watched {
    ($($kind:ident)+) => {
        $(impl Watched<Kernel> for $kind {
            fn source(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        })+
    };
}
watched!(Poll Counter Reader Writer Timer);

fn number(error: Error) -> Errno {
    error.raw_os_error()
}

impl world::Poll<Kernel> for Poll {
    fn control(&self, op: Op, source: BorrowedFd<'_>, bits: u32, data: u64) -> Result<(), Errno> {
        let (data, flags) = (epoll::EventData::new_u64(data), epoll::EventFlags::from_bits_retain(bits));
        match op {
            Op::Add => epoll::add(&self.0, source, data, flags),
            Op::Modify => epoll::modify(&self.0, source, data, flags),
            Op::Delete => epoll::delete(&self.0, source),
        }
        .map_err(number)
    }

    fn wait_into(&self, events: &mut [Event], timeout: Option<Duration>) -> Result<usize, Errno> {
        let timeout = timeout.map(|time| Timespec::try_from(time).expect("a timeout of the tests"));
        let mut raw = [MaybeUninit::uninit(); world::MOST_EVENTS];
        let (got, _) = epoll::wait(&self.0, &mut raw[..events.len()], timeout.as_ref()).map_err(number)?;
        for (event, raw) in events.iter_mut().zip(got.iter()) {
            // The kernel's struct is packed, so its fields are copied first.
            let (flags, data) = (raw.flags, raw.data);
            *event = world::event(flags.bits(), data.u64());
        }
        Ok(got.len())
    }

    fn wait_where_stores_fail(&self, max: usize, writable: usize) -> Result<usize, Errno> {
        kernel_memory::wait_where_stores_fail(self.0.as_fd(), max, writable)
    }

    fn wait_with_hook(&self, max: usize, hook: impl FnOnce() + Send) -> Option<Result<Vec<Event>, Errno>> {
        kernel_memory::wait_with_hook(self.0.as_fd(), max, hook)
    }

    fn wait_interrupted(&self, max: usize, timeout: Option<Duration>) -> Result<Vec<Event>, Errno> {
        kernel_signal::wait_interrupted(self.0.as_fd(), max, timeout)
    }

    fn interrupt(&self, task: i32) {
        kernel_signal::interrupt(task);
    }

    fn level(&self) -> u32 {
        let mut fds = [PollFd::new(&self.0, PollFlags::from_bits_retain(0xffff))];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll");
        u32::from(fds[0].revents().bits())
    }
}

impl world::Counter<Kernel> for Counter {
    fn write(&self, n: u64) -> Result<(), Errno> {
        io::write(&self.0, &n.to_ne_bytes()).map(drop).map_err(number)
    }

    fn read(&self) -> Result<u64, Errno> {
        read_number(&self.0)
    }
}

impl world::Reader<Kernel> for Reader {
    fn read(&self, n: usize) -> Result<usize, Errno> {
        let mut bytes = Vec::with_capacity(n);
        io::read(&self.0, &mut bytes.spare_capacity_mut()[..n]).map(|(read, _)| read.len()).map_err(number)
    }
}

impl world::Writer<Kernel> for Writer {
    fn write(&self, n: usize) -> Result<usize, Errno> {
        io::write(&self.0, &BYTES[..n]).map_err(number)
    }
}

const PERIOD: Duration = Duration::from_millis(2);

impl Timer {
    fn set(&self, first: Duration, period: Duration) {
        let time = |time| Timespec::try_from(time).expect("a time of the tests");
        let setting = Itimerspec { it_value: time(first), it_interval: time(period) };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &setting).expect("timerfd_settime");
    }
}

impl world::Timer<Kernel> for Timer {
    fn start(&self) {
        self.set(PERIOD, PERIOD);
    }

    fn pass(&self, periods: u32) {
        // One more, since a sleep may end a little before the timer's own interrupt is done.
        thread::sleep(PERIOD * (periods + 1));
    }

    fn postpone(&self) {
        self.set(Duration::from_secs(1 << 20), Duration::ZERO);
    }

    fn read(&self) -> Result<u64, Errno> {
        read_number(&self.0)
    }
}

fn read_number(fd: &OwnedFd) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    io::read(fd, &mut bytes).map_err(number)?;
    Ok(u64::from_ne_bytes(bytes))
}
