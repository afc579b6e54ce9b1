//! `syscall(2)`: programs that call the kernel's AIO past libaio come this way. Everything else passes through: two
//! comparisons more than libc's, the same registers, nothing on the stack.
//!
//! Written in the processor's language for three reasons: the function has any number of arguments; a child of `vfork` may
//! return from it on its parent's stack; and it must not slow down a program that makes all its system calls by it.

#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

use crate::errno;
use crate::libaio;
use onewait::Errno;
use std::arch::naked_asm;
use std::ffi::c_long;

// What the comparisons below rest on.
#[cfg(target_arch = "x86_64")]
const _: () = {
    assert!(libc::SYS_io_setup == 206 && libc::SYS_io_destroy == 207 && libc::SYS_io_getevents == 208);
    assert!(libc::SYS_io_submit == 209 && libc::SYS_io_cancel == 210);
};
#[cfg(target_arch = "aarch64")]
const _: () = {
    assert!(libc::SYS_io_setup == 0 && libc::SYS_io_destroy == 1 && libc::SYS_io_submit == 2);
    assert!(libc::SYS_io_cancel == 3 && libc::SYS_io_getevents == 4);
};

/// `syscall(2)`.
///
/// # Safety
/// As the original.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    naked_asm!(
        // So that a thread that is cancelled in here is unwound through it.
        ".cfi_startproc",
        "endbr64",
        "lea rax, [rdi - {first}]",
        "cmp rax, 4",
        "jbe 2f",
        "cmp rdi, {masked}",
        "je 2f",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        "mov r10, r8",
        "mov r8, r9",
        "mov r9, [rsp + 8]",
        "syscall",
        "cmp rax, -4095",
        "jae 3f",
        "ret",
        // The arguments lie as the call wants them.
        "2:",
        "jmp {aio}",
        "3:",
        "mov rdi, rax",
        "jmp {fail}",
        ".cfi_endproc",
        first = const libc::SYS_io_setup,
        masked = const libaio::SYS_IO_PGETEVENTS,
        aio = sym aio,
        fail = sym fail,
    )
}

/// `syscall(2)`.
///
/// # Safety
/// As the original.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    naked_asm!(
        // So that a thread that is cancelled in here is unwound through it.
        ".cfi_startproc",
        "bti c",
        "cmp x0, 4",
        "b.ls 2f",
        "cmp x0, {masked}",
        "b.eq 2f",
        "mov x8, x0",
        "mov x0, x1",
        "mov x1, x2",
        "mov x2, x3",
        "mov x3, x4",
        "mov x4, x5",
        "mov x5, x6",
        "svc 0",
        "cmn x0, 4095",
        "b.cs 3f",
        "ret",
        // The arguments lie as the call wants them.
        "2:",
        "b {aio}",
        "3:",
        "b {fail}",
        ".cfi_endproc",
        masked = const libaio::SYS_IO_PGETEVENTS,
        aio = sym aio,
        fail = sym fail,
    )
}

/// One of the system calls of the kernel's AIO.
unsafe extern "C" fn aio(number: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    // SAFETY: passed on to the caller.
    let result = unsafe { libaio::system_call(number, [a, b, c, d, e, f]) };
    match result {
        Ok(value) => value as c_long,
        Err(errno) => {
            errno::set(errno);
            -1
        }
    }
}

/// Turns what the kernel says of an error into what C says of it.
unsafe extern "C" fn fail(result: c_long) -> c_long {
    errno::set(Errno(-result as i32));
    -1
}
