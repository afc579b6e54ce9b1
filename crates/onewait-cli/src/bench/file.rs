//! The file that is measured on.
//!
//! It never has a name that could be left behind: it goes with the last process that holds it open, however that
//! ends. The children find it through the descriptor that they inherit.

use super::row::{BLOCK, Cache};
use super::worker::fill;
use nix::fcntl::{FallocateFlags, FcntlArg, FdFlag, PosixFadviseAdvice, fallocate, fcntl, posix_fadvise};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::sys::statvfs::statvfs;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr;

/// Bytes written at a time while the file is laid out.
const PIECE: usize = 1 << 20;

/// What must be free beside the file itself: nobody's disk is filled to the last byte by a benchmark.
const RESERVE: u64 = 64 << 20;

/// tmpfs's older brother, from linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);

/// An unnamed file in the user's directory, full of data that does not compress.
#[derive(Debug)]
pub(crate) struct TestFile {
    file: File,
    size: u64,
}

impl TestFile {
    /// Creates the file in `directory` and fills it; `progress` hears of each piece's bytes.
    ///
    /// # Errors
    /// A message for the user: no such directory, no right to write there, no room (with the numbers).
    pub(crate) fn create(directory: &Path, size: u64, progress: impl Fn(u64)) -> Result<TestFile, String> {
        let place = directory.display();
        let room = statvfs(directory).map_err(|error| format!("cannot use {place}: {}", error.desc()))?;
        let free = room.blocks_available() * room.fragment_size();
        if free < size.saturating_add(RESERVE) {
            return Err(format!(
                "no room: the test file needs {} in {place} and leaves {} free, but only {} are there; take a smaller \
                 --size, or another directory with --file",
                bytes(size),
                bytes(RESERVE),
                bytes(free)
            ));
        }
        let file = unnamed(directory).map_err(|error| format!("cannot create a file in {place}: {error}"))?;
        let fill = || -> io::Result<()> {
            // One extent where the file system can. Not needed, so also not an error where it cannot.
            let _ = fallocate(&file, FallocateFlags::empty(), 0, size as i64);
            lay_out(&file, size, &progress)?;
            file.sync_all()
        };
        fill().map_err(|error| format!("cannot write the test file in {place}: {error}"))?;
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|error| format!("cannot hand on the test file: {}", error.desc()))?;
        let file = TestFile { file, size };
        File::open(file.path()).map_err(|error| {
            format!(
                "the file system of {place} does not open an unnamed file again ({error}); take another with --file"
            )
        })?;
        Ok(file)
    }

    /// Where this process and its children can open the file.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Why the file system cannot do the rows of `cache`, if it cannot; found out by trying.
    pub(crate) fn refusal(&self, cache: Cache) -> Option<String> {
        match cache {
            Cache::Cached => None,
            _ if self.in_memory() => Some(match cache {
                // Since Linux 6.6 tmpfs takes the flag, and then reads through the page cache all the same.
                Cache::Direct => "tmpfs has no O_DIRECT: its files are the page cache".into(),
                _ => "tmpfs keeps its files in memory: there is nothing to drop them to".into(),
            }),
            Cache::Direct => self.try_direct().err().map(|error| format!("no O_DIRECT here: {error}")),
            Cache::Uncached => match self.try_drop() {
                Ok(0) => None,
                Ok(kept) => Some(format!("the file system keeps {kept} % of the pages that it was told to drop")),
                Err(error) => Some(format!("the file system does not drop pages: {error}")),
            },
        }
    }

    fn in_memory(&self) -> bool {
        fstatfs(&self.file).is_ok_and(|stat| [TMPFS_MAGIC, RAMFS_MAGIC].contains(&stat.filesystem_type()))
    }

    /// Opens the file with O_DIRECT, and reads a block: some file systems refuse only the second.
    fn try_direct(&self) -> io::Result<()> {
        #[repr(align(4096))]
        struct Block([u8; BLOCK]);
        let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(self.path())?;
        let mut block = Block([0; BLOCK]);
        file.read_exact_at(&mut block.0, 0)
    }

    /// Drops the pages, and returns the per cent that stayed, rounded down.
    fn try_drop(&self) -> io::Result<u64> {
        drop_pages(&self.file)?;
        let (resident, pages) = residency(&self.file, self.size as usize)?;
        Ok((resident * 100).checked_div(pages).unwrap_or(0) as u64)
    }
}

/// A size as people write it.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..0x10_0000 => format!("{:.0} KiB", count as f64 / 1024.0),
        0x10_0000..0x4000_0000 => format!("{:.0} MiB", count as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", count as f64 / f64::from(1 << 30)),
    }
}

/// Drops the clean pages of the whole file from the page cache.
pub(crate) fn drop_pages(file: &File) -> io::Result<()> {
    file.sync_data()?;
    Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}

/// Tells the kernel not to read ahead through this open file.
pub(crate) fn expect_random(file: &File) -> io::Result<()> {
    Ok(posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_RANDOM)?)
}

/// A new file that has no name, or had one for an instant where the file system knows no O_TMPFILE.
fn unnamed(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(libc::O_TMPFILE).open(directory) {
        Err(error) if [Some(libc::EOPNOTSUPP), Some(libc::EISDIR)].contains(&error.raw_os_error()) => {}
        opened => return opened,
    }
    let name = directory.join(format!(".onewait-bench.{}", std::process::id()));
    let file = options.create_new(true).open(&name)?;
    std::fs::remove_file(&name)?;
    Ok(file)
}

fn lay_out(mut file: &File, size: u64, progress: &impl Fn(u64)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < size {
        let length = PIECE.min((size - at) as usize);
        fill(&mut piece[..length], at);
        file.write_all(&piece[..length])?;
        at += length as u64;
        progress(length as u64);
    }
    Ok(())
}

/// How many of the first `length` bytes' pages are in the page cache, and how many pages there are.
fn residency(file: &File, length: usize) -> io::Result<(usize, usize)> {
    let mut pages = vec![0_u8; length.div_ceil(BLOCK)];
    // SAFETY: a mapping of its own that nobody else knows, without access to its bytes; mincore writes one byte for
    // each page of the system, which are at least as large as BLOCK, so no more than `pages` holds; unmapped at once.
    let status = unsafe {
        let map = libc::mmap(ptr::null_mut(), length, libc::PROT_NONE, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let status = match libc::mincore(map, length, pages.as_mut_ptr().cast()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        libc::munmap(map, length);
        status
    };
    status?;
    Ok((pages.iter().filter(|page| **page & 1 == 1).count(), pages.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(bytes(8192), "8 KiB");
        assert_eq!(bytes(3 << 20), "3 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }

    #[test]
    fn a_file_without_a_name_leaves_nothing() {
        let directory = std::env::temp_dir().join(format!("onewait-file-{}", std::process::id()));
        std::fs::create_dir(&directory).expect("a new directory");
        let file = TestFile::create(&directory, 1 << 20, |_| {}).expect("room for a mebibyte");
        assert_eq!(File::open(file.path()).and_then(|f| f.metadata()).expect("open again").len(), 1 << 20);
        std::fs::remove_dir(&directory).expect("an empty directory");
    }

    #[test]
    fn a_file_larger_than_the_disk_is_refused_with_the_numbers() {
        let refused = TestFile::create(&std::env::temp_dir(), 1 << 60, |_| {}).expect_err("no such disk");
        assert!(refused.starts_with("no room") && refused.contains("GiB"), "{refused}");
    }
}
