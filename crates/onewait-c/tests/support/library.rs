//! `libonewait.so`, of the profile that the tests themselves have.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::face::stand_in;

/// The directory for everything that the harness makes: beside the build, so on the same disk.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Builds the library and gives its path.
///
/// Cargo builds no `cdylib` for an integration test, and a stale one would test yesterday's code, so ask for it.
pub(crate) fn build() -> Result<PathBuf, String> {
    let profile_dir = profile_dir()?;
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => return Err(format!("{} is no build directory", profile_dir.display())),
    };
    // Without `--target-dir`, a build directory given on the command line of `cargo test` would be missed.
    let target_dir = scratch().parent().unwrap_or(scratch());
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // `cargo test --target` puts a directory of the target's name in between.
    let target = profile_dir.parent().filter(|parent| *parent != target_dir).and_then(Path::file_name);
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--package", "onewait-c", "--profile", profile, "--target-dir"])
        .arg(target_dir)
        .args(target.map(|target| [OsStr::new("--target"), target]).into_iter().flatten())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("LD_PRELOAD")
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("libonewait.so does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    let library = profile_dir.join("libonewait.so");
    if !library.is_file() {
        return Err(format!("{} is missing after its build", library.display()));
    }
    let stand_in = stand_in(&library);
    rename_a_link(&library, &stand_in).map_err(|error| format!("{}: {error}", stand_in.display()))?;
    Ok(library)
}

/// Gives the library, in a directory of its own, the name of libaio.
fn rename_a_link(library: &Path, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Renamed into its place, because another test run may be reading it.
    let draft = directory.join(format!("draft-{}", std::process::id()));
    symlink(library, &draft)?;
    fs::rename(draft, directory.join("libaio.so.1"))
}

/// `target/<profile>`: the test binary lies in `deps` below it.
fn profile_dir() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("no path to the test itself: {error}"))?;
    let dir = own.parent().and_then(Path::parent);
    dir.map(Path::to_path_buf).ok_or_else(|| format!("{} is in no build directory", own.display()))
}
