//! Programs that nobody wrote for onewait run under `onewait run`, and their own checks pass: fio reads back and verifies
//! what it wrote, stress-ng verifies what its requests return. The driver is the one that ONEWAIT_DRIVER names, or each.
//!
//! Both come from the distribution's packages; where one is missing, its tests say so and check nothing.

mod common;

use common::fio;
use common::watched::{Disk, assert_clean, drivers, told, watched};

const ENGINE: &str = "posixaio";

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

#[test]
fn fio_finds_a_wrong_block_through_onewait() {
    fio::finds_a_wrong_block(ENGINE);
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

/// Its files and its statistics must be right.
#[track_caller]
fn verify(wish: &[&str]) {
    fio::verify(ENGINE, wish, assert_clean);
}
