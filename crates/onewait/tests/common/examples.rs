//! Programs that tests run: this crate's examples.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds these as the test was built, and gives their directory. Cargo does it by itself for a whole `cargo test`, but not
/// if only some tests are asked for.
pub(crate) fn build<'a>(names: impl IntoIterator<Item = &'a str>) -> PathBuf {
    let own = env::current_exe().expect("the test has a path");
    // It is in `TARGET_DIR/[TARGET/]PROFILE/deps`.
    let profile_dir = own.parent().and_then(Path::parent).expect("the test is in a build directory");
    let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the build directory");
    let target = profile_dir.parent().filter(|parent| *parent != target_dir).and_then(Path::file_name);
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        // Not of this package alone: features are united over what is built, and with others it would all be built again.
        .args(["build", "--quiet", "--workspace", "--profile", profile, "--target-dir"])
        .arg(target_dir)
        .args(target.map(|target| [OsStr::new("--target"), target]).into_iter().flatten())
        .args(names.into_iter().flat_map(|name| ["--example", name]))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "the programs do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    profile_dir.join("examples")
}
