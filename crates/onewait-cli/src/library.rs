//! `libonewait.so`, carried inside the command and put where the loader can map it.
//!
//! The file goes into a directory that only this user can write to, under a name that carries its content's hash: every
//! version of the command finds its own library, and a program that runs for weeks keeps the one that it started with.

use crate::say;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};
use std::{env, fmt};

/// The library, as `build.rs` made it.
static CONTENT: &[u8] = include_bytes!(env!("ONEWAIT_LIBRARY"));
/// Tells versions apart in file names. Not what trust rests on: the whole content is compared before reuse.
const HASH: &str = env!("ONEWAIT_LIBRARY_HASH");

/// Libraries of other versions that nobody used for so long are removed.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 3600);
/// How stale the time stamp of a library in use may be.
const REFRESH: Duration = Duration::from_secs(24 * 3600);

/// Why the library could not be put anywhere: each place tried, and what was wrong with it.
#[derive(Debug)]
pub(crate) struct NoPlace(Vec<(PathBuf, io::Error)>);

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found no directory to keep libonewait.so in; set XDG_CACHE_HOME to one that is yours:")?;
        self.0.iter().try_for_each(|(place, error)| write!(f, "\n  {}: {error}", place.display()))
    }
}

/// Prints where the library is, for those who set LD_PRELOAD or link by hand.
pub(crate) fn print() -> ExitCode {
    match path() {
        Ok(path) if say::result(format_args!("{}\n", path.display())) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say::message(format_args!("onewait: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The library's path; the file is written if it is not there yet.
///
/// # Errors
/// [`NoPlace`] if no directory is writable, private, and on a file system from which code may be mapped.
pub(crate) fn path() -> Result<PathBuf, NoPlace> {
    let mut failures = Vec::new();
    for place in places() {
        match place_in(&place) {
            Ok(path) => return Ok(path),
            Err(error) => failures.push((place, error)),
        }
    }
    Err(NoPlace(failures))
}

/// Directories to try, the best first.
fn places() -> Vec<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let mut places = Vec::new();
    if let Some(cache) = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))) {
        places.push(cache.join("onewait"));
    }
    if let Some(runtime) = absolute("XDG_RUNTIME_DIR") {
        places.push(runtime.join("onewait"));
    }
    let name = format!("onewait-{}", geteuid().as_raw());
    places.push(Path::new("/tmp").join(&name));
    places.push(Path::new("/dev/shm").join(&name));
    places
}

fn place_in(place: &Path) -> io::Result<PathBuf> {
    let directory = private_directory(place)?;
    let path = directory.join(format!("libonewait-{HASH}.so"));
    if !is_current(&path) {
        write(&directory, &path)?;
        forget_old(&directory);
    }
    Ok(path)
}

/// Makes `place` if need be, and sees to it that nobody else can replace what lies in it.
fn private_directory(place: &Path) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(place)?;
    // The library's place must not change hands by a symbolic link on the way to it.
    let directory = fs::canonicalize(place)?;
    let user = geteuid().as_raw();
    let metadata = fs::symlink_metadata(&directory)?;
    if metadata.uid() != user {
        return Err(io::Error::other("belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
    }
    for ancestor in directory.ancestors().skip(1) {
        let metadata = fs::symlink_metadata(ancestor)?;
        let is_trusted = metadata.uid() == user || metadata.uid() == 0;
        let is_open = metadata.mode() & 0o1002 == 0o0002;
        if !is_trusted || is_open {
            return Err(io::Error::other(format!("{} can be changed by another user", ancestor.display())));
        }
    }
    if directory.as_os_str().as_bytes().iter().any(|byte| b" :$\t\n".contains(byte)) {
        return Err(io::Error::other("the loader cannot read a path with a space, a colon or a dollar in LD_PRELOAD"));
    }
    if statvfs(&directory)?.flags().contains(FsFlags::ST_NOEXEC) {
        return Err(io::Error::other("is on a file system mounted noexec"));
    }
    Ok(directory)
}

/// Whether `path` holds this very library; notes that it is in use.
fn is_current(path: &Path) -> bool {
    if !fs::read(path).is_ok_and(|content| content == CONTENT) {
        return false;
    }
    // Housekeeping only: a library whose time stamp cannot be set is as good.
    if let Ok(file) = File::open(path)
        && is_older(&file, REFRESH)
    {
        let _ = file.set_modified(SystemTime::now());
    }
    true
}

/// Writes the library beside `path` and moves it there, so that no other process ever sees a part of it.
fn write(directory: &Path, path: &Path) -> io::Result<()> {
    let draft = directory.join(format!(".libonewait-{HASH}.{}", std::process::id()));
    // Left by a process that had our number and was killed.
    let _ = fs::remove_file(&draft);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&draft)
        .and_then(|mut file| file.write_all(CONTENT))
        .and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written
}

/// Removes libraries and drafts that nobody used for a month. What cannot be removed stays.
fn forget_old(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_string_lossy().trim_start_matches('.').starts_with("libonewait-");
        if is_ours && File::open(entry.path()).is_ok_and(|file| is_older(&file, FORGOTTEN)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_older(file: &File, age: Duration) -> bool {
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|elapsed| elapsed > age))
}
