//! The C programs: compiled against the system's headers, so that the ABI under test is the real one.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::library::scratch;

/// How every program is compiled.
const FLAGS: [&str; 7] = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"];

/// What a program calls; its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// `<aio.h>`, of the C library.
    Posix,
    /// `<libaio.h>`, and the kernel's own AIO: the programs called `libaio_…`.
    Libaio,
    /// `<onewait.h>`: the programs called `reactor_…`.
    Onewait,
    /// `<sys/epoll.h>`: the programs called `epoll_…`.
    Epoll,
}

impl Interface {
    fn of(program: &str) -> Interface {
        match program.split_once('_') {
            Some(("libaio", _)) => Interface::Libaio,
            Some(("reactor", _)) => Interface::Onewait,
            Some(("epoll", _)) => Interface::Epoll,
            _ => Interface::Posix,
        }
    }

    /// How many rules the interface has; a test of rule 9 is named `rule_09_…`.
    pub(crate) fn rules(self) -> u32 {
        match self {
            Interface::Posix => 82,
            Interface::Libaio => 40,
            // Those of epoll are asked in the tests of the crates `eventpoll` and `onewait`.
            Interface::Onewait | Interface::Epoll => 0,
        }
    }

    /// Why its programs cannot be compiled here.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let is_missing = self == Interface::Libaio && !links(LIBAIO);
        is_missing.then_some("<libaio.h> and libaio (Debian: libaio-dev) are not installed")
    }
}

const LIBAIO: &str = "#include <libaio.h>\nint main(void) { return io_queue_release(0) == 0; }\n";

/// Whether the C compiler makes a program of this text and libaio.
fn links(text: &str) -> bool {
    let compiler = Command::new("cc")
        .args(["-x", "c", "-", "-laio", "-o", "/dev/null"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut compiler) = compiler else { return false };
    let written = compiler.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
    compiler.wait().is_ok_and(|status| status.success()) && matches!(written, Some(Ok(())))
}

/// One `tests/c/*.c`, twice.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) interface: Interface,
    /// Knows nothing of ours: runs on the original, and on ours by `LD_PRELOAD` or in place of the library's file. (But one
    /// of `<onewait.h>` is always linked.)
    pub(crate) plain: PathBuf,
    /// Has `libonewait.so` before libc, and no libaio.
    pub(crate) linked: PathBuf,
    pub(crate) tests: Vec<Test>,
}

/// One `TEST(class, name)`.
#[derive(Clone, Debug)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) class: Class,
}

/// What a test says about the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Passes there too.
    Same,
    /// Must not pass there; else it would prove no improvement.
    Better,
    /// Is not run there.
    Ours,
}

impl Class {
    pub(crate) fn runs_on_the_original(self) -> bool {
        self != Class::Ours
    }
}

/// Compiles what has changed, several programs at a time, and lists the tests. Programs of the interfaces in `missing`
/// are left out.
pub(crate) fn build_all(library: &Path, missing: &[Interface]) -> Result<Vec<Program>, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let mut found = Vec::new();
    let mut headers = modified(&include_dir().join("onewait.h"));
    for entry in fs::read_dir(&sources).map_err(|error| format!("{}: {error}", sources.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", sources.display()))?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("c") if !missing.contains(&Interface::of(&stem(&path))) => found.push(path),
            Some("h") => headers = headers.max(modified(&path)),
            _ => {}
        }
    }
    found.sort();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut programs = Vec::new();
    for some in found.chunks(workers) {
        let built: Vec<_> = std::thread::scope(|scope| {
            let jobs: Vec<_> =
                some.iter().map(|source| scope.spawn(|| build(&sources, source, headers, library))).collect();
            jobs.into_iter().map(|job| job.join().unwrap_or_else(|_| Err("a compile panicked".into()))).collect()
        });
        for program in built {
            programs.push(program?);
        }
    }
    Ok(programs)
}

/// Compiles the program that plays random calls: one file that includes the others of its directory.
pub(crate) fn build_fuzz(library: &Path) -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
    let dir = sources.join("fuzz");
    let mut inputs = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))? {
        inputs = inputs.max(modified(&entry.map_err(|error| format!("{}: {error}", dir.display()))?.path()));
    }
    let output = output_dir(library)?.join("fuzz");
    compile(&sources, &dir.join("main.c"), &output, inputs, &[])?;
    Ok(output)
}

