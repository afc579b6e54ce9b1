//! Changes of the limit on file sizes: the engine keeps in mind that there is none, and so has to hear of them.

use crate::real::call_real;
use onewait::sys;
use std::ffi::{c_int, c_long};

/// Defines a function under two names that are one on 64 bits: runs the original, and tells the engine.
macro_rules! told {
    ($(#[$meta:meta])* $name:ident $original:literal, $name64:ident $original64:literal,
     ($($argument:ident: $type:ty),*)) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// As the original.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> c_int {
            let result = call_real!($original as unsafe extern "C" fn($($type),*) -> c_int, ($($argument),*), -1);
            sys::size_limit_changed();
            result
        }

        $(#[$meta])*
        ///
        /// # Safety
        /// As the original.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name64($($argument: $type),*) -> c_int {
            let result = call_real!($original64 as unsafe extern "C" fn($($type),*) -> c_int, ($($argument),*), -1);
            sys::size_limit_changed();
            result
        }
    };
}

told! {
    /// `setrlimit(2)`.
    setrlimit c"setrlimit", setrlimit64 c"setrlimit64", (resource: c_int, limit: *const libc::rlimit)
}

told! {
    /// `prlimit(2)`.
    prlimit c"prlimit", prlimit64 c"prlimit64",
    (pid: libc::pid_t, resource: c_int, new: *const libc::rlimit, old: *mut libc::rlimit)
}

/// `ulimit(3)`. The second argument is one of the variable part, and passed in the same place either way.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ulimit(command: c_int, value: c_long) -> c_long {
    let result = call_real!(c"ulimit" as unsafe extern "C" fn(c_int, ...) -> c_long, (command, value), -1);
    sys::size_limit_changed();
    result
}
