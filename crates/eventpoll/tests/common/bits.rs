//! The bits of an interest and of an event, as numbers: the tests speak to both sides in these.

use std::fmt;

pub(crate) const IN: u32 = 0x1;
pub(crate) const PRI: u32 = 0x2;
pub(crate) const OUT: u32 = 0x4;
pub(crate) const ERR: u32 = 0x8;
pub(crate) const HUP: u32 = 0x10;
pub(crate) const RDNORM: u32 = 0x40;
pub(crate) const WRNORM: u32 = 0x100;
pub(crate) const RDHUP: u32 = 0x2000;
pub(crate) const EXCLUSIVE: u32 = 1 << 28;
pub(crate) const WAKEUP: u32 = 1 << 29;
pub(crate) const ONESHOT: u32 = 1 << 30;
pub(crate) const ET: u32 = 1 << 31;

const NAMES: [(u32, &str); 12] = [
    (IN, "IN"),
    (PRI, "PRI"),
    (OUT, "OUT"),
    (ERR, "ERR"),
    (HUP, "HUP"),
    (RDNORM, "RDNORM"),
    (WRNORM, "WRNORM"),
    (RDHUP, "RDHUP"),
    (EXCLUSIVE, "EXCLUSIVE"),
    (WAKEUP, "WAKEUP"),
    (ONESHOT, "ONESHOT"),
    (ET, "ET"),
];

/// Prints bits by name; what has no name is printed as a number.
pub(crate) struct Named(pub(crate) u32);

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        let mut parts = Vec::new();
        for (bit, name) in NAMES {
            if left & bit != 0 {
                parts.push(name.to_owned());
                left &= !bit;
            }
        }
        if left != 0 || parts.is_empty() {
            parts.push(format!("{left:#x}"));
        }
        f.write_str(&parts.join("|"))
    }
}
