//! `onewait.h`: it compiles by itself, and declares what the library exports, neither more nor less.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use libtest_mimic::Trial;

use super::program::include_dir;
use super::trial::SKIPS;

pub(crate) fn trials(library: &Arc<PathBuf>) -> Vec<Trial> {
    let library = library.clone();
    vec![
        Trial::test("header::it_compiles_alone_as_c99", || Ok(compiles("cc", &["-std=c99", "-xc"])?)),
        Trial::test("header::it_compiles_alone_as_c17", || Ok(compiles("cc", &["-std=c17", "-xc"])?)),
        Trial::test("header::it_compiles_alone_as_cpp", || Ok(compiles("c++", &["-std=c++98", "-xc++"])?)),
        Trial::test("header::it_declares_what_the_library_exports", move || {
            let (declared, exported) = (declared()?, exported(&library)?);
            let difference: Vec<_> = declared.symmetric_difference(&exported).collect();
            if declared.is_empty() || !difference.is_empty() {
                return Err(format!("on one side only: {difference:?}").into());
            }
            Ok(())
        }),
    ]
}

/// Compiles the header twice in one file. A compiler that is missing is no failure.
fn compiles(compiler: &str, flags: &[&str]) -> Result<(), String> {
    let spawned = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", "-I"])
        .arg(include_dir())
        .args(flags)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        SKIPS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{compiler} does not start: nothing is compiled with it");
        return Ok(());
    };
    let text = "#include <onewait.h>\n#include <onewait.h>\nint main(void) { return ow_version() != OW_VERSION; }\n";
    let written = child.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    match written {
        Some(Ok(())) if output.status.success() => Ok(()),
        _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The functions that the header declares: names before a parenthesis, outside comments.
fn declared() -> Result<BTreeSet<String>, String> {
    let path = include_dir().join("onewait.h");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut code = String::new();
    let mut rest = text.as_str();
    while let Some((before, comment)) = rest.split_once("/*") {
        code += before;
        rest = comment.split_once("*/").ok_or("a comment does not end")?.1;
    }
    code += rest;
    let names = code.split('(').filter_map(|before| before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next());
    Ok(names.filter(|name| name.starts_with("ow_")).map(String::from).collect())
}

/// The symbols of ours that the library exports.
fn exported(library: &Path) -> Result<BTreeSet<String>, String> {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=posix"])
        .arg(library)
        .output()
        .map_err(|error| format!("nm does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split([' ', '@']).next());
    Ok(names.filter(|name| name.starts_with("ow_")).map(String::from).collect())
}
