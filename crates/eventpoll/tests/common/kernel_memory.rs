//! Waits of the kernel into memory that a test controls: some of it cannot be written, or writing it runs a hook.
//!
//! The only unsafe code of these tests: raw mappings, and a userfaultfd for the hook. All of it ends with the call.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::thread;

use super::world::{self, Errno, Event};

const PAGE: usize = 4096;
const EVENT: usize = size_of::<libc::epoll_event>();

/// Two pages of memory; the second cannot be touched.
struct Pages(NonNull<u8>);

impl Pages {
    fn new() -> io::Result<Self> {
        // SAFETY: a new private mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), 2 * PAGE, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = Pages(NonNull::new(start.cast()).expect("a mapping is not at zero"));
        // SAFETY: the page was mapped above, and nothing refers to it yet.
        if unsafe { libc::mprotect(start, PAGE, libc::PROT_READ | libc::PROT_WRITE) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(pages)
    }

    /// Room for so many events before the end of the first page.
    fn last(&self, events: usize) -> *mut libc::epoll_event {
        assert!(events * EVENT <= PAGE);
        // SAFETY: the result stays within, or one past the end of, the first page (asserted).
        unsafe { self.0.as_ptr().add(PAGE - events * EVENT).cast() }
    }

    /// The first events of that room.
    fn read(&self, room: usize, stored: usize) -> Vec<Event> {
        assert!(stored <= room);
        // SAFETY: the first page is readable, holds `room` of these (asserted in `last`), and the kernel has written
        // `stored` of them; they are packed, so any address is aligned.
        let one = |place| unsafe { self.last(room).add(place).read_unaligned() };
        (0..stored).map(one).map(|raw| world::event(raw.events, raw.u64)).collect()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this is the mapping of `new`; nobody keeps a pointer into it beyond this owner's borrow.
        unsafe { libc::munmap(self.0.as_ptr().cast(), 2 * PAGE) };
    }
}

fn wait_raw(poll: BorrowedFd<'_>, at: *mut libc::epoll_event, max: usize) -> Result<usize, Errno> {
    let max = i32::try_from(max).expect("a number of the tests");
    // SAFETY: the kernel checks what it writes: all of it lies in the two pages of the caller's `Pages`, where nothing
    // of Rust's lives.
    let stored = unsafe { libc::epoll_wait(poll.as_raw_fd(), at, max, 0) };
    usize::try_from(stored).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or_default())
}

/// See [`world::Poll::wait_where_stores_fail`].
pub(crate) fn wait_where_stores_fail(poll: BorrowedFd<'_>, max: usize, writable: usize) -> Result<usize, Errno> {
    let pages = Pages::new().expect("two pages of memory");
    wait_raw(poll, pages.last(writable), max)
}

/// See [`world::Poll::wait_with_hook`]: the first store of the kernel faults, and the fault is handled by the hook.
pub(crate) fn wait_with_hook(
    poll: BorrowedFd<'_>,
    max: usize,
    hook: impl FnOnce() + Send,
) -> Option<Result<Vec<Event>, Errno>> {
    let pages = Pages::new().expect("two pages of memory");
    let page = pages.0.as_ptr() as u64;
    let faults = match register(page) {
        // Of the kernel's own faults only a privileged user is told, but for vm.unprivileged_userfaultfd = 1.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) => {
            println!("skipped: this user may make no userfaultfd: {error}");
            return None;
        }
        result => result.expect("userfaultfd on a page"),
    };
    let stored = thread::scope(|scope| {
        scope.spawn(|| {
            await_fault(&faults).expect("a page fault");
            hook();
            fill(&faults, page).expect("filling a page");
        });
        let stored = wait_raw(poll, pages.last(max), max);
        // A wait that stored nothing has not run the hook, which still waits for its fault.
        // SAFETY: the first page may be written, and only the kernel's stores are of interest later.
        unsafe { pages.0.as_ptr().write_volatile(0) };
        stored
    });
    Some(stored.map(|stored| pages.read(max, stored)))
}

// From <linux/userfaultfd.h>; the libc crate has none of it.
const UFFD_API: u64 = 0xaa;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f_u32 as libc::Ioctl;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00_u32 as libc::Ioctl;
const UFFDIO_ZEROPAGE: libc::Ioctl = 0xc020_aa04_u32 as libc::Ioctl;
const REGISTER_MODE_MISSING: u64 = 1;
const MESSAGE: usize = 32;

fn request(fd: &OwnedFd, code: libc::Ioctl, words: &mut [u64; 4]) -> io::Result<()> {
    // SAFETY: each of the requests above reads and writes at most these four words.
    if unsafe { libc::ioctl(fd.as_raw_fd(), code, words.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// From now on the first touch of this page waits for us.
fn register(page: u64) -> io::Result<OwnedFd> {
    // SAFETY: a system call that takes flags and gives a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: it is new, so nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    request(&fd, UFFDIO_API, &mut [UFFD_API, 0, 0, 0])?;
    request(&fd, UFFDIO_REGISTER, &mut [page, PAGE as u64, REGISTER_MODE_MISSING, 0])?;
    Ok(fd)
}

fn await_fault(fd: &OwnedFd) -> io::Result<()> {
    rustix::io::read(fd, &mut [0_u8; MESSAGE])?;
    Ok(())
}

/// Ends the fault with a page of zeros.
fn fill(fd: &OwnedFd, page: u64) -> io::Result<()> {
    request(fd, UFFDIO_ZEROPAGE, &mut [page, PAGE as u64, 0, 0])
}
