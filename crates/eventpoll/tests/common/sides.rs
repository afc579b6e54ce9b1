//! Runs a test on both sides.

/// Makes of each `fn name<W: World>()` two tests, `kernel::name` and `ours::name`, and lists the names for the
/// check that each rule has a test.
macro_rules! both {
    ($($name:ident),+ $(,)?) => {
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
pub(crate) use both;
