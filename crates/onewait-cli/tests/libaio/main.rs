//! Programs that use libaio or the kernel's AIO, unchanged under `onewait run`; their own checks pass. The driver is the
//! one that ONEWAIT_DRIVER names, or each.
//!
//! They come from the distribution's packages (caio: from PyPI); where one is missing, its tests say so and check nothing.

#[path = "../common/mod.rs"]
mod common;

mod caio;
mod fio;
mod mariadb;
mod qemu;
mod stress_ng;
mod sysbench;
mod thin;

use common::watched::{Disk, told, watched};
use serde_json::Value;
use std::process::Output;

/// Runs the program in the directory, which must succeed: what it said, and its statistics.
#[track_caller]
fn succeeds(driver: &str, disk: &Disk, program: &[&str]) -> (Output, Value) {
    let stats = Disk::new();
    let (done, report) = watched(driver, &stats, disk, program);
    assert!(done.status.success(), "{program:?} on {driver}: {}", told(&done));
    (done, report)
}

/// All contexts were served, none was left to the kernel, and every request has ended.
#[track_caller]
fn assert_served(report: &Value) {
    assert!(report["libaio"]["contexts"].as_u64() > Some(0), "no context came through: {report:#}");
    assert_eq!(report["libaio"]["contexts_left_to_kernel"], 0, "{report:#}");
    assert_all_ended(report);
}

#[track_caller]
fn assert_all_ended(report: &Value) {
    let sum = |field: &str| {
        let kinds = report["requests"].as_object().unwrap_or_else(|| panic!("no requests: {report:#}"));
        kinds.values().filter_map(|kind| kind[field].as_u64()).sum::<u64>()
    };
    assert_eq!(sum("completed"), sum("submitted"), "{report:#}");
    assert_eq!(report["events"]["cancelled"], sum("failed"), "{report:#}");
}

/// Nothing was served, and the report says why.
#[track_caller]
fn assert_left_to_the_kernel(report: &Value) {
    assert!(report["libaio"]["contexts_left_to_kernel"].as_u64() > Some(0), "no context was seen: {report:#}");
    assert_eq!(report["libaio"]["contexts"], 0, "{report:#}");
    assert!(report["libaio"]["why"].as_str().is_some_and(|why| !why.is_empty()), "{report:#}");
}
