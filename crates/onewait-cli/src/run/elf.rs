//! What an ELF file's headers say about who can run with it.

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What two ELF files must share to run in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    is_64: bool,
    is_little_endian: bool,
    number: u16,
}

/// The part of a program's headers that decides whether a library can be put in front of it.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) machine: Machine,
    /// The loader that the kernel starts for it (PT_INTERP); `None` if it is statically linked.
    pub(super) loader: Option<PathBuf>,
}

/// Reads the headers of `file`; `None` if it is not a well-formed ELF program.
pub(super) fn read(file: &File) -> Option<Program> {
    let data = ReadCache::new(file);
    match FileKind::parse(&data).ok()? {
        FileKind::Elf64 => parse::<FileHeader64<Endianness>>(&data),
        FileKind::Elf32 => parse::<FileHeader32<Endianness>>(&data),
        _ => None,
    }
}

fn parse<Header: FileHeader<Endian = Endianness>>(data: &ReadCache<&File>) -> Option<Program> {
    let header = Header::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return None;
    }
    let mut loader = None;
    for segment in header.program_headers(endian, data).ok()? {
        if let Some(name) = segment.interpreter(endian, data).ok()? {
            loader = Some(PathBuf::from(OsStr::from_bytes(name)));
        }
    }
    let machine = Machine {
        is_64: header.is_type_64(),
        is_little_endian: header.is_little_endian(),
        number: header.e_machine(endian),
    };
    Some(Program { machine, loader })
}

impl Machine {
    /// The name that people use for it.
    pub(super) fn name(self) -> String {
        let name = match (self.number, self.is_64) {
            (elf::EM_X86_64, true) => "x86-64",
            (elf::EM_X86_64, false) => "x86-64 with 32-bit pointers (x32)",
            (elf::EM_386, _) => "32-bit x86",
            (elf::EM_AARCH64, true) => "64-bit ARM",
            (elf::EM_ARM, _) => "32-bit ARM",
            (elf::EM_RISCV, true) => "64-bit RISC-V",
            (elf::EM_RISCV, false) => "32-bit RISC-V",
            (elf::EM_PPC64, _) if self.is_little_endian => "little-endian 64-bit POWER",
            (elf::EM_PPC64, _) => "big-endian 64-bit POWER",
            (elf::EM_S390, true) => "IBM Z",
            (elf::EM_LOONGARCH, _) => "LoongArch",
            (number, is_64) => {
                return format!("another processor (ELF machine {number}, {} bits)", if is_64 { 64 } else { 32 });
            }
        };
        name.into()
    }
}
