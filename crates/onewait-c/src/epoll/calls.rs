//! The six functions. Each is a jump, to libc's or to ours that serve: where to is written when the library is loaded.

use super::{original, served};
use std::ffi::{c_int, c_void};
use std::mem::transmute;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Where a function goes.
struct Entry(AtomicPtr<c_void>);

impl Entry {
    #[inline]
    fn target(&self) -> *mut c_void {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! calls {
    ($($(#[$meta:meta])* $name:ident ($entry:ident, $own:ident): $abi:literal ($($argument:ident: $type:ty),*);)*) => {
        $(
            /// At first the one that looks for libc's at each call: some other library's start may come before ours.
            static $entry: Entry = Entry(AtomicPtr::new(original::$own as *mut c_void));

            $(#[$meta])*
            ///
            /// # Safety
            /// As the original.
            #[unsafe(no_mangle)]
            pub unsafe extern $abi fn $name($($argument: $type),*) -> c_int {
                type Function = unsafe extern $abi fn($($type),*) -> c_int;
                // SAFETY: all that is ever written there is a function of this type: libc's of the same name, or ours.
                unsafe { transmute::<*mut c_void, Function>($entry.target())($($argument),*) }
            }
        )*

        /// From now on the functions go to libc's.
        pub(super) fn pass() {
            $(
                // What this libc does not have stays with ours, which says so.
                $entry.0.store(original::find::$own().unwrap_or(original::$own as *mut c_void), Ordering::Relaxed);
            )*
        }

        /// From now on the functions go to ours that serve.
        pub(super) fn serve() {
            $($entry.0.store(served::$own as *mut c_void, Ordering::Relaxed);)*
        }
    };
}

calls! {
    /// `epoll_create(2)`.
    epoll_create (CREATE, create): "C" (size: c_int);
    /// `epoll_create1(2)`.
    epoll_create1 (CREATE1, create1): "C" (flags: c_int);
    /// `epoll_ctl(2)`.
    epoll_ctl (CONTROL, control): "C" (epoll: c_int, what: c_int, fd: c_int, event: *mut libc::epoll_event);
    /// `epoll_wait(2)`.
    epoll_wait (WAIT, wait): "C-unwind" (epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: c_int);
    /// `epoll_pwait(2)`.
    epoll_pwait (PWAIT, pwait): "C-unwind" (
        epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: c_int, mask: *const libc::sigset_t
    );
    /// `epoll_pwait2(2)`.
    epoll_pwait2 (PWAIT2, pwait2): "C-unwind" (
        epoll: c_int, events: *mut libc::epoll_event, room: c_int, timeout: *const libc::timespec,
        mask: *const libc::sigset_t
    );
}
