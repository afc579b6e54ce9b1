//! The ways in which a test program meets an AIO.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::Command;

use super::program::Interface;

/// One way to run the same test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    /// The C library's own POSIX AIO: the oracle of the programs that use `<aio.h>`.
    Glibc,
    /// The system's libaio on the kernel's AIO: the oracle of the programs that use `<libaio.h>`.
    Native,
    /// Ours by `LD_PRELOAD`, on the uring driver.
    Uring,
    /// Ours by `LD_PRELOAD`, on the epoll driver.
    Epoll,
    /// Ours by linking (`-lonewait`), on the uring driver: which driver it is makes no difference to the linker.
    Linked,
    /// Ours in place of the file `libaio.so.1`, on the uring driver.
    Replaced,
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Face::Glibc => "glibc",
            Face::Native => "native",
            Face::Uring => "uring",
            Face::Epoll => "epoll",
            Face::Linked => "linked",
            Face::Replaced => "replaced",
        })
    }
}

impl Face {
    /// Whether this is the original that ours is compared with.
    pub(crate) fn is_original(self) -> bool {
        matches!(self, Face::Glibc | Face::Native)
    }

    /// The environment that this face adds to the program's.
    ///
    /// What `ONEWAIT_TEST_PRELOAD` names comes before our library: a sanitizer's run-time library, where ours was built
    /// for it.
    pub(crate) fn environment(self, library: &Path) -> Vec<(&'static str, String)> {
        let first = env::var("ONEWAIT_TEST_PRELOAD").ok().filter(|_| !self.is_original());
        let ours = matches!(self, Face::Uring | Face::Epoll).then(|| library.display().to_string());
        let preload: Vec<String> = first.into_iter().chain(ours).collect();
        let driver = match self {
            Face::Glibc | Face::Native => None,
            Face::Uring | Face::Linked | Face::Replaced => Some("uring"),
            Face::Epoll => Some("epoll"),
        };
        let preload = (!preload.is_empty()).then(|| ("LD_PRELOAD", preload.join(":")));
        let place = (self == Face::Replaced).then(|| ("LD_LIBRARY_PATH", stand_in(library).display().to_string()));
        preload.into_iter().chain(place).chain(driver.map(|driver| ("ONEWAIT_DRIVER", driver.into()))).collect()
    }

    /// Gives a command this face's environment, and nothing of the outer one's that would make it another face.
    pub(crate) fn apply(self, library: &Path, command: &mut Command) {
        command.env_remove("LD_PRELOAD").env_remove("LD_LIBRARY_PATH").env_remove("ONEWAIT_DRIVER");
        command.envs(self.environment(library));
    }
}

/// Where our library has the name of the one that it replaces.
pub(crate) fn stand_in(library: &Path) -> std::path::PathBuf {
    library.with_file_name("in-place-of-libaio")
}

/// The drivers to test: both, or the one that `ONEWAIT_DRIVER` names (so that CI runs once a driver).
///
/// Where the kernel refuses io_uring, its driver is left out with a word of warning, unless it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drivers {
    uring: bool,
    epoll: bool,
}

impl Drivers {
    pub(crate) fn to_test() -> Result<Drivers, String> {
        match env::var("ONEWAIT_DRIVER").as_deref() {
            Ok("uring") => Ok(Drivers { uring: true, epoll: false }),
            Ok("epoll") => Ok(Drivers { uring: false, epoll: true }),
            Ok(other) => Err(format!("ONEWAIT_DRIVER is {other:?}, and must be uring or epoll")),
            Err(_) => match uring_refused() {
                None => Ok(Drivers { uring: true, epoll: true }),
                Some(why) => {
                    eprintln!("conformance: io_uring is not available here ({why}); only the epoll driver is tested");
                    Ok(Drivers { uring: false, epoll: true })
                }
            },
        }
    }

    /// The faces to run a program of this interface on.
    pub(crate) fn faces(self, interface: Interface) -> Vec<Face> {
        let mut faces = match interface {
            Interface::Posix => vec![Face::Glibc],
            Interface::Libaio => vec![Face::Native],
            Interface::Onewait => vec![],
        };
        if self.uring {
            faces.extend([Face::Uring, Face::Linked]);
            faces.extend((interface == Interface::Libaio).then_some(Face::Replaced));
        }
        faces.extend(self.epoll.then_some(Face::Epoll));
        faces
    }
}

/// Why the kernel gives no ring, or `None` if it gives one.
fn uring_refused() -> Option<rustix::io::Errno> {
    let mut params = rustix::io_uring::io_uring_params::default();
    // SAFETY: the default parameters hold no pointer and no descriptor; the ring is closed at once, never used.
    unsafe { rustix::io_uring::io_uring_setup(1, &mut params) }.err()
}
