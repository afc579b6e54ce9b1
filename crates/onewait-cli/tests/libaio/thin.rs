//! The tools for thin volumes: thin_restore writes metadata, thin_check checks it, thin_dump reads it back.

use crate::common::stdout;
use crate::common::watched::drivers;
use crate::common::watched::{Disk, told, watched};
use crate::{assert_served, succeeds};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// As many mappings as need some hundred blocks of metadata.
fn lay_out(disk: &Path) {
    let mut text = String::from(
        "<superblock uuid=\"\" time=\"1\" transaction=\"2\" data_block_size=\"128\" nr_data_blocks=\"100000\">\n",
    );
    for device in 1..=4 {
        text += &format!(
            "<device dev_id=\"{device}\" mapped_blocks=\"5000\" transaction=\"0\" creation_time=\"0\" snap_time=\"1\">\n"
        );
        for block in 0..5000 {
            let data = (device - 1) * 10000 + block * 2;
            let origin = block * 3;
            text += &format!("<single_mapping origin_block=\"{origin}\" data_block=\"{data}\" time=\"0\"/>\n");
        }
        text += "</device>\n";
    }
    fs::write(disk.join("thin.xml"), text + "</superblock>\n").unwrap();
    fs::File::create(disk.join("metadata")).unwrap().set_len(8 << 20).unwrap();
}

#[test]
fn thin_check_accepts_what_thin_restore_wrote() {
    for driver in drivers("thin_restore") {
        let disk = Disk::new();
        lay_out(&disk.0);
        let (_, report) = succeeds(&driver, &disk, &["thin_restore", "-i", "thin.xml", "-o", "metadata"]);
        assert_served(&report);
        let (_, report) = succeeds(&driver, &disk, &["thin_check", "metadata"]);
        assert_served(&report);
        let (done, report) = succeeds(&driver, &disk, &["thin_dump", "metadata"]);
        assert_served(&report);
        assert_eq!(stdout(&done).matches("<single_mapping").count(), 20000);
    }
}

/// Else the above would prove little.
#[test]
fn thin_check_finds_damage_through_onewait() {
    for driver in drivers("thin_restore") {
        let (disk, stats) = (Disk::new(), Disk::new());
        lay_out(&disk.0);
        succeeds(&driver, &disk, &["thin_restore", "-i", "thin.xml", "-o", "metadata"]);
        let file = fs::File::options().write(true).open(disk.0.join("metadata")).unwrap();
        for block in 1..60 {
            file.write_all_at(&[0x5a; 64], block * 4096 + 512).unwrap();
        }
        let (done, _) = watched(&driver, &stats, &disk, &["thin_check", "metadata"]);
        assert_eq!(done.status.code(), Some(1), "{}", told(&done));
    }
}
