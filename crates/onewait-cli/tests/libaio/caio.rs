//! Python's caio: coroutines over the kernel's AIO, all by `syscall`. `ONEWAIT_TEST_PYTHON` names a Python that has it.

use crate::common::watched::{Disk, drivers};
use crate::common::{skip, stdout};
use crate::{assert_served, succeeds};
use std::process::Command;

/// Writes, syncs and reads back, many at a time, and compares.
const PROGRAM: &str = r#"
import asyncio, hashlib, os, sys
from caio import linux_aio
from caio.linux_aio_asyncio import AsyncioContext

assert "linux_aio" in linux_aio.__name__
BLOCK, BLOCKS = 8192, 256

def content(block, version):
    return (hashlib.sha256(f"{block} {version}".encode()).digest() * (BLOCK // 32))

async def main():
    fd = os.open("file", os.O_RDWR | os.O_CREAT)
    async with AsyncioContext(64) as context:
        for version in range(3):
            await asyncio.gather(*(
                context.write(content(block, version), fd, block * BLOCK) for block in range(BLOCKS)
            ))
            await context.fdsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            read = await asyncio.gather(*(context.read(BLOCK, fd, block * BLOCK) for block in range(BLOCKS)))
            for block, data in enumerate(read):
                assert data == content(block, version), f"block {block} of version {version}"
    with open("file", "rb") as file:
        for block in range(BLOCKS):
            assert file.read(BLOCK) == content(block, 2)
    print("all as written")

asyncio.run(main())
"#;

#[test]
fn caio_reads_what_it_wrote() {
    let python = std::env::var("ONEWAIT_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_it = Command::new(&python).args(["-c", "import caio.linux_aio"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skip::<()>(&format!("{python} has no caio (ONEWAIT_TEST_PYTHON names another)"));
        return;
    }
    for driver in drivers(&python) {
        let disk = Disk::new();
        let (done, report) = succeeds(&driver, &disk, &[&python, "-c", PROGRAM]);
        assert_eq!(stdout(&done), "all as written\n");
        assert_served(&report);
        assert!(report["requests"]["read"]["submitted"].as_u64() >= Some(768), "{report:#}");
    }
}
