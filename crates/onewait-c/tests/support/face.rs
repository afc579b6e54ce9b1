//! The ways in which a test program meets an AIO.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// One way to run the same test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// The system's own AIO: the oracle.
    Glibc,
    /// Ours by `LD_PRELOAD`, on the uring driver.
    Uring,
    /// Ours by `LD_PRELOAD`, on the epoll driver.
    Epoll,
    /// Ours by linking (`-lonewait`), on the uring driver: which driver it is makes no difference to the linker.
    Linked,
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Face::Glibc => "glibc",
            Face::Uring => "uring",
            Face::Epoll => "epoll",
            Face::Linked => "linked",
        })
    }
}

impl Face {
    /// The environment that this face adds to the program's.
    ///
    /// What `ONEWAIT_TEST_PRELOAD` names comes before our library: a sanitizer's run-time library, where ours was built
    /// for it.
    pub(crate) fn environment(self, library: &Path) -> Vec<(&'static str, String)> {
        let first = env::var("ONEWAIT_TEST_PRELOAD").ok().filter(|_| self != Face::Glibc);
        let ours = matches!(self, Face::Uring | Face::Epoll).then(|| library.display().to_string());
        let preload: Vec<String> = first.into_iter().chain(ours).collect();
        let driver = match self {
            Face::Glibc => None,
            Face::Uring | Face::Linked => Some("uring"),
            Face::Epoll => Some("epoll"),
        };
        let preload = (!preload.is_empty()).then(|| ("LD_PRELOAD", preload.join(":")));
        preload.into_iter().chain(driver.map(|driver| ("ONEWAIT_DRIVER", driver.into()))).collect()
    }

    /// Gives a command this face's environment, and nothing of the outer one's that would make it another face.
    pub(crate) fn apply(self, library: &Path, command: &mut Command) {
        command.env_remove("LD_PRELOAD").env_remove("ONEWAIT_DRIVER");
        command.envs(self.environment(library));
    }
}

/// The faces to run: all of them, or those of the driver that `ONEWAIT_DRIVER` names (so that CI runs once a driver).
///
/// Where the kernel refuses io_uring, the uring faces are left out with a word of warning, unless they are asked for.
pub(crate) fn faces() -> Result<Vec<Face>, String> {
    match env::var("ONEWAIT_DRIVER").as_deref() {
        Ok("uring") => Ok(vec![Face::Glibc, Face::Uring, Face::Linked]),
        Ok("epoll") => Ok(vec![Face::Glibc, Face::Epoll]),
        Ok(other) => Err(format!("ONEWAIT_DRIVER is {other:?}, and must be uring or epoll")),
        Err(_) => match uring_refused() {
            None => Ok(vec![Face::Glibc, Face::Uring, Face::Epoll, Face::Linked]),
            Some(why) => {
                eprintln!("conformance: io_uring is not available here ({why}); only the epoll driver is tested");
                Ok(vec![Face::Glibc, Face::Epoll])
            }
        },
    }
}

/// Why the kernel gives no ring, or `None` if it gives one.
fn uring_refused() -> Option<rustix::io::Errno> {
    let mut params = rustix::io_uring::io_uring_params::default();
    // SAFETY: the default parameters hold no pointer and no descriptor; the ring is closed at once, never used.
    unsafe { rustix::io_uring::io_uring_setup(1, &mut params) }.err()
}
