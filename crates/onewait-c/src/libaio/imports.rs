//! Which functions the loaded objects import: by their relocations, which name every symbol that an object uses.

use std::ffi::{CStr, c_int, c_void};
use std::slice;

/// Bytes of a relocation with an addend; both processors with this face use no others.
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// `Elf64_Sym`.
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// `Elf64_Dyn`.
#[repr(C)]
struct Entry {
    tag: i64,
    value: u64,
}

const DT_NULL: i64 = 0;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_JMPREL: i64 = 23;
/// The section of a symbol that another object defines.
const UNDEFINED: u16 = 0;

/// The first loaded object of which `is_it` says so, given a function that tells whether it imports a name.
pub(super) fn find_object(is_it: &mut dyn FnMut(&Imports) -> bool) -> Option<String> {
    struct Search<'a> {
        is_it: &'a mut dyn FnMut(&Imports) -> bool,
        found: Option<String>,
    }
    unsafe extern "C" fn look_at(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
        // SAFETY: both are given by `dl_iterate_phdr` and by the call below, and live through the call.
        let (info, search) = unsafe { (&*info, &mut *search.cast::<Search<'_>>()) };
        // SAFETY: the object is loaded, and stays while we are called.
        let imports = unsafe { Imports::of(info) };
        if imports.is_some_and(|imports| (search.is_it)(&imports)) {
            // SAFETY: null, or a C string.
            let name = unsafe { (!info.dlpi_name.is_null()).then(|| CStr::from_ptr(info.dlpi_name)) };
            let name = name.filter(|name| !name.is_empty()).map_or("the program".into(), CStr::to_string_lossy);
            search.found = Some(name.into_owned());
        }
        c_int::from(search.found.is_some())
    }
    let mut search = Search { is_it, found: None };
    // SAFETY: the function is called with the search's address, during this call only.
    unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut search).cast()) };
    search.found
}

/// The imports of one loaded object.
pub(super) struct Imports {
    relocations: [&'static [Relocation]; 2],
    symbols: *const Symbol,
    names: *const u8,
}

impl Imports {
    /// # Safety
    /// The object is loaded, and stays while the result is used.
    unsafe fn of(info: &libc::dl_phdr_info) -> Option<Imports> {
        let base = info.dlpi_addr;
        // SAFETY: the loader's own tables.
        let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let dynamic = headers.iter().find(|header| header.p_type == libc::PT_DYNAMIC)?;
        let mut entry = base.wrapping_add(dynamic.p_vaddr) as *const Entry;
        let (mut symbols, mut names) = (0, 0);
        let mut tables = [(0, 0); 2];
        loop {
            // SAFETY: the dynamic section ends with DT_NULL.
            let Entry { tag, value } = unsafe { entry.read() };
            // glibc turns most of these into addresses, but not those of objects that it cannot write to.
            let address = if value < base { base.wrapping_add(value) } else { value };
            match tag {
                DT_NULL => break,
                DT_STRTAB => names = address,
                DT_SYMTAB => symbols = address,
                DT_JMPREL => tables[0].0 = address,
                DT_PLTRELSZ => tables[0].1 = value,
                DT_RELA => tables[1].0 = address,
                DT_RELASZ => tables[1].1 = value,
                _ => {}
            }
            entry = entry.wrapping_add(1);
        }
        if symbols == 0 || names == 0 {
            return None;
        }
        let relocations = tables.map(|(address, size)| match address {
            0 => &[][..],
            // SAFETY: the object says that its relocations are there.
            _ => unsafe {
                slice::from_raw_parts(address as *const Relocation, size as usize / size_of::<Relocation>())
            },
        });
        Some(Imports { relocations, symbols: symbols as *const Symbol, names: names as *const u8 })
    }

    /// Whether the object imports any of these.
    pub(super) fn any(&self, names: &[&CStr]) -> bool {
        self.relocations.iter().flat_map(|table| table.iter()).any(|relocation| {
            let index = (relocation.info >> 32) as usize;
            if index == 0 {
                return false;
            }
            // SAFETY: relocations name symbols that are there, and symbols have names.
            let (symbol, name) = unsafe {
                let symbol = &*self.symbols.add(index);
                (symbol, CStr::from_ptr(self.names.add(symbol.name as usize).cast()))
            };
            symbol.section == UNDEFINED && names.contains(&name)
        })
    }
}
