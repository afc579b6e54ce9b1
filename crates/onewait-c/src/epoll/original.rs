//! libc's own functions. They are found when the library is loaded: a child of `fork` must not have to ask the loader, whose
//! lock another thread of its parent's may have held.
//!
//! The waits are cancellation points, and unwind their callers.

use crate::errno;
use crate::real::Real;
use onewait::Errno;
use std::ffi::{c_int, c_void};
use std::mem::transmute;

/// What a function does that this libc does not have.
#[cold]
fn missing() -> c_int {
    errno::set(Errno(libc::ENOSYS));
    -1
}

macro_rules! originals {
    ($($own:ident = $name:literal: $abi:literal ($($argument:ident: $type:ty),*);)*) => {
        /// Where the functions are; `None` if this libc does not have one.
        pub(super) mod find {
            use super::*;
            $(
                #[inline]
                pub(in super::super) fn $own() -> Option<*mut c_void> {
                    static REAL: Real = Real::new($name);
                    REAL.find()
                }
            )*
        }

        $(
            /// The function itself.
            ///
            /// # Safety
            /// As the original.
            #[inline]
            pub(super) unsafe extern $abi fn $own($($argument: $type),*) -> c_int {
                type Function = unsafe extern $abi fn($($type),*) -> c_int;
                match find::$own() {
                    // SAFETY: the next function of this name has this type: it is the one that ours stands in front of.
                    Some(address) => unsafe { transmute::<*mut c_void, Function>(address)($($argument),*) },
                    None => missing(),
                }
            }
        )*
    };
}

originals! {
    create = c"epoll_create": "C" (size: c_int);
    create1 = c"epoll_create1": "C" (flags: c_int);
    control = c"epoll_ctl": "C" (epoll: c_int, what: c_int, fd: c_int, event: *mut libc::epoll_event);
    wait = c"epoll_wait": "C-unwind" (epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: c_int);
    pwait = c"epoll_pwait": "C-unwind" (
        epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: c_int, mask: *const libc::sigset_t
    );
    pwait2 = c"epoll_pwait2": "C-unwind" (
        epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: *const libc::timespec,
        mask: *const libc::sigset_t
    );
}
