//! System calls by the processor's own instruction.
//!
//! For the calls that a face of ours stands in front of, also in front of libc's `syscall(2)`: the engine's own must not
//! come back to it.

use crate::errno::Errno;
use std::ffi::c_long;

/// The highest error number that the kernel answers with, negated.
const HIGHEST_ERROR: usize = 4095;

/// Makes a system call; those with fewer arguments ignore the rest. Leaves `errno` alone. Async-signal-safe, and never a
/// cancellation point.
///
/// # Errors
/// Those of the system call.
///
/// # Safety
/// As the system call.
#[inline]
pub unsafe fn raw_syscall(number: c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: passed on to the caller.
    let result = unsafe { instruction(number as usize, arguments) };
    if result >= HIGHEST_ERROR.wrapping_neg() { Err(Errno(result.wrapping_neg() as i32)) } else { Ok(result) }
}

#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn instruction(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let result;
    // SAFETY: the registers are those of the kernel's convention; it changes no others.
    unsafe {
        std::arch::asm!(
            "syscall", inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _, options(nostack)
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
#[inline]
unsafe fn instruction(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let result;
    // SAFETY: as above.
    unsafe {
        std::arch::asm!(
            "svc 0", in("x8") number, inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f, options(nostack)
        );
    }
    result
}

/// By libc, where no face of ours stands in front of its `syscall`.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn instruction(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    // SAFETY: passed on to the caller.
    let result = unsafe { libc::syscall(number as c_long, a, b, c, d, e, f) };
    if result == -1 { (Errno::last().0 as usize).wrapping_neg() } else { result as usize }
}
