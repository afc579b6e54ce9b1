//! The ring: the `uring` driver's way to the kernel.
//!
//! A ring has one owner, the thread that made it: SINGLE_ISSUER and DEFER_TASKRUN let the kernel post completions only
//! while that thread is inside [`Ring::enter`]. So a completion never interrupts anybody: without these flags, the kernel
//! interrupts system calls of the submitting thread (`epoll_wait`, `sigtimedwait`, `semtimedop`), which then fail with
//! EINTR although no signal came.

pub(crate) mod buffers;
pub(crate) mod sockets;

use super::operation::{Code, Operation};
use crate::errno::Errno;
use crate::sys::{self, Descriptor};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, opcode};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Entries of the submission queue: as many requests can be handed over by one system call.
const SUBMISSIONS: u32 = 256;
/// Entries of the completion queue. More requests than that may be in flight: the kernel keeps what does not fit.
const COMPLETIONS: u32 = 4096;
/// Kernel threads for file operations that cannot be done otherwise, and for blocking reads of devices without a poll.
const KERNEL_WORKERS: [u32; 2] = [32, 128];

/// `FUTEX2_SIZE_U32 | FUTEX2_PRIVATE` of `linux/futex.h`.
const FUTEX_PRIVATE_WORD: u32 = 2 | 128;

/// `struct io_uring_getevents_arg`. Our own, because the crate's passes the size of libc's signal mask, and the kernel
/// takes only its own.
#[repr(C)]
struct WaitArgument {
    mask: u64,
    mask_size: u32,
    _min_wait: u32,
    time: u64,
}

/// Bytes of a signal mask as the kernel has it: a bit a signal, 64 of them.
const KERNEL_MASK_SIZE: u32 = 8;

/// How long [`Ring::enter`] stays in the kernel.
#[derive(Clone, Copy)]
pub(crate) enum Stay<'a> {
    /// Not at all.
    No,
    /// Until there is a completion, or a signal came.
    UntilCompletion,
    /// Until there is a completion, the time is over, or a signal came that this mask lets through.
    AtMost(Option<Duration>, &'a libc::sigset_t),
    /// Until there is a completion, the time is over, or a signal came that is not blocked.
    UntilSignal(Option<Duration>),
}

/// What came of entering the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entered {
    /// What was staged was handed over.
    Done,
    /// A signal handler ran.
    Interrupted,
    /// The time was over.
    TimedOut,
    /// There was no sleep, though one was asked for: the kernel takes nothing just now, or something has to be done first.
    Awake,
}

/// What the kernel says of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// As it was staged.
    pub(crate) user_data: u64,
    /// The value, or a negative error number.
    pub(crate) result: i32,
    /// Whether the operation has ended: a watch can complete many times.
    pub(crate) is_last: bool,
    /// The number of the buffer that the kernel chose, if it did.
    pub(crate) buffer: Option<u16>,
}

/// The ring of one thread.
///
/// It is entered by an index that its thread has registered, not by its descriptor: a program that closes every number it
/// finds, or puts a file of its own on ours, does not take the ring away.
pub(crate) struct Ring {
    ring: IoUring,
    entrance: Entrance,
    has_futex: bool,
    /// Its thread takes signals.
    takes_signals: bool,
    /// Whether there is a limit on the size of files: asked once for all that is handed over together.
    has_size_limit: Option<bool>,
}

impl Ring {
    /// Makes a ring that the calling thread owns, and tries it with a real request.
    ///
    /// # Errors
    /// Those of `io_uring_setup(2)` and `io_uring_enter(2)`: ENOSYS, EPERM and EACCES where it is forbidden, EINVAL where the
    /// kernel is too old (before 6.1), ENOMEM where too little memory may be locked, EMFILE.
    pub(crate) fn new() -> Result<Ring, Errno> {
        let _making = sys::Making::new();
        let mut submissions = SUBMISSIONS;
        let ring = loop {
            match build(submissions) {
                // Little memory may be locked: a small ring is better than none.
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && submissions > 8 => submissions /= 8,
                other => break other.map_err(|error| Errno::of(&error))?,
            }
        };
        let mut flags = EnterFlags::GETEVENTS;
        // So that an idle ring is no load (6.15).
        flags.set(EnterFlags::NO_IOWAIT, ring.params().is_feature_no_iowait());
        let entrance = match register(ring.as_raw_fd()) {
            Some(index) => Entrance { ring: index, flags: flags | EnterFlags::REGISTERED_RING },
            None => Entrance { ring: ring.as_raw_fd(), flags },
        };
        // Without the cap all is well, only less bounded.
        let _ = ring.submitter().register_iowq_max_workers(&mut KERNEL_WORKERS.clone());
        let mut probe = Probe::new();
        let is_probed = ring.submitter().register_probe(&mut probe).is_ok();
        let has_futex = is_probed && probe.is_supported(opcode::FutexWait::CODE);
        let mut ring = Ring { ring, entrance, has_futex, takes_signals: false, has_size_limit: None };
        ring.push(opcode::Nop::new().build());
        ring.enter(Stay::UntilCompletion)?;
        ring.reap().map(|_| ring).ok_or(Errno::INVAL)
    }

