//! fio reads back and verifies what it wrote with its libaio engine.

use crate::assert_served;
use crate::common::fio;
use serde_json::Value;

const ENGINE: &str = "libaio";

/// Gives the statistics.
#[track_caller]
fn verify(wish: &[&str]) -> Vec<Value> {
    fio::verify(ENGINE, wish, |_, report, _| assert_served(report))
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

#[test]
fn fio_finds_a_wrong_block_through_onewait() {
    fio::finds_a_wrong_block(ENGINE);
}
