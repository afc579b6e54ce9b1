//! Runs a test on both sides.

/// Makes of each `fn name<W: World>()` two tests, `kernel::name` and `ours::name`, and lists the names for the
/// check that each rule has a test.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
        #[allow(dead_code, reason = "only the check that each rule has a test reads it")]
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];

        mod kernel {
            use crate::common::{kernel::Kernel, watchdog::bounded};
            $(#[test] fn $name() { bounded(concat!("kernel::", stringify!($name)), super::$name::<Kernel>); })+
        }

        mod ours {
            use crate::common::{ours::Ours, watchdog::bounded};
            $(#[test] fn $name() { bounded(concat!("ours::", stringify!($name)), super::$name::<Ours>); })+
        }
    };
}

/// As `both`, for a `fn name()` that only our side can play.
macro_rules! ours_alone {
    ($($name:ident),+ $(,)?) => {
        #[allow(dead_code, reason = "only the check that each rule has a test reads it")]
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),+];

        mod ours {
            use crate::common::watchdog::bounded;
            $(#[test] fn $name() { bounded(concat!("ours::", stringify!($name)), super::$name); })+
        }
    };
}

pub(crate) use both;
pub(crate) use ours_alone;
