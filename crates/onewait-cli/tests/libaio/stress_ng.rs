//! stress-ng verifies what its requests return. It makes all of the kernel's calls by `syscall`.

use crate::common::watched::{Disk, drivers};
use crate::{assert_served, succeeds};

#[test]
fn stress_ng_verifies_its_requests() {
    for driver in drivers("stress-ng") {
        for requests in ["1", "16", "128"] {
            let disk = Disk::new();
            let arguments = ["--aiol", "4", "--aiol-ops", "4000", "--aiol-requests", requests, "--verify"];
            let place = ["--temp-path", disk.0.to_str().unwrap()];
            let (_, report) = succeeds(&driver, &disk, &[&["stress-ng"], &arguments[..], &place].concat());
            assert_served(&report);
        }
    }
}
