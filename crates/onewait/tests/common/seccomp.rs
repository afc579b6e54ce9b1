//! System calls that are refused, as containers refuse them.

/// From now on this thread's system calls (and those of the threads that it starts) have the result `action`, but for the
/// exceptions.
pub(crate) fn install(action: u32, exceptions: &[(libc::c_long, u32)]) {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let (compare, give) = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET | libc::BPF_K);
    let step = |code: u32, k: u32, jf: u8| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    // The number of the call lies at offset 0 of `seccomp_data`.
    let mut filter = vec![step(load, 0, 0)];
    for (call, action) in exceptions {
        filter.push(step(compare, *call as u32, 1));
        filter.push(step(give, *action, 0));
    }
    filter.push(step(give, action, 0));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program lives through the call; the kernel copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// Refuses io_uring with `errno`.
pub(crate) fn refuse_io_uring(errno: i32) {
    let refusal = libc::SECCOMP_RET_ERRNO | errno as u32;
    install(libc::SECCOMP_RET_ALLOW, &[(libc::SYS_io_uring_setup, refusal)]);
}
