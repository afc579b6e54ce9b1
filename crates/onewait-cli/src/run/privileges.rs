//! Whether a program would get other rights than this process has.
//!
//! Then the kernel sets AT_SECURE, and the loader takes nothing from LD_PRELOAD that lies outside the system's own
//! directories: silently, which is why it is found out before.

use super::refusal::Refusal;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgid, getuid};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Checks that the program in `file` keeps this process's user, group and capabilities.
///
/// # Errors
/// [`Refusal::Privileged`] if it does not.
pub(super) fn check(path: &Path, file: &File) -> Result<(), Refusal> {
    let refuse = |how: String, cure: &str| Err(Refusal::Privileged { path: path.into(), how, cure: cure.into() });
    let Ok(metadata) = file.metadata() else { return Ok(()) };

    let is_granted = !ignores_file_rights(file);
    let set_uid = is_granted && metadata.mode() & libc::S_ISUID != 0;
    // Without execute permission for the group, the bit is a relic of mandatory locks.
    let group_bits = libc::S_ISGID | libc::S_IXGRP;
    let set_gid = is_granted && metadata.mode() & group_bits == group_bits;
    let user = if set_uid { Uid::from_raw(metadata.uid()) } else { geteuid() };
    let group = if set_gid { Gid::from_raw(metadata.gid()) } else { getegid() };

    if user != getuid() {
        let owner = User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name);
        return if set_uid {
            refuse(
                format!("is a setuid program of {owner}"),
                &format!("run onewait as {owner}, or use a copy without the setuid bit"),
            )
        } else {
            refuse(
                "would run with different real and effective users, as onewait itself does".into(),
                "start onewait with one user (remove its setuid bit)",
            )
        };
    }
    if group != getgid() {
        return refuse(
            format!("would run with the rights of group {group} (setgid)"),
            "use a copy without the setgid bit, or run onewait in that group (see newgrp)",
        );
    }
    // The superuser's programs hold all capabilities anyway, and are not treated as privileged for it.
    if is_granted && !user.is_root() && has_capabilities(file) {
        return refuse(
            "has file capabilities".into(),
            "use a copy without them (plain cp drops them), or run onewait as root",
        );
    }
    Ok(())
}

/// Whether set-user-ID bits and the like are without effect: on a nosuid mount, or by no_new_privs.
fn ignores_file_rights(file: &File) -> bool {
    fstatvfs(file).is_ok_and(|system| system.flags().contains(FsFlags::ST_NOSUID))
        || nix::sys::prctl::get_no_new_privs().unwrap_or(false)
}

fn has_capabilities(file: &File) -> bool {
    // SAFETY: the descriptor is open as long as `file` lives, the name is a C string, and with size 0 the call only
    // tells the attribute's length and writes nothing.
    unsafe { libc::fgetxattr(file.as_raw_fd(), c"security.capability".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}
