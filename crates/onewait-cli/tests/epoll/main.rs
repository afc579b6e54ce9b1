//! Servers that nobody wrote for onewait, under `onewait run --epoll`, and with `--spin`: they answer as they should, and
//! the statistics say that their waits came through onewait.
//!
//! They come from the distribution's packages; where one is missing, its tests say so and check nothing. No driver has a
//! part in it, so each runs once.

#[path = "../common/mod.rs"]
mod common;

mod memcached;
mod nginx;
mod redis;
mod server;

use serde_json::Value;

/// What is asked for, and what it is called.
const MODES: [&[&str]; 2] = [&["--epoll"], &["--epoll", "--spin", "50us"]];

/// So many epolls were made, changes and waits came through at least; and who is to look finds something now and then.
#[track_caller]
fn assert_served(report: &Value, mode: &[&str], made: u64, changes: u64, waits: u64) {
    let count = |key: &str| report["epoll"][key].as_u64().unwrap_or_else(|| panic!("{key}: {report:#}"));
    assert!(count("made") >= made, "{report:#}");
    assert!(count("changes") >= changes, "{report:#}");
    assert!(count("waits_awake") + count("waits_asleep") >= waits, "{report:#}");
    if mode.contains(&"--spin") {
        assert!(count("waits_awake") > 0, "{report:#}");
    }
}
