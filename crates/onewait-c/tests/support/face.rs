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
    /// The system's libaio on the kernel's AIO, or the kernel's epoll: the oracle of the programs that use these.
    Native,
    /// Ours by `LD_PRELOAD`, on the uring driver.
    Uring,
    /// Ours by `LD_PRELOAD`, on the epoll driver.
    Epoll,
    /// Ours by linking (`-lonewait`), on the uring driver: which driver it is makes no difference to the linker.
    Linked,
    /// Ours in place of the file `libaio.so.1`, on the uring driver.
    Replaced,
    /// Ours by `LD_PRELOAD`, where epoll is left alone.
    Aside,
    /// Ours by `LD_PRELOAD`, where epoll is served.
    Served,
    /// The same, and waits look for as long as they may before they sleep.
    Looking,
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
            Face::Aside => "aside",
            Face::Served => "served",
            Face::Looking => "looking",
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
        let is_preloaded = !matches!(self, Face::Glibc | Face::Native | Face::Linked | Face::Replaced);
        let ours = is_preloaded.then(|| library.display().to_string());
        let preload: Vec<String> = first.into_iter().chain(ours).collect();
        let driver = match self {
            Face::Glibc | Face::Native | Face::Aside | Face::Served | Face::Looking => None,
            Face::Uring | Face::Linked | Face::Replaced => Some("uring"),
            Face::Epoll => Some("epoll"),
        };
        let preload = (!preload.is_empty()).then(|| ("LD_PRELOAD", preload.join(":")));
        let place = (self == Face::Replaced).then(|| ("LD_LIBRARY_PATH", stand_in(library).display().to_string()));
        let driver = driver.map(|driver| ("ONEWAIT_DRIVER", driver.into()));
        let epoll = matches!(self, Face::Served | Face::Looking).then(|| ("ONEWAIT_EPOLL", "on".into()));
        let spin = (self == Face::Looking).then(|| ("ONEWAIT_SPIN", "1ms".into()));
        preload.into_iter().chain(place).chain(driver).chain(epoll).chain(spin).collect()
    }

    /// Gives a command this face's environment, and nothing of the outer one's that would make it another face.
    pub(crate) fn apply(self, library: &Path, command: &mut Command) {
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "ONEWAIT_DRIVER", "ONEWAIT_EPOLL", "ONEWAIT_SPIN"] {
            command.env_remove(name);
        }
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
            // No driver has a part in it.
            Interface::Epoll => return vec![Face::Native, Face::Aside, Face::Served, Face::Looking],
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