/// Where programs go: one directory a profile, since the linked programs of two profiles name two libraries.
fn output_dir(library: &Path) -> Result<PathBuf, String> {
    let dir = library.parent().unwrap_or(library);
    let out = scratch().join("c").join(dir.file_name().unwrap_or_default());
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    Ok(out)
}

/// Compiles an example of `<onewait.h>`.
pub(crate) fn build_example(name: &str, library: &Path) -> Result<PathBuf, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let source = sources.join(name).with_extension("c");
    let inputs = modified(&source).max(modified(&include_dir().join("onewait.h"))).max(modified(library));
    let output = output_dir(library)?.join(name);
    compile(&sources, &source, &output, inputs, &as_strs(&linking(library)))?;
    Ok(output)
}

/// What links a program with our library.
fn linking(library: &Path) -> Vec<String> {
    let dir = library.parent().unwrap_or(library).display().to_string();
    let rpath = format!("-Wl,-rpath,{dir}");
    let mut link = vec!["-L".into(), dir, "-Wl,--no-as-needed".into(), "-lonewait".into(), rpath];
    // The sanitizer's run-time library, which ours needs if it was built for it.
    link.extend(env::var("ONEWAIT_TEST_PRELOAD"));
    link
}

fn as_strs(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}

fn build(sources: &Path, source: &Path, headers: SystemTime, library: &Path) -> Result<Program, String> {
    let name = stem(source);
    let interface = Interface::of(&name);
    let out = output_dir(library)?;
    let linked = out.join(format!("{name}.linked"));
    let plain = if interface == Interface::Onewait { linked.clone() } else { out.join(&name) };
    let inputs = headers.max(modified(source));
    match interface {
        Interface::Posix | Interface::Epoll => compile(sources, source, &plain, inputs, &[])?,
        Interface::Libaio => compile(sources, source, &plain, inputs, &["-laio"])?,
        Interface::Onewait => {}
    }
    let link = linking(library);
    compile(sources, source, &linked, inputs.max(modified(library)), &as_strs(&link))?;
    let tests = list(&plain)?;
    Ok(Program { name, interface, plain, linked, tests })
}

/// Where `onewait.h` is.
pub(crate) fn include_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include")
}

fn stem(source: &Path) -> String {
    source.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn compile(sources: &Path, source: &Path, output: &Path, inputs: SystemTime, link: &[&str]) -> Result<(), String> {
    if output.exists() && modified(output) > inputs {
        return Ok(());
    }
    // A name of its own until it is whole: two test runs may compile the same program.
    let partial = output.with_extension(format!("{}.partial", std::process::id()));
    let result = Command::new("cc")
        .args(FLAGS)
        .args(["-pthread", "-I"])
        .arg(sources)
        .arg("-I")
        .arg(include_dir())
        .arg(source)
        .arg("-o")
        .arg(&partial)
        .args(link)
        .output()
        .map_err(|error| format!("the C compiler (cc) does not start: {error}"))?;
    if !result.status.success() {
        return Err(format!("{}:\n{}", source.display(), String::from_utf8_lossy(&result.stderr)));
    }
    fs::rename(&partial, output).map_err(|error| format!("{}: {error}", output.display()))
}

fn list(program: &Path) -> Result<Vec<Test>, String> {
    let mut command = Command::new(program);
    command.arg("--list").env_remove("LD_PRELOAD");
    // One that is linked with a sanitized library needs it, too.
    command.envs(env::var_os("ONEWAIT_TEST_PRELOAD").map(|first| ("LD_PRELOAD", first)));
    let result = command.output().map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let listed = String::from_utf8_lossy(&result.stdout);
    let tests: Option<Vec<Test>> = listed.lines().map(parse).collect();
    match tests {
        Some(tests) if result.status.success() && !tests.is_empty() => Ok(tests),
        _ => Err(format!("{} --list: {}, {listed:?}", program.display(), result.status)),
    }
}

fn parse(line: &str) -> Option<Test> {
    let (name, class) = line.split_once(' ')?;
    let class = match class {
        "same" => Class::Same,
        "better" => Class::Better,
        "ours" => Class::Ours,
        _ => return None,
    };
    Some(Test { name: name.into(), class })
}

/// When a file changed; one that cannot be read counts as new, so that it is built again.
fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or_else(|_| SystemTime::now())
}
