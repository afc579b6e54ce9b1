//! One wait for everything.

#[cfg_attr(not(test), expect(dead_code, reason = "the turn that runs the timers is not here yet"))]
pub(crate) mod wheel;
