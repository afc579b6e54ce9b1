//! What is remembered of an epoll, by its number: whether looking was of use there. Hints, so that a number that is closed,
//! dupped, inherited or not seen by us before needs no care.

use onewait::reactor::SharedSpin;
use std::ffi::c_int;

/// Numbers that are so far apart share a place.
const PLACES: usize = 256;

static SPINS: [SharedSpin; PLACES] = [const { SharedSpin::new() }; PLACES];

pub(super) fn spin_of(epoll: c_int) -> &'static SharedSpin {
    &SPINS[epoll as usize % PLACES]
}
