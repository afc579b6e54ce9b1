//! Whether the library can be put in front of a program: a look into its file before it is run.
//!
//! The loader reads LD_PRELOAD; so what counts is the program that the kernel will start in the end, behind any number of
//! `#!` lines: it must have a loader, ours, and one that heeds the variable.

use super::elf::{self, Program};
use super::lookup;
use super::privileges;
use super::refusal::Refusal;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much of a file the kernel looks at to find out its format (BINPRM_BUF_SIZE).
const HEAD: u64 = 256;
/// How many interpreters the kernel goes through (`#!` to `#!`) before it gives up with ELOOP.
const MAX_INTERPRETERS: usize = 5;
/// What `execvp(3)` hands a script without a `#!` line to.
pub(super) const SHELL: &str = "/bin/sh";

/// What a program's file is, as far as starting it goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The kernel can start it.
    Kernel,
    /// Text without a `#!` line: a shell has to be started with it.
    ShellText,
}

/// Looks into the file at `path` and behind it.
///
/// # Errors
/// A [`Refusal`] if it could not run, or could not run with the library in front of it.
pub(super) fn inspect(path: &Path) -> Result<Form, Refusal> {
    let mut form = Form::Kernel;
    let mut path = path.to_path_buf();
    for _ in 0..=MAX_INTERPRETERS {
        // Execute permission without read permission: only the kernel can tell.
        let Ok(mut file) = File::open(&path) else { return Ok(form) };
        let mut head = Vec::new();
        if let Err(error) = (&mut file).take(HEAD).read_to_end(&mut head) {
            return Err(Refusal::NotExecutable { path, why: error.to_string() });
        }
        if head.starts_with(&object::elf::ELFMAG) {
            check_elf(&path, &file)?;
            return Ok(form);
        }
        if let Some(interpreter) = interpreter(&head) {
            path = next(&path, interpreter)?;
        } else if form == Form::Kernel && is_text(&head) {
            form = Form::ShellText;
            path = SHELL.into();
        } else {
            return Err(Refusal::BadFormat { path });
        }
    }
    Err(Refusal::NotExecutable { path, why: "too many #! lines lead from one interpreter to the next".into() })
}

/// The interpreter that `script` names, if it can be executed.
fn next(script: &Path, interpreter: &OsStr) -> Result<PathBuf, Refusal> {
    let interpreter = PathBuf::from(interpreter);
    match lookup::check(&interpreter) {
        Ok(()) => Ok(interpreter),
        Err(Refusal::Missing { .. }) => Err(Refusal::MissingInterpreter { script: script.into(), interpreter }),
        Err(refusal) => Err(refusal),
    }
}

/// The interpreter in a `#!` line, read as the kernel reads it.
fn interpreter(head: &[u8]) -> Option<&OsStr> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let line = head.strip_prefix(b"#!")?.split(|byte| matches!(byte, b'\n' | 0)).next()?;
    // A carriage return is part of the name, and such a file is seldom there: the kernel says the same.
    let name = line.split(is_blank).find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(name))
}

/// Whether a shell could make something of it: no zero byte before the end of the first line, as shells judge.
fn is_text(head: &[u8]) -> bool {
    head.iter().take_while(|byte| **byte != b'\n').all(|byte| *byte != 0)
}

fn check_elf(path: &Path, file: &File) -> Result<(), Refusal> {
    let Some(program) = elf::read(file) else { return Err(Refusal::BadFormat { path: path.into() }) };
    if let Some(ours) = own_program() {
        check_against(path, file, &program, &ours)?;
    }
    privileges::check(path, file)
}

fn check_against(path: &Path, file: &File, program: &Program, ours: &Program) -> Result<(), Refusal> {
    if program.machine != ours.machine {
        let (machine, ours) = (program.machine.name(), ours.machine.name());
        return Err(Refusal::OtherMachine { path: path.into(), machine, ours });
    }
    let Some(our_loader) = &ours.loader else { return Ok(()) };
    match &program.loader {
        // Installations differ in where the loader lies (Nix, Guix); its name tells which C library it belongs to.
        Some(loader) if loader.file_name() == our_loader.file_name() => Ok(()),
        Some(loader) => {
            Err(Refusal::OtherLoader { path: path.into(), loader: loader.clone(), ours: our_loader.clone() })
        }
        // `ld.so program` is a way to start a program, and the loader itself has none.
        None if is_same_file(file, our_loader) => Ok(()),
        None => Err(Refusal::Static { path: path.into() }),
    }
}

/// What this very command is: the library is built like it.
fn own_program() -> Option<Program> {
    elf::read(&File::open("/proc/self/exe").ok()?)
}

fn is_same_file(file: &File, path: &Path) -> bool {
    let (Ok(one), Ok(other)) = (file.metadata(), path.metadata()) else { return false };
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shebang_line_is_read_as_the_kernel_reads_it() {
        let cases: [(&[u8], Option<&str>); 7] = [
            (b"#!/bin/sh\necho", Some("/bin/sh")),
            (b"#! \t/usr/bin/env python3\n", Some("/usr/bin/env")),
            (b"#!/bin/sh", Some("/bin/sh")),
            (b"#!/bin/sh\r\necho", Some("/bin/sh\r")),
            (b"#!\n/bin/sh", None),
            (b"#/bin/sh\n", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(interpreter(head), expected.map(OsStr::new), "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn text_is_what_has_no_zero_in_its_first_line() {
        assert!(is_text(b""));
        assert!(is_text(b"echo\n\0\0"));
        assert!(!is_text(b"\x01\0\n"));
    }
}