    /// No operation is to raise a signal, though its thread does not hold them back: writes that could (SIGPIPE, SIGXFSZ) are
    /// left to threads of the kernel's, which do.
    pub(crate) fn spare_from_signals(&mut self) {
        self.takes_signals = true;
    }

    /// Whether the ring can wait for a futex (6.7).
    pub(crate) fn has_futex(&self) -> bool {
        self.has_futex
    }

    /// Stages an operation. False if the submission queue is full: enter, then try again.
    ///
    /// # Safety
    /// What the operation points to stays valid until the completion with `user_data` was seen, or the ring is dropped.
    pub(crate) unsafe fn stage(&mut self, operation: &Operation, user_data: u64) -> bool {
        let flags = if self.can_raise(operation) { Flags::ASYNC } else { Flags::empty() };
        self.push(entry(operation).flags(flags).user_data(user_data))
    }

    /// Whether the operation could raise a signal in a thread that takes it.
    fn can_raise(&mut self, operation: &Operation) -> bool {
        let is_write = self.takes_signals && operation.is_write();
        is_write && (operation.is_stream() || *self.has_size_limit.get_or_insert_with(sys::has_size_limit))
    }

    /// Stages the cancellation of the operation with `target` as its `user_data`. False if the queue is full.
    pub(crate) fn stage_cancel(&mut self, target: u64, user_data: u64) -> bool {
        self.push(opcode::AsyncCancel::new(target).build().user_data(user_data))
    }

    /// Stages a watch on an eventfd of our own that completes at each new signal on it, for ever.
    pub(crate) fn stage_eventfd(&mut self, fd: RawFd, user_data: u64) -> bool {
        let events = (libc::EPOLLIN | libc::EPOLLET) as u32;
        self.push(opcode::PollAdd::new(Fd(fd), events).multi(true).build().user_data(user_data))
    }

    /// Stages a wait for a futex of our own: completes when it is woken, or at once if it does not hold `value`.
    ///
    /// # Safety
    /// The word stays until the completion was seen, or the ring is dropped.
    pub(crate) unsafe fn stage_futex(&mut self, word: &AtomicU32, value: u32, user_data: u64) -> bool {
        let any = u64::from(libc::FUTEX_BITSET_MATCH_ANY as u32);
        let wait = opcode::FutexWait::new(word.as_ptr(), u64::from(value), any, FUTEX_PRIVATE_WORD);
        self.push(wait.build().user_data(user_data))
    }

    fn push(&mut self, entry: Entry) -> bool {
        // SAFETY: what the entry points to is valid, by the contract of `stage`; other entries point to nothing.
        unsafe { self.ring.submission().push(&entry).is_ok() }
    }

    /// How many entries are staged.
    pub(crate) fn staged(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Whether completions can be had, by [`Ring::reap`] or by entering first.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        // SAFETY: only the owner's thread comes here, and what a signal handler changes in between is read anew.
        let (completions, submissions) = unsafe { (self.ring.completion_shared(), self.ring.submission_shared()) };
        !completions.is_empty() || submissions.taskrun() || submissions.cq_overflow()
    }

    /// What it takes to enter the ring, without borrowing it: a signal handler that runs meanwhile may use the ring.
    pub(crate) fn entrance(&self) -> Entrance {
        self.entrance
    }

    /// Hands over what is staged, lets the kernel post what has completed, and stays as long as `stay` says.
    ///
    /// # Errors
    /// Those of `io_uring_enter(2)` that do not pass by themselves.
    pub(crate) fn enter(&mut self, stay: Stay<'_>) -> Result<Entered, Errno> {
        let staged = self.staged() as u32;
        self.has_size_limit = None;
        self.entrance().enter(staged, stay)
    }

    /// Takes one completion.
    #[inline]
    pub(crate) fn reap(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let is_last = !io_uring::cqueue::more(entry.flags());
        let buffer = io_uring::cqueue::buffer_select(entry.flags());
        Some(Completion { user_data: entry.user_data(), result: entry.result(), is_last, buffer })
    }
}

/// The way into a ring that its owner is at rest with.
#[derive(Clone, Copy)]
pub(crate) struct Entrance {
    /// The registered index, or the descriptor.
    ring: i32,
    flags: EnterFlags,
}

impl Entrance {
    /// Lets the kernel post what has completed, and stays as long as `stay` says.
    ///
    /// # Errors
    /// As [`Ring::enter`].
    pub(crate) fn wait(self, stay: Stay<'_>) -> Result<Entered, Errno> {
        self.enter(0, stay)
    }

