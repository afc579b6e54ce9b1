//! fio reads back and verifies what it wrote with its libaio engine.

use crate::common::watched::{Disk, drivers, told, watched};
use crate::{assert_served, succeeds};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Output;

const FIXED: [&str; 9] = [
    "fio",
    "--name=job",
    "--ioengine=libaio",
    "--bs=4k",
    "--verify=crc32c",
    "--verify_fatal=1",
    "--verify_state_save=0",
    "--randrepeat=1",
    "--output-format=terse",
];

/// Runs fio's verification on every driver; gives the statistics.
#[track_caller]
fn verify(wish: &[&str]) -> Vec<Value> {
    let mut reports = Vec::new();
    for driver in drivers("fio") {
        let disk = Disk::new();
        let place = format!("--directory={}", disk.0.display());
        let (_, report) = succeeds(&driver, &disk, &[&FIXED[..], wish, &[&place]].concat());
        assert_served(&report);
        reports.push(report);
    }
    reports
}

#[test]
fn fio_verifies_random_writes_with_o_direct() {
    for depth in ["1", "32", "128"] {
        verify(&["--direct=1", "--rw=randwrite", "--size=4M", &format!("--iodepth={depth}")]);
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
        verify(&["--rw=randwrite", "--size=2M", "--iodepth=32", sync]);
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
fn fio_verifies_blocks_of_many_sizes_in_batches() {
    let batches = ["--iodepth_batch=8", "--iodepth_batch_complete_min=4", "--bsrange=512-256k", "--bs_unaligned=1"];
    verify(&[&["--rw=randwrite", "--size=8M", "--iodepth=32"], &batches[..]].concat());
}

/// The priority goes into each request, by its flag.
#[test]
fn fio_verifies_requests_with_priorities() {
    let priority = ["--cmdprio_percentage=50", "--cmdprio_class=2", "--cmdprio=1"];
    verify(&[&["--rw=randwrite", "--size=4M", "--iodepth=16", "--direct=1"], &priority[..]].concat());
}

/// It would read the kernel's ring itself, finds that there is none, and asks as others do.
#[test]
fn fio_verifies_when_it_would_reap_by_itself() {
    for direct in ["0", "1"] {
        let direct = format!("--direct={direct}");
        verify(&["--rw=randwrite", "--size=4M", "--iodepth=16", "--userspace_reap", &direct]);
    }
}

/// The buffered requests are the engine's, which counts them.
#[test]
fn fio_is_served_by_the_engine() {
    for report in verify(&["--rw=randwrite", "--size=4M", "--iodepth=16"]) {
        assert!(report["requests"]["write"]["submitted"].as_u64() >= Some(1024), "{report:#}");
        assert!(report["requests"]["read"]["submitted"].as_u64() >= Some(1024), "{report:#}");
    }
}

/// Else all of the above would prove nothing.
#[test]
fn fio_finds_a_wrong_block_through_onewait() {
    for driver in drivers("fio") {
        let (disk, stats) = (Disk::new(), Disk::new());
        let file = disk.0.join("file");
        let name = format!("--filename={}", file.display());
        let wish = [&FIXED[..], &["--rw=randwrite", "--size=1M", "--iodepth=32", &name]].concat();
        let _: (Output, Value) = succeeds(&driver, &disk, &wish);
        fs::File::options().write(true).open(&file).unwrap().write_all_at(&[0x5a; 100], 33 * 4096 + 1000).unwrap();
        let (done, _) = watched(&driver, &stats, &disk, &[&wish[..], &["--verify_only"]].concat());
        assert!(!done.status.success(), "fio on {driver} finds nothing wrong: {}", told(&done));
        assert!(told(&done).contains("verify"), "{}", told(&done));
    }
}
