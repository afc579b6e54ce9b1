//! `onewait run` and programs that cannot run, or that the library cannot reach.

mod common;

use common::{FORMS, Place, assert_refused, full, onewait, output, run, skip, stderr, stdout};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const RETURN_0: &str = "int main(void) { return 0; }";

#[test]
fn a_missing_program_is_127() {
    for form in FORMS {
        assert_refused(&mut run(form, &["/not/here"]), 127, &["/not/here", "no such file"]);
        assert_refused(&mut run(form, &["not-in-the-path"]), 127, &["not-in-the-path", "not found in PATH"]);
        assert_refused(&mut run(form, &[""]), 127, &["not found"]);
        // A file where a directory should be.
        assert_refused(&mut run(form, &["/dev/null/x"]), 127, &["no such file"]);
    }
}

#[test]
fn the_status_is_the_same_where_no_message_can_be_printed() {
    for form in FORMS {
        assert_eq!(output(run(form, &["not-in-the-path"]).stderr(full())).status.code(), Some(127));
        assert_eq!(output(run(form, &["/dev/null"]).stderr(full())).status.code(), Some(126));
    }
}

#[test]
fn a_driver_that_does_not_exist_is_125() {
    for form in FORMS {
        let parts = ["ONEWAIT_DRIVER", "kqueue", "uring or epoll"];
        assert_refused(run(form, &["true"]).env("ONEWAIT_DRIVER", "kqueue"), 125, &parts);
        assert!(output(run(form, &["true"]).env("ONEWAIT_DRIVER", "")).status.success());
    }
    // What an option says counts.
    let form = &["run", "--driver", "epoll", "--"];
    assert!(output(run(form, &["true"]).env("ONEWAIT_DRIVER", "kqueue")).status.success());
}

#[test]
fn what_cannot_be_executed_is_126() {
    let place = Place::new();
    let plain = place.file("plain", "echo hello\n", 0o644);
    let garbage = place.file("garbage", [1, 0, 2], 0o755);
    let broken = place.file("broken", b"\x7fELF\x02\x01\x01 and then nonsense", 0o755);
    for form in FORMS {
        assert_refused(&mut run(form, &["/tmp"]), 126, &["/tmp", "directory"]);
        assert_refused(&mut run(form, &["/dev/null"]), 126, &["not a regular file"]);
        assert_refused(&mut run(form, &[&plain]), 126, &[&plain, "execute permission"]);
        assert_refused(&mut run(form, &[&garbage]), 126, &[&garbage, "neither an ELF program nor a script"]);
        assert_refused(&mut run(form, &[&broken]), 126, &[&broken, "neither an ELF program nor a script"]);
    }
}

#[test]
fn a_static_program_is_126() {
    let place = Place::new();
    let ways: [(&str, &[&str]); 3] =
        [("cc", &["-static"]), ("cc", &["-static-pie", "-fPIE"]), ("musl-gcc", &["-static"])];
    for (compiler, flags) in ways {
        let Some(program) = place.compile(compiler, flags, RETURN_0) else { continue };
        assert_refused(&mut run(FORMS[0], &[&program]), 126, &[&program, "statically linked", "build"]);
    }
    // It is as bad as an interpreter.
    let Some(program) = place.compile("cc", &["-static"], RETURN_0) else { return };
    let script = place.file("script", format!("#!{program}\n"), 0o755);
    assert_refused(&mut run(FORMS[0], &[&script]), 126, &[&program, "statically linked"]);
}

#[test]
fn a_program_of_another_c_library_is_126() {
    let place = Place::new();
    let Some(program) = place.compile("musl-gcc", &[], RETURN_0) else { return };
    assert_refused(&mut run(FORMS[0], &[&program]), 126, &[&program, "ld-musl", "C library"]);
}

#[test]
fn a_program_for_another_machine_is_126() {
    let place = Place::new();
    let mut content = fs::read("/proc/self/exe").unwrap();
    // e_machine, in the byte order of this machine: the number of the PA-RISC.
    content[18..20].copy_from_slice(&15u16.to_ne_bytes());
    let program = place.file("other", content, 0o755);
    assert_refused(&mut run(FORMS[0], &[&program]), 126, &[&program, "another processor", "use an onewait built for"]);
}