    fn enter(self, staged: u32, stay: Stay<'_>) -> Result<Entered, Errno> {
        let (wanted, flags) = match stay {
            Stay::No => (0, self.flags),
            Stay::UntilCompletion => (1, self.flags),
            Stay::AtMost(..) | Stay::UntilSignal(_) => (1, self.flags | EnterFlags::EXT_ARG),
        };
        let time = match stay {
            Stay::AtMost(time, _) | Stay::UntilSignal(time) => time.map(Timespec::from),
            Stay::No | Stay::UntilCompletion => None,
        };
        let argument = WaitArgument {
            mask: if let Stay::AtMost(_, mask) = stay { ptr::from_ref(mask) as u64 } else { 0 },
            mask_size: KERNEL_MASK_SIZE,
            _min_wait: 0,
            time: time.as_ref().map_or(0, |time| ptr::from_ref(time) as u64),
        };
        let (address, size) = match stay {
            Stay::AtMost(..) | Stay::UntilSignal(_) => (ptr::from_ref(&argument), size_of::<WaitArgument>()),
            _ => (ptr::null(), 0),
        };
        // SAFETY: the argument, and what it points to, live through the call; the size says what it is.
        let entered =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, self.ring, staged, wanted, flags.bits(), address, size) };
        if entered >= 0 {
            return Ok(Entered::Done);
        }
        match Errno::last().0 {
            libc::EINTR => Ok(Entered::Interrupted),
            libc::ETIME => Ok(Entered::TimedOut),
            // Too much in flight or no memory just now: what is staged stays staged, and the next turn, after reaping,
            // tries again.
            libc::EBUSY | libc::EAGAIN => Ok(Entered::Awake),
            errno => Err(Errno(errno)),
        }
    }
}

/// Registers a ring for the calling thread: the index by which that thread can enter it, if the kernel gives one.
///
/// It is never taken back. The kernel keeps a registered ring as long as its thread lives; ended before, it would interrupt
/// a system call of that thread's, which fails with EINTR then (seen with `epoll_wait` and `sigtimedwait`).
fn register(fd: RawFd) -> Option<i32> {
    /// `IORING_REGISTER_RING_FDS` of `linux/io_uring.h`.
    const REGISTER_RING_FDS: u32 = 20;
    /// `struct io_uring_rsrc_update`.
    #[repr(C)]
    struct Update {
        offset: u32,
        _reserved: u32,
        data: u64,
    }
    let mut update = Update { offset: u32::MAX, _reserved: 0, data: fd as u64 };
    // SAFETY: one valid update.
    let count = unsafe {
        libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1 as libc::c_uint)
    };
    (count == 1).then_some(update.offset as i32)
}

fn build(submissions: u32) -> io::Result<IoUring> {
    let completions = if submissions == SUBMISSIONS { COMPLETIONS } else { submissions * 2 };
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(completions)
        .build(submissions)?;
    // SAFETY: no pointers; the duplicate is a new descriptor of the same ring.
    let duplicate = unsafe { libc::fcntl(ring.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 0) };
    if duplicate < 0 {
        return Ok(ring);
    }
    // SAFETY: just made, owned by nobody else.
    let high = sys::lift(unsafe { Descriptor::from_raw(duplicate) });
    let params = ring.params().clone();
    drop(ring);
    // SAFETY: the descriptor is the ring's, and the parameters are those that the kernel filled in for it.
    unsafe { IoUring::from_fd(high.forget(), params) }
}

fn entry(operation: &Operation) -> Entry {
    let fd = Fd(operation.fd);
    // -1 is the descriptor's own position, as for a stream.
    let offset = operation.offset as u64;
    let rw_flags = operation.rw_flags | if operation.nowait { libc::RWF_NOWAIT } else { 0 };
    let length = operation.length;
    let address = operation.address;
    match operation.code {
        Code::Read => opcode::Read::new(fd, address as *mut u8, length).offset(offset).rw_flags(rw_flags).build(),
        Code::Write => opcode::Write::new(fd, address as *const u8, length).offset(offset).rw_flags(rw_flags).build(),
        Code::ReadVectored => {
            opcode::Readv::new(fd, address as *const libc::iovec, length).offset(offset).rw_flags(rw_flags).build()
        }
        Code::WriteVectored => {
            opcode::Writev::new(fd, address as *const libc::iovec, length).offset(offset).rw_flags(rw_flags).build()
        }
        Code::Fsync => opcode::Fsync::new(fd).build(),
        Code::Fdatasync => opcode::Fsync::new(fd).flags(FsyncFlags::DATASYNC).build(),
        Code::Poll => opcode::PollAdd::new(fd, length).build(),
        Code::Nop => opcode::Nop::new().build(),
    }
}
