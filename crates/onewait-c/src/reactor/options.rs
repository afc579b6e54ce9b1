//! How a program wants its reactor.

use onewait::reactor::{Reactor, ReactorBuilder};
use onewait::{Choice, DriverKind, Errno};
use std::mem::offset_of;
use std::ptr;
use std::time::Duration;

/// `struct ow_reactor_options`.
#[repr(C)]
#[derive(Default)]
pub struct OwReactorOptions {
    size: usize,
    flags: u32,
    timers: u32,
    spin_ns: u64,
    sockets_token: u64,
    socket_memory: usize,
    socket_driver: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<OwReactorOptions>() == 48 && offset_of!(OwReactorOptions, socket_driver) == 40);

/// Programs that know no sockets say this size.
const WITHOUT_SOCKETS: usize = offset_of!(OwReactorOptions, sockets_token);

/// `OW_EMBEDDABLE`.
const EMBEDDABLE: u32 = 1;
/// `OW_REFUSE_FILES`.
const REFUSE_FILES: u32 = 2;

/// `OW_ANY_DRIVER`.
const ANY_DRIVER: u32 = 0;
/// `OW_URING`.
const URING: u32 = 1;
/// `OW_EPOLL`.
const EPOLL: u32 = 2;

/// What a program has set. What its header does not know, and without options all, is as usual.
///
/// # Errors
/// EINVAL for what this version does not know.
///
/// # Safety
/// The options are null, or valid for the size that they say.
pub(super) unsafe fn read(options: *const OwReactorOptions) -> Result<ReactorBuilder, Errno> {
    let mut known = OwReactorOptions::default();
    if !options.is_null() {
        // SAFETY: the size comes first, in all versions.
        let size = unsafe { ptr::addr_of!((*options).size).read() };
        if size != size_of::<OwReactorOptions>() && size != WITHOUT_SOCKETS {
            return Err(Errno::INVAL);
        }
        // SAFETY: valid for so many bytes by contract, which are not more than ours, and plain numbers.
        unsafe { ptr::copy_nonoverlapping(options.cast::<u8>(), ptr::from_mut(&mut known).cast(), size) };
    }
    known.builder()
}

impl OwReactorOptions {
    fn builder(&self) -> Result<ReactorBuilder, Errno> {
        if self.flags & !(EMBEDDABLE | REFUSE_FILES) != 0 || self.reserved != 0 {
            return Err(Errno::INVAL);
        }
        let mut builder = Reactor::builder().spin(Duration::from_nanos(self.spin_ns));
        if self.timers > 0 {
            builder = builder.timers(self.timers as usize);
        }
        if self.flags & EMBEDDABLE != 0 {
            builder = builder.embeddable();
        }
        if self.flags & REFUSE_FILES != 0 {
            builder = builder.refuse_files();
        }
        if self.sockets_token != 0 {
            builder = builder.sockets_token(self.sockets_token);
        }
        if self.socket_memory != 0 {
            builder = builder.socket_memory(self.socket_memory);
        }
        Ok(match self.socket_driver {
            ANY_DRIVER => builder,
            URING => builder.driver(Choice::Strict(DriverKind::Uring)),
            EPOLL => builder.driver(Choice::Strict(DriverKind::Epoll)),
            _ => return Err(Errno::INVAL),
        })
    }
}
