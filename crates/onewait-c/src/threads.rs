//! Second threads: before a process makes one, its lone submitter gives up the ring that only it can reap.
//!
//! So the functions that make threads are ours: the obvious ones, and those whose notifications run on threads of libc's.

use crate::process;
use crate::real::call_real;
use onewait::sys;
use std::ffi::{c_int, c_void};

/// The process is about to have a second thread.
pub(crate) fn before_thread() {
    if let Some(process) = process::existing() {
        process.engine.before_second_thread();
    }
}

pub(crate) type StartRoutine = Option<unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void>;
type PthreadCreate =
    unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, StartRoutine, *mut c_void) -> c_int;

/// `pthread_create(3)`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: StartRoutine,
    argument: *mut c_void,
) -> c_int {
    create(thread, attributes, routine, argument)
}

/// Makes a thread, for the program or for a notification: 0 or an error number.
pub(crate) fn create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: StartRoutine,
    argument: *mut c_void,
) -> c_int {
    // Threads of the engine's own do not submit.
    if !routine.is_some_and(|routine| sys::is_own_routine(routine as *const c_void)) {
        before_thread();
    }
    call_real!(c"pthread_create" as PthreadCreate, (thread, attributes, routine, argument), libc::EAGAIN)
}

type ThrdStart = Option<unsafe extern "C-unwind" fn(*mut c_void) -> c_int>;
type ThrdCreate = unsafe extern "C" fn(*mut libc::pthread_t, ThrdStart, *mut c_void) -> c_int;
/// `thrd_error` of `<threads.h>`.
const THRD_ERROR: c_int = 2;

/// `thrd_create(3)`.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn thrd_create(thread: *mut libc::pthread_t, routine: ThrdStart, argument: *mut c_void) -> c_int {
    before_thread();
    call_real!(c"thrd_create" as ThrdCreate, (thread, routine, argument), THRD_ERROR)
}

type TimerCreate = unsafe extern "C" fn(libc::clockid_t, *mut libc::sigevent, *mut libc::timer_t) -> c_int;

/// `timer_create(2)`: with SIGEV_THREAD, call-backs run on threads of libc's.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn timer_create(
    clock: libc::clockid_t,
    event: *mut libc::sigevent,
    timer: *mut libc::timer_t,
) -> c_int {
    before_thread();
    call_real!(c"timer_create" as TimerCreate, (clock, event, timer), -1)
}

type MqNotify = unsafe extern "C" fn(libc::mqd_t, *const libc::sigevent) -> c_int;

/// `mq_notify(3)`: with SIGEV_THREAD, call-backs run on threads of libc's.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mq_notify(queue: libc::mqd_t, event: *const libc::sigevent) -> c_int {
    before_thread();
    call_real!(c"mq_notify" as MqNotify, (queue, event), -1)
}

type GetaddrinfoA = unsafe extern "C" fn(c_int, *mut *mut c_void, c_int, *mut libc::sigevent) -> c_int;

/// `getaddrinfo_a(3)`: look-ups and call-backs run on threads of libc's.
///
/// # Safety
/// As the original.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getaddrinfo_a(
    mode: c_int,
    list: *mut *mut c_void,
    count: c_int,
    event: *mut libc::sigevent,
) -> c_int {
    before_thread();
    call_real!(c"getaddrinfo_a" as GetaddrinfoA, (mode, list, count, event), libc::EAI_SYSTEM)
}
