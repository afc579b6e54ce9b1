//! System calls of a thread, counted one by one by another thread, which lets each of them go on (`seccomp_unotify(2)`).

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// What a watched thread shares with the one that watches it.
pub(crate) struct Watch {
    thread: AtomicI32,
    listener: AtomicI32,
    counts: AtomicBool,
    is_over: AtomicBool,
    calls: AtomicUsize,
}

/// Until the watched thread asks for it, and if that is refused.
const NONE: RawFd = -1;
const REFUSED: RawFd = -2;

/// What an allocator calls, when it likes.
const MEMORY: [libc::c_long; 6] =
    [libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise];

/// Runs this on a thread that can have its system calls counted.
pub(crate) fn watched<T: Send>(work: impl FnOnce(&Watch) -> T + Send) -> T {
    let watch = Watch {
        thread: AtomicI32::new(0),
        listener: AtomicI32::new(NONE),
        counts: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        calls: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        scope.spawn(|| watch.watch());
        let done = scope.spawn(|| work(&watch)).join();
        watch.is_over.store(true, Ordering::Release);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Watch {
    /// From now on the calling thread is watched, and so are those that it starts. False if the kernel does not do that
    /// (Linux 5.5), or something forbids it.
    pub(crate) fn begin(&self) -> bool {
        // SAFETY: no pointers.
        self.thread.store(unsafe { libc::gettid() }, Ordering::Release);
        let fd = listener();
        // Not by anything that might make a system call: nobody would let that go on yet.
        self.listener.store(fd, Ordering::Release);
        fd != REFUSED
    }

    /// Whether it has begun.
    pub(crate) fn is_watching(&self) -> bool {
        self.listener.load(Ordering::Acquire) >= 0
    }

    /// Does this, and tells how many system calls the calling thread has made for it, but for memory.
    pub(crate) fn calls_of<R>(&self, work: impl FnOnce() -> R) -> (R, usize) {
        self.counts.store(true, Ordering::Release);
        let result = work();
        self.counts.store(false, Ordering::Release);
        (result, self.calls.swap(0, Ordering::AcqRel))
    }

    /// It is of the thread that has begun, which waits for an answer meanwhile.
    fn is_counted(&self, call: &libc::seccomp_notif) -> bool {
        let is_memory = MEMORY.contains(&call.data.nr.into());
        call.pid == self.thread.load(Ordering::Acquire) as u32 && self.counts.load(Ordering::Acquire) && !is_memory
    }

    fn watch(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            match self.listener.load(Ordering::Acquire) {
                REFUSED => return,
                NONE => thread::sleep(Duration::from_millis(1)),
                // SAFETY: made by `begin`, for us.
                fd => return self.let_go_on(unsafe { OwnedFd::from_raw_fd(fd) }),
            }
        }
    }

    fn let_go_on(&self, listener: OwnedFd) {
        let fd = listener.as_raw_fd();
        while !self.is_over.load(Ordering::Acquire) {
            let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, valid for the call.
            if unsafe { libc::poll(&raw mut entry, 1, 20) } != 1 || entry.revents & libc::POLLIN == 0 {
                continue;
            }
            // SAFETY: all zeros are valid, and what the kernel wants; it writes one notification.
            let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: valid for writing.
            if unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) } != 0 {
                continue;
            }
            self.calls.fetch_add(usize::from(self.is_counted(&call)), Ordering::AcqRel);
            let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
            let mut answer = libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags };
            // SAFETY: valid for reading. If the thread is gone, there is nobody to answer.
            unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer) };
        }
    }
}

/// Where all calls of the calling thread are told from now on, or [`REFUSED`].
fn listener() -> RawFd {
    let code = (libc::BPF_RET | libc::BPF_K) as u16;
    let mut filter = [libc::sock_filter { code, jt: 0, jf: 0, k: libc::SECCOMP_RET_USER_NOTIF }];
    let program = libc::sock_fprog { len: 1, filter: filter.as_mut_ptr() };
    let (mode, flags) = (libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER), libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
    // SAFETY: the program lives through the call; the kernel copies it.
    let fd = unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program)
    };
    if fd < 0 { REFUSED } else { fd as RawFd }
}
