//! Where `libonewait.so` is put, and by whom it could be changed.

mod common;

use common::{FORMS, Place, full, onewait, output, run, skip, stderr, stdout, unprinted};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// The path that `onewait library` prints with this cache directory, and nothing else to choose from but /tmp.
fn library(cache: &str) -> String {
    let done = output(onewait(&["library"]).env("XDG_CACHE_HOME", cache).env_remove("XDG_RUNTIME_DIR"));
    assert!(done.status.success(), "{}", stderr(&done));
    stdout(&done).trim().to_string()
}

#[test]
fn the_library_is_private_and_complete() {
    let place = Place::new();
    let path = library(&place.join("cache"));
    assert!(path.starts_with(&place.join("cache/onewait/libonewait-")), "{path}");
    let directory = Path::new(&path).parent().unwrap();
    assert_eq!(fs::metadata(directory).unwrap().mode() & 0o7777, 0o700);
    assert!(fs::read(&path).unwrap().starts_with(b"\x7fELF"));
    assert_eq!(fs::read_dir(directory).unwrap().count(), 1, "a draft was left");
}

#[test]
fn it_is_written_once_and_mended_if_it_was_changed() {
    let place = Place::new();
    let cache = place.join("cache");
    let path = library(&cache);
    let inode = |path: &str| fs::metadata(path).unwrap().ino();
    let (first, content) = (inode(&path), fs::read(&path).unwrap());
    assert_eq!((library(&cache), inode(&path)), (path.clone(), first));
    for damaged in [&content[..100], b""] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(library(&cache), path);
        assert!(fs::read(&path).unwrap() == content);
    }
}

#[test]
fn places_that_others_can_change_are_passed_over() {
    let place = Place::new();
    let open = place.join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!library(&open).starts_with(&open));
    // A link leads elsewhere: where it leads to counts.
    let link = place.join("link");
    symlink(&open, &link).unwrap();
    assert!(!library(&link).starts_with(place.path().to_str().unwrap()));
    // Our own directory is closed to others.
    let lax = place.join("lax");
    fs::create_dir_all(place.join("lax/onewait")).unwrap();
    fs::set_permissions(place.join("lax/onewait"), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(library(&lax).starts_with(&lax));
    assert_eq!(fs::metadata(place.join("lax/onewait")).unwrap().mode() & 0o7777, 0o700);
    if nix::unistd::geteuid().is_root() {
        let foreign = place.join("foreign");
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
        assert!(!library(&foreign).starts_with(&foreign));
    }
}

#[test]
fn places_that_the_loader_cannot_read_are_passed_over() {
    let place = Place::new();
    for name in ["a space", "a:colon", "a$dollar"] {
        let cache = place.join(name);
        assert!(!library(&cache).starts_with(&cache), "{name}");
        let done = output(run(FORMS[0], &["cat", "/proc/self/maps"]).env("XDG_CACHE_HOME", &cache));
        assert!(stdout(&done).contains("libonewait-"), "{}", stderr(&done));
        assert_eq!(stderr(&done), "");
    }
}

#[test]
fn a_place_mounted_noexec_is_passed_over() {
    let Some(noexec) = noexec_directory() else { return };
    let path = library(&noexec);
    fs::remove_dir_all(&noexec).unwrap();
    assert!(!path.starts_with(&noexec), "{path}");
}

/// A directory of ours on a file system mounted noexec, if there is one.
fn noexec_directory() -> Option<String> {
    for directory in ["/dev/shm", "/run", "/run/lock"] {
        let is_noexec = nix::sys::statvfs::statvfs(directory)
            .is_ok_and(|system| system.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC));
        let path = format!("{directory}/onewait-noexec-{}", std::process::id());
        if is_noexec && fs::create_dir(&path).is_ok() {
            return Some(path);
        }
    }
    skip("no writable file system is mounted noexec here")
}

#[test]
fn a_path_that_nobody_gets_is_a_failure() {
    assert_eq!(unprinted(&mut onewait(&["library"])), "", "a reader that has gone away");
    for arguments in [&["library"][..], &["--help"], &["run", "--help"]] {
        let done = output(onewait(arguments).stdout(full()));
        assert!(matches!(done.status.code(), Some(1 | 125)), "{arguments:?}: {}, {}", done.status, stderr(&done));
    }
    let done = output(onewait(&["library"]).stdout(full()));
    assert!(stderr(&done).contains("cannot write the result: No space left"), "{}", stderr(&done));
}

#[test]
fn without_any_place_it_says_where_it_looked() {
    if !nix::unistd::geteuid().is_root() {
        return skip("needs a file system of its own, and so root").unwrap_or_default();
    }
    // /tmp and /dev/shm read-only, for one command, which may itself lie there.
    let script = format!(
        "exec 9<{}; for d in /tmp /dev/shm; do mount -t tmpfs -o ro none $d || exit 77; done; unset HOME XDG_RUNTIME_DIR; \
         export XDG_CACHE_HOME=/dev/null; exec /proc/self/fd/9 run true",
        env!("CARGO_BIN_EXE_onewait")
    );
    let done = output(std::process::Command::new("unshare").args(["-m", "sh", "-c", &script]));
    if done.status.code() == Some(77) || stderr(&done).contains("unshare") {
        return skip(&stderr(&done)).unwrap_or_default();
    }
    assert_eq!(done.status.code(), Some(125), "{}", stderr(&done));
    for part in ["XDG_CACHE_HOME", "/dev/null/onewait", "/tmp/onewait-0", "/dev/shm/onewait-0"] {
        assert!(stderr(&done).contains(part), "{part} is missing in {}", stderr(&done));
    }
}
