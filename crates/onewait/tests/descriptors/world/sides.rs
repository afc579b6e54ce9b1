//! Runs a test on both sides.

use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A child of this process has all its descriptors open until it ends or becomes another program, so that what other
/// tests close meanwhile would not be closed: whoever makes children writes, others read.
static CHILDREN: RwLock<()> = RwLock::new(());

/// While this lives, no test makes children.
pub(crate) fn childless() -> RwLockReadGuard<'static, ()> {
    CHILDREN.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// While this lives, no other test runs.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    CHILDREN.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Makes of each `fn name<W: World>()` two tests, `kernel::name` and `ours::name`, and lists the names for the
/// check that each rule has a test.
macro_rules! both {
    ($($name:ident),+ $(,)?) => { $crate::world::both_under!(childless: $($name),+); };
}

/// As `both`, for tests that make children: no other test runs beside them.
macro_rules! both_alone {
    ($($name:ident),+ $(,)?) => { $crate::world::both_under!(alone: $($name),+); };
}

/// As `both`, for tests that change their whole process: each runs in one of its own.
macro_rules! both_in_process {
    ($($name:ident),+ $(,)?) => {
        mod kernel {
            $(#[test] fn $name() { $crate::world::in_process!($name, $crate::world::Kernel); })+
        }

        mod ours {
            $(#[test] fn $name() { $crate::world::in_process!($name, $crate::world::Ours); })+
        }
    };
}

macro_rules! in_process {
    ($name:ident, $side:ty) => {
        let _guard = $crate::world::alone();
        let path = concat!(module_path!(), "::", stringify!($name));
        let (_crate, path) = path.split_once("::").expect("a path in a crate");
        $crate::common::in_child(path, &[], || $crate::watchdog::bounded(stringify!($name), super::$name::<$side>));
    };
}

macro_rules! both_under {
    ($guard:ident: $($name:ident),+) => {
        #[allow(dead_code, reason = "only the check that each rule has a test reads it")]
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];

        mod kernel {
            use $crate::{watchdog::bounded, world::{Kernel, $guard}};
            $(#[test] fn $name() {
                let _guard = $guard();
                bounded(concat!("kernel::", stringify!($name)), super::$name::<Kernel>);
            })+
        }

        mod ours {
            use $crate::{watchdog::bounded, world::{Ours, $guard}};
            $(#[test] fn $name() {
                let _guard = $guard();
                bounded(concat!("ours::", stringify!($name)), super::$name::<Ours>);
            })+
        }
    };
}

pub(crate) use {both, both_alone, both_in_process, both_under, in_process};