#[test]
fn a_setuid_program_is_126_for_those_whose_rights_it_changes() {
    let place = Place::new();
    let Some(nobody) = Nobody::new(&place) else { return };
    let content = fs::read("/bin/true").unwrap();
    let set_uid = place.file("setuid", &content, 0o4755);
    let set_gid = place.file("setgid", &content, 0o2755);
    let capable = place.file("capable", &content, 0o755);
    set_capability(&capable);

    nobody.assert_refused(&set_uid, &["setuid program of root", "run onewait as root"]);
    nobody.assert_refused(&set_gid, &["setgid"]);
    nobody.assert_refused(&capable, &["file capabilities"]);
    // The owner's own rights do not change.
    for program in [&set_uid, &set_gid, &capable] {
        assert!(output(&mut run(FORMS[0], &[program])).status.success());
    }
    // Nor do anybody's when the kernel was told not to.
    let done = output(&mut nobody.run(&set_uid, &["--no-new-privs"]));
    assert!(done.status.success(), "{}", stderr(&done));
    // The superuser loses rights by it, which is a change too.
    std::os::unix::fs::chown(&set_uid, Some(65534), None).unwrap();
    fs::set_permissions(&set_uid, fs::Permissions::from_mode(0o4755)).unwrap();
    assert_refused(&mut run(FORMS[0], &[&set_uid]), 126, &["setuid program of nobody"]);
    let done = output(&mut nobody.run(&set_uid, &[]));
    assert!(done.status.success(), "{}", stderr(&done));
}

/// Runs onewait as another user, which takes the superuser.
struct Nobody {
    onewait: String,
}

impl Nobody {
    fn new(place: &Place) -> Option<Nobody> {
        if !nix::unistd::geteuid().is_root() {
            return skip("only root can become another user");
        }
        if nix::sys::statvfs::statvfs(place.path()).unwrap().flags().contains(nix::sys::statvfs::FsFlags::ST_NOSUID) {
            return skip("the directory for temporary files is mounted nosuid");
        }
        if Command::new("setpriv").arg("--version").output().is_err() {
            return skip("there is no setpriv");
        }
        let onewait = place.file("onewait", fs::read(env!("CARGO_BIN_EXE_onewait")).unwrap(), 0o755);
        Some(Nobody { onewait })
    }

    fn run(&self, program: &str, options: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).args(options);
        command.args([&self.onewait, "run", "--", program]).env_remove("HOME").env_remove("XDG_CACHE_HOME");
        command
    }

    #[track_caller]
    fn assert_refused(&self, program: &str, parts: &[&str]) {
        assert_refused(&mut self.run(program, &[]), 126, parts);
    }
}

