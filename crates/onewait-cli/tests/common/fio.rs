//! fio, which reads back and verifies what it wrote.

use super::watched::{Disk, drivers, told, watched};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Output;

/// Runs fio's verification on every driver. It has to succeed, and its statistics to pass the check, which gets the driver,
/// them, and what fio said. Gives the statistics.
#[track_caller]
pub(crate) fn verify(engine: &str, wish: &[&str], check: impl Fn(&str, &Value, &Output)) -> Vec<Value> {
    let mut reports = Vec::new();
    for driver in drivers("fio") {
        let disk = Disk::new();
        let place = format!("--directory={}", disk.0.display());
        let (done, report) = fio(engine, &driver, &disk, &[wish, &[&place]].concat());
        assert!(done.status.success(), "fio {wish:?} on {driver}: {}", told(&done));
        check(&driver, &report, &done);
        reports.push(report);
    }
    reports
}

/// Else no verification would prove anything.
pub(crate) fn finds_a_wrong_block(engine: &str) {
    for driver in drivers("fio") {
        let disk = Disk::new();
        let file = disk.0.join("file");
        let name = format!("--filename={}", file.display());
        let wish = ["--rw=randwrite", "--size=1M", "--iodepth=32", &name];
        let (done, _) = fio(engine, &driver, &disk, &wish);
        assert!(done.status.success(), "{}", told(&done));
        fs::File::options().write(true).open(&file).unwrap().write_all_at(&[0x5a; 100], 33 * 4096 + 1000).unwrap();
        let (done, _) = fio(engine, &driver, &disk, &[&wish[..], &["--verify_only"]].concat());
        assert!(!done.status.success(), "fio on {driver} finds nothing wrong: {}", told(&done));
        assert!(told(&done).contains("verify"), "{}", told(&done));
    }
}

fn fio(engine: &str, driver: &str, disk: &Disk, wish: &[&str]) -> (Output, Value) {
    let engine = format!("--ioengine={engine}");
    let fixed = ["--name=job", &engine, "--bs=4k", "--verify=crc32c", "--verify_fatal=1"];
    let quiet = ["--verify_state_save=0", "--randrepeat=1", "--output-format=terse"];
    let stats = Disk::new();
    watched(driver, &stats, disk, &[&["fio"], &fixed[..], &quiet, wish].concat())
}
