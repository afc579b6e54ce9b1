//! Which file a program's name means: the search that shells and `execvp(3)` make.

use super::refusal::Refusal;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::env;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is searched when PATH is not set, as in the C library.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file that `name` means: itself if it has a slash, else the first executable of that name in PATH.
///
/// # Errors
/// [`Refusal::Missing`], and [`Refusal::NotExecutable`] if files of that name exist but none can be executed.
pub(super) fn resolve(name: &OsStr) -> Result<PathBuf, Refusal> {
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return check(&path).map(|()| path);
    }
    if name.is_empty() {
        return Err(Refusal::Missing { path: PathBuf::new(), is_path: false });
    }
    let directories = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let mut best = Refusal::Missing { path: name.into(), is_path: false };
    for directory in env::split_paths(&directories) {
        // An empty entry means the working directory; with "./" in front, the path is not searched for again.
        let path = if directory.as_os_str().is_empty() { Path::new(".").join(name) } else { directory.join(name) };
        match check(&path) {
            Ok(()) => return Ok(path),
            Err(refusal @ Refusal::NotExecutable { .. }) if !path.is_dir() => best = refusal,
            Err(_) => {}
        }
    }
    Err(best)
}

/// Whether this process may execute the file at `path`.
///
/// # Errors
/// [`Refusal::Missing`], [`Refusal::NotExecutable`].
pub(super) fn check(path: &Path) -> Result<(), Refusal> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
            return Err(Refusal::Missing { path: path.into(), is_path: true });
        }
        Err(error) => return Err(Refusal::NotExecutable { path: path.into(), why: error.to_string() }),
    };
    let refuse = |why: &str| Err(Refusal::NotExecutable { path: path.into(), why: why.into() });
    if metadata.is_dir() {
        return refuse("it is a directory");
    }
    if !metadata.is_file() {
        return refuse("it is not a regular file");
    }
    match faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        Ok(()) => Ok(()),
        Err(Errno::EACCES) => refuse("it has no execute permission for you, or its file system is mounted noexec"),
        Err(error) => refuse(error.desc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_slash_is_not_searched_for() {
        assert_eq!(resolve(OsStr::new("/bin/sh")).ok(), Some(PathBuf::from("/bin/sh")));
        assert!(matches!(resolve(OsStr::new("./sh-not-here")), Err(Refusal::Missing { is_path: true, .. })));
    }

    #[test]
    fn an_empty_name_is_nothing() {
        assert!(matches!(resolve(OsStr::new("")), Err(Refusal::Missing { .. })));
    }
}