/// What `setcap cap_net_raw+ep` does.
fn set_capability(path: &str) {
    let mut value = [0u8; 20];
    // VFS_CAP_REVISION_2 and the effective bit; then the permitted set.
    value[..4].copy_from_slice(&0x0200_0001u32.to_le_bytes());
    value[4..8].copy_from_slice(&(1u32 << 13).to_le_bytes());
    let path = std::ffi::CString::new(path).unwrap();
    // SAFETY: both names are C strings, and the value is as long as is said.
    let result = unsafe {
        libc::setxattr(path.as_ptr(), c"security.capability".as_ptr(), value.as_ptr().cast(), value.len(), 0)
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_script_runs_by_its_interpreter() {
    let place = Place::new();
    let script = place.file("script", "#! /bin/sh -u\necho \"$0 $# $1\"; exit 9\n", 0o755);
    let outer = place.file("outer", format!("#!{script}\n"), 0o755);
    for form in FORMS {
        let done = output(&mut run(form, &[&script, "a b"]));
        assert_eq!((done.status.code(), stdout(&done)), (Some(9), format!("{script} 1 a b\n")));
        let done = output(&mut run(form, &[&outer]));
        assert_eq!((done.status.code(), stdout(&done)), (Some(9), format!("{script} 1 {outer}\n")));
    }
}

#[test]
fn text_without_an_interpreter_runs_by_the_shell() {
    let place = Place::new();
    let script = place.file("script", "echo \"$0 $1\"; exit 9\n", 0o755);
    let empty = place.file("empty", "", 0o755);
    for form in FORMS {
        let done = output(&mut run(form, &[&script, "a b"]));
        assert_eq!((done.status.code(), stdout(&done)), (Some(9), format!("{script} a b\n")));
        assert!(output(&mut run(form, &[&empty])).status.success());
    }
}

#[test]
fn scripts_that_lead_nowhere_are_refused() {
    let place = Place::new();
    let missing = place.file("missing", "#!/not/here\n", 0o755);
    assert_refused(&mut run(FORMS[0], &[&missing]), 127, &[&missing, "/not/here", "#! line"]);
    let round = place.join("round");
    place.file("round", format!("#!{round}\n"), 0o755);
    assert_refused(&mut run(FORMS[0], &[&round]), 126, &["too many #! lines"]);
    let locked = place.file("locked", "#!/dev/null\n", 0o755);
    assert_refused(&mut run(FORMS[0], &[&locked]), 126, &["/dev/null", "not a regular file"]);
}

#[test]
fn as_many_interpreters_as_the_kernel_allows() {
    let place = Place::new();
    let mut name = "/bin/true".to_string();
    let mut is_refused = Vec::new();
    for depth in 0..7 {
        let script = place.file(&format!("script-{depth}"), format!("#!{name}\n"), 0o755);
        let kernel = Command::new(&script).output();
        let ours = output(&mut run(FORMS[0], &[&script]));
        assert_eq!(kernel.is_err(), ours.status.code() == Some(126), "{depth}: {kernel:?} {ours:?}");
        is_refused.push(kernel.is_err());
        name = script;
    }
    assert!(is_refused.contains(&true) && is_refused.contains(&false));
}

#[test]
fn path_is_searched_as_by_a_shell() {
    let place = Place::new();
    let (first, second, third) = (place.join("1"), place.join("2"), place.join("3"));
    for directory in [&first, &second, &third] {
        fs::create_dir(directory).unwrap();
    }
    // A directory and a file without permission do not count while there is something better.
    fs::create_dir(place.join("1/tool")).unwrap();
    place.file("2/tool", "#!/bin/sh\n", 0o644);
    place.file("3/tool", "#!/bin/sh\necho third\n", 0o755);
    let path = |list: &[&str]| list.join(":");
    for form in FORMS {
        let done = output(run(form, &["tool"]).env("PATH", path(&[&first, &second, &third])));
        assert_eq!(stdout(&done), "third\n", "{}", stderr(&done));
        assert_refused(run(form, &["tool"]).env("PATH", path(&[&first, &second])), 126, &["execute permission"]);
        assert_refused(run(form, &["tool"]).env("PATH", path(&[&first])), 127, &["not found in PATH"]);
        // An empty entry is the working directory.
        let done = output(run(form, &["tool"]).env("PATH", "/not/here:").current_dir(&third));
        assert_eq!(stdout(&done), "third\n", "{}", stderr(&done));
        let done = output(run(form, &["echo", "found"]).env_remove("PATH"));
        assert_eq!(stdout(&done), "found\n", "{}", stderr(&done));
    }
}

#[test]
fn wrong_options_are_125_and_explained() {
    let done = output(&mut onewait(&["run", "--stat", "--", "true"]));
    assert_eq!(done.status.code(), Some(125));
    assert!(stderr(&done).contains("--stats"), "{}", stderr(&done));
    let done = output(&mut onewait(&["run", "--driver", "kqueue", "true"]));
    assert_eq!(done.status.code(), Some(125));
    assert!(stderr(&done).contains("uring, epoll"), "{}", stderr(&done));
    let done = output(&mut onewait(&["run", "--stats-file", "/not/here/x", "true"]));
    assert_eq!(done.status.code(), Some(125));
    assert!(stderr(&done).contains("/not/here/x"), "{}", stderr(&done));
}
