//! Gives the library the name under which programs that are linked with it ask for it, and libaio's symbol versions.
//!
//! The versions stand in a script beside the one in which rustc lists the names to export. GNU ld takes no two such scripts;
//! lld does. So the library is linked with lld, which Rust from rustup brings along but uses by default on x86-64 only.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=libaio.map");
    if let Some(directory) = lld_of_rustc() {
        println!("cargo:rustc-cdylib-link-arg=-B{}", directory.display());
    } else if !is_installed("ld.lld") {
        eprintln!("libonewait.so has to be linked with lld: Rust from rustup has it; else install the package lld");
        return ExitCode::FAILURE;
    }
    println!("cargo:rustc-cdylib-link-arg=-fuse-ld=lld");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libonewait.so");
    let package = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rustc-cdylib-link-arg=-Wl,--version-script={package}/libaio.map");
    ExitCode::SUCCESS
}

/// The directory in which a C compiler finds the lld that came with rustc, if one did.
fn lld_of_rustc() -> Option<PathBuf> {
    let printed = Command::new(env::var_os("RUSTC")?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(printed.stdout).ok()?;
    let directory = Path::new(sysroot.trim_end()).join("lib/rustlib").join(env::var_os("HOST")?).join("bin/gcc-ld");
    directory.join("ld.lld").is_file().then_some(directory)
}

/// Whether there is such a command, which the C compiler finds by itself then.
fn is_installed(command: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|directory| directory.join(command).is_file()))
}
