//! The program's environment: what tells the loader and the library what to do.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The variable by which the loader is told to put libraries in front of a program (ld.so(8)).
pub(super) const PRELOAD_VARIABLE: &str = "LD_PRELOAD";

/// LD_PRELOAD with `library` in front of what it holds now.
pub(super) fn preload(library: &Path) -> OsString {
    in_front(library, env::var_os(PRELOAD_VARIABLE).unwrap_or_default().as_os_str())
}

fn in_front(library: &Path, current: &OsStr) -> OsString {
    let library = library.as_os_str();
    let mut list = library.to_os_string();
    // The loader takes colons and spaces for separators.
    let mut others = current.as_bytes().splitn(2, |byte| matches!(byte, b':' | b' '));
    if others.next() == Some(library.as_bytes()) {
        // An onewait runs this onewait: once is enough.
        return current.to_os_string();
    }
    if !current.is_empty() {
        list.push(":");
        list.push(current);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_comes_first_and_the_others_stay() {
        let cases = [("", "/l.so"), ("/a.so", "/l.so:/a.so"), ("/a.so /b.so", "/l.so:/a.so /b.so")];
        for (current, expected) in cases {
            assert_eq!(in_front(Path::new("/l.so"), OsStr::new(current)), expected);
        }
    }

    #[test]
    fn a_library_that_is_first_already_is_not_repeated() {
        for current in ["/l.so", "/l.so:/a.so", "/l.so /a.so"] {
            assert_eq!(in_front(Path::new("/l.so"), OsStr::new(current)), current);
        }
        assert_eq!(in_front(Path::new("/l.so"), OsStr::new("/l.so2")), "/l.so:/l.so2");
    }
}
