//! Builds `libonewait.so`, which travels inside the command.
//!
//! Cargo has no stable way to depend on another package's shared object, so this script runs Cargo once more, with a
//! target directory of its own: the outer Cargo holds the lock of the usual one.

use std::error::Error;
use std::hash::{DefaultHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// The packages whose sources end up in the library.
const PACKAGES: [&str; 2] = ["onewait", "onewait-c"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot build libonewait.so: {error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let crates = manifest_dir.parent().ok_or("the package stands outside its workspace")?;
    let workspace = crates.parent().ok_or("the package stands outside its workspace")?;
    watch(crates, workspace)?;

    let target_dir = PathBuf::from(env::var("OUT_DIR")?).join("library");
    let target = env::var("TARGET")?;
    let profile = env::var("PROFILE")?;
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo.current_dir(crates.join("onewait-c")).args(["build", "--lib", "--quiet", "--target", &target]);
    cargo.arg("--target-dir").arg(&target_dir);
    // A build directory set for the outer Cargo is locked by it.
    cargo.env("CARGO_BUILD_BUILD_DIR", &target_dir);
    if profile == "release" {
        cargo.arg("--release");
    }
    if workspace.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    // Clippy stands in for the compiler through these, and would leave no library behind.
    for name in ["RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "CLIPPY_CONF_DIR"] {
        cargo.env_remove(name);
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("cargo ended with {status}").into());
    }

    let library = target_dir.join(&target).join(&profile).join("libonewait.so");
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read(&library).map_err(|error| format!("{}: {error}", library.display()))?);
    println!("cargo:rustc-env=ONEWAIT_LIBRARY={}", library.display());
    println!("cargo:rustc-env=ONEWAIT_LIBRARY_HASH={:016x}", hasher.finish());
    Ok(())
}

/// Asks for another build when something changes that the library is made of.
fn watch(crates: &Path, workspace: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    for package in PACKAGES {
        for entry in fs::read_dir(crates.join(package))? {
            let entry = entry?;
            if !matches!(entry.file_name().to_str(), Some("tests" | "benches" | "examples" | "target")) {
                println!("cargo:rerun-if-changed={}", entry.path().display());
            }
        }
    }
    for name in ["Cargo.toml", "Cargo.lock"] {
        let path = workspace.join(name);
        // Cargo runs a script for ever that watches what is not there.
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    Ok(())
}
