//! Programs that nobody wrote for onewait run under `onewait run`, and their own checks pass: fio reads back and verifies
//! what it wrote, stress-ng verifies what its requests return. The driver is the one that ONEWAIT_DRIVER names, or each.
//!
//! Both come from the distribution's packages; where one is missing, its tests say so and check nothing.

mod common;

use common::watched::{Disk, assert_clean, drivers, told, watched};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Output;

#[test]
fn fio_verifies_random_writes_with_o_direct() {
    for depth in ["1", "32", "128"] {
        verify(&["--direct=1", "--rw=randwrite", "--size=8M", &format!("--iodepth={depth}")]);
    }
}

#[test]
fn fio_verifies_random_writes_through_the_page_cache() {
    for depth in ["1", "32", "128"] {
        for block in ["4k", "1k"] {
            verify(&["--rw=randwrite", "--size=4M", &format!("--bs={block}"), &format!("--iodepth={depth}")]);
        }
    }
}

#[test]
fn fio_verifies_writes_between_reads() {
    for direct in ["0", "1"] {
        verify(&["--rw=randrw", "--size=8M", "--iodepth=16", &format!("--direct={direct}")]);
    }
}

#[test]
fn fio_verifies_while_it_writes() {
    verify(&["--rw=randwrite", "--size=8M", "--iodepth=32", "--verify_backlog=64"]);
}

#[test]
fn fio_verifies_what_it_synchronises() {
    for sync in ["--fsync=16", "--fdatasync=16"] {
        for depth in ["1", "32"] {
            verify(&["--rw=randwrite", "--size=2M", sync, &format!("--iodepth={depth}")]);
        }
    }
}

#[test]
fn fio_verifies_jobs_that_are_threads_of_one_process() {
    for direct in ["0", "1"] {
        let direct = format!("--direct={direct}");
        verify(&["--thread", "--numjobs=4", "--rw=randwrite", "--size=4M", "--iodepth=16", &direct]);
    }
}

#[test]
fn fio_verifies_jobs_that_are_processes() {
    verify(&["--numjobs=4", "--rw=randwrite", "--size=4M", "--iodepth=16"]);
}

#[test]
fn fio_verifies_blocks_of_many_sizes() {
    verify(&["--rw=randwrite", "--size=8M", "--iodepth=32", "--bsrange=512-256k", "--bs_unaligned=1"]);
}

/// Else all of the above would prove nothing.
#[test]
fn fio_finds_a_wrong_block_through_onewait() {
    for driver in drivers("fio") {
        let disk = Disk::new();
        let file = disk.0.join("file");
        let name = format!("--filename={}", file.display());
        let wish = ["--rw=randwrite", "--size=1M", "--iodepth=32", &name];
        let (done, _) = fio(&driver, &disk, &wish);
        assert!(done.status.success(), "{}", told(&done));
        fs::File::options().write(true).open(&file).unwrap().write_all_at(&[0x5a; 100], 33 * 4096 + 1000).unwrap();
        let (done, _) = fio(&driver, &disk, &[&wish[..], &["--verify_only"]].concat());
        assert!(!done.status.success(), "fio on {driver} finds nothing wrong: {}", told(&done));
        assert!(told(&done).contains("verify"), "{}", told(&done));
    }
}

#[test]
fn stress_ng_verifies_its_requests() {
    for driver in drivers("stress-ng") {
        for requests in ["1", "16", "128"] {
            let (disk, stats) = (Disk::new(), Disk::new());
            let arguments = ["--aio", "4", "--aio-ops", "8000", "--aio-requests", requests, "--verify", "--temp-path"];
            let path = disk.0.to_str().unwrap();
            let (done, report) = watched(&driver, &stats, &disk, &[&["stress-ng"], &arguments[..], &[path]].concat());
            assert!(done.status.success(), "stress-ng on {driver}: {}", told(&done));
            assert_clean(&driver, &report, &done);
        }
    }
}

/// Runs fio's verification on every driver; its files and its statistics must be right.
#[track_caller]
fn verify(wish: &[&str]) {
    for driver in drivers("fio") {
        let disk = Disk::new();
        let place = format!("--directory={}", disk.0.display());
        let (done, report) = fio(&driver, &disk, &[wish, &[&place]].concat());
        assert!(done.status.success(), "fio {wish:?} on {driver}: {}", told(&done));
        assert_clean(&driver, &report, &done);
    }
}

fn fio(driver: &str, disk: &Disk, wish: &[&str]) -> (Output, Value) {
    let fixed = ["--name=job", "--ioengine=posixaio", "--bs=4k", "--verify=crc32c", "--verify_fatal=1"];
    let quiet = ["--verify_state_save=0", "--randrepeat=1", "--output-format=terse"];
    let stats = Disk::new();
    watched(driver, &stats, disk, &[&["fio"], &fixed[..], &quiet, wish].concat())
}
