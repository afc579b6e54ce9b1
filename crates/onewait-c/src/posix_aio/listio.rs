//! Lists of requests.

use super::aiocb::{Aiocb, Sigevent};
use super::group::Group;
use super::notify::Notification;
use super::submit::{self, Manner};
use super::suspend::{self, Until};
use crate::errno;
use crate::process;
use onewait::Errno;
use onewait::driver::operation::Code;
use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `lio_listio`.
pub(super) fn listio(mode: c_int, list: *const *mut Aiocb, count: c_int, event: *mut Sigevent) -> c_int {
    if mode != libc::LIO_WAIT && mode != libc::LIO_NOWAIT {
        return errno::status(Err(Errno::INVAL));
    }
    let Ok(count) = usize::try_from(count) else { return errno::status(Err(Errno::INVAL)) };
    // SAFETY: the program says that so many pointers are there.
    let list = if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(list, count) } };
    // SAFETY: null, or a wish for a notification.
    let event = unsafe { event.as_ref() }.filter(|_| mode == libc::LIO_NOWAIT);
    let notification = event.map_or(Notification::None, Notification::of);
    if let Err(errno) = notification.prepare() {
        return errno::status(Err(errno));
    }
    if mode == libc::LIO_NOWAIT && notification.is_none() {
        return errno::status(errno::guarded(|| submit_all(list, None, &mut 0)));
    }
    let group = Group::new(notification);
    let mut accepted = 0;
    let submitted = errno::guarded(|| submit_all(list, Some(&group), &mut accepted));
    if mode == libc::LIO_NOWAIT || accepted == 0 {
        // With nothing to wait for, the error is the one of the last request that was refused, as in glibc.
        group.one_ended(false);
        return errno::status(submitted);
    }
    group.one_ended(submitted.is_err());
    // Nothing on this frame may need a destructor: the wait may end by the cancellation of the thread, which loses the
    // group's memory.
    let group = Arc::into_raw(group);
    // SAFETY: the pointer holds a count of its own until it is taken back below.
    let waited = wait(unsafe { &*group });
    // SAFETY: from `into_raw` above.
    let group = unsafe { Arc::from_raw(group) };
    errno::status(waited.and_then(|()| if group.has_failed() { Err(Errno(libc::EIO)) } else { Ok(()) }))
}

/// Submits a list's requests, and counts those that are accepted: that end by themselves.
///
/// # Errors
/// Why the last one that was refused was; the others are on their way.
fn submit_all(list: &[*mut Aiocb], group: Option<&Arc<Group>>, accepted: &mut usize) -> Result<(), Errno> {
    let mut result = Ok(());
    let add = || group.into_iter().for_each(|group| group.add());
    let one_failed = || group.into_iter().for_each(|group| group.one_ended(true));
    for block in list {
        // SAFETY: null, or a block.
        let Some(block) = (unsafe { block.as_ref() }) else { continue };
        let code = match block.opcode {
            libc::LIO_READ => Code::Read,
            libc::LIO_WRITE => Code::Write,
            libc::LIO_NOP => continue,
            _ => {
                submit::refuse(block, Errno::INVAL);
                *accepted += 1;
                add();
                one_failed();
                continue;
            }
        };
        add();
        let manner = Manner { group: group.cloned(), flush: false };
        match submit::transfer_as(block, code, manner) {
            Ok(()) => *accepted += 1,
            Err(errno) => {
                one_failed();
                result = Err(errno);
            }
        }
    }
    if let Some(process) = process::existing() {
        process.engine.flush();
    }
    result
}

fn wait(group: &Group) -> Result<(), Errno> {
    let left = group.left();
    if process::existing().is_some_and(|process| process.engine.watch_copies(|| left.load(Ordering::SeqCst) == 0)) {
        return Ok(());
    }
    if let Some(process) = process::existing()
        && let Some(result) = suspend::wait_on_own_ring(process, Until::Forever, || left.load(Ordering::SeqCst) == 0)
    {
        return result;
    }
    loop {
        let count = left.load(Ordering::SeqCst);
        if count == 0 {
            return Ok(());
        }
        suspend::is_over(suspend::sleep(left, count, Until::Forever))?;
    }
}
