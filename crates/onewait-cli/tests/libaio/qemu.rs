//! qemu-img with native AIO. It reads completions out of the kernel's ring itself, so its contexts are left to the kernel:
//! it must work as ever, and the statistics must say so.

use crate::common::watched::{Disk, drivers};
use crate::{assert_left_to_the_kernel, succeeds};
use std::fs;

#[test]
fn qemu_img_runs_on_the_kernels_aio_and_is_told_about() {
    const SIZE: usize = 8 << 20;
    for driver in drivers("qemu-img") {
        let disk = Disk::new();
        let image = disk.0.join("image");
        fs::write(&image, vec![0x11; SIZE]).unwrap();
        let bench = ["qemu-img", "bench", "-f", "raw", "-t", "none", "-i", "native", "-d", "32", "-s", "4096"];
        let (_, report) = succeeds(&driver, &disk, &[&bench[..], &["-c", "4000", "image"]].concat());
        assert_left_to_the_kernel(&report);
        let write = ["-w", "--pattern=90", "-c", "2048", "image"];
        let (_, report) = succeeds(&driver, &disk, &[&bench[..], &write].concat());
        assert_left_to_the_kernel(&report);
        let content = fs::read(&image).unwrap();
        assert_eq!(content.len(), SIZE);
        assert!(content.iter().all(|byte| *byte == 90), "the pattern did not arrive");
    }
}
