//! sysbench's file test with asynchronous requests: it ends with an error if one of them fails or is short.
//!
//! Its own validation of checksums is of no use here: it looks at a block when it has submitted the read, so that it fails
//! on the kernel's AIO, too, unless a read is done in the call.

use crate::common::watched::{Disk, drivers};
use crate::{assert_served, succeeds};

fn step<'a>(mode: &'a str, flags: &'a str, step: &'a str) -> Vec<&'a str> {
    let fixed = ["sysbench", "fileio", "--file-num=4", "--file-total-size=16M", "--file-io-mode=async", "--threads=4"];
    let bounds = ["--file-block-size=4096", "--events=8000", "--time=20", "--file-async-backlog=32"];
    [&fixed[..], &bounds, &[mode, flags, step]].concat()
}

#[test]
fn sysbench_runs_with_asynchronous_requests() {
    for driver in drivers("sysbench") {
        for mode in ["--file-test-mode=rndrw", "--file-test-mode=seqrewr"] {
            for flags in ["--file-extra-flags=", "--file-extra-flags=direct"] {
                let disk = Disk::new();
                succeeds(&driver, &disk, &step(mode, flags, "prepare"));
                let (_, report) = succeeds(&driver, &disk, &step(mode, flags, "run"));
                assert_served(&report);
                succeeds(&driver, &disk, &step(mode, flags, "cleanup"));
            }
        }
    }
}
