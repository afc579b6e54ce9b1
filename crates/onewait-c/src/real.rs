//! The functions that ours stand in front of.

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of the next library, looked up once.
pub(crate) struct Real {
    name: &'static CStr,
    address: AtomicPtr<c_void>,
}

impl Real {
    pub(crate) const fn new(name: &'static CStr) -> Real {
        Real { name, address: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The function's address; `None` if no library has it.
    pub(crate) fn find(&self) -> Option<*mut c_void> {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return Some(known);
        }
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        self.address.store(found, Ordering::Relaxed);
        (!found.is_null()).then_some(found)
    }
}

/// Calls the next library's function of that name; if there is none, `$missing` is the value.
macro_rules! call_real {
    ($name:literal as $type:ty, $arguments:tt, $missing:expr) => {
        $crate::real::call_real!(@ $crate::real::Real::new($name), $type, $arguments, $missing)
    };
    // By a name that a macro was given.
    ($name:ident as $type:ty, $arguments:tt, $missing:expr) => {
        $crate::real::call_real!(
            @ $crate::real::Real::new($crate::real::c_name(concat!(stringify!($name), "\0"))), $type, $arguments, $missing
        )
    };
    (@ $real:expr, $type:ty, ($($argument:expr),*), $missing:expr) => {{
        static REAL: $crate::real::Real = $real;
        match REAL.find() {
            // SAFETY: the next function of this name has this type: it is the one that ours stands in front of.
            Some(address) => unsafe { std::mem::transmute::<*mut std::ffi::c_void, $type>(address)($($argument),*) },
            None => $missing,
        }
    }};
}

/// A name that ends with a zero.
pub(crate) const fn c_name(name: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(name.as_bytes()) {
        Ok(name) => name,
        Err(_) => panic!("a name with no zero at its end"),
    }
}

pub(crate) use call_real;
