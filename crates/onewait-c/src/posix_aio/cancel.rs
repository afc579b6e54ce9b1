//! Cancelling.

use super::aiocb::{Aiocb, IN_PROGRESS};
use crate::process;
use onewait::aio::{Target, Verdict};
use onewait::{Errno, sys};
use std::ffi::c_int;

/// `aio_cancel`: the verdict in the terms of `<aio.h>`.
pub(super) fn cancel(fd: c_int, block: Option<&Aiocb>) -> Result<c_int, Errno> {
    sys::status_flags(fd)?;
    let target = match block {
        None => Target::Descriptor(fd),
        Some(block) if block.fd != fd => return Err(Errno::INVAL),
        Some(block) if block.error() != IN_PROGRESS => return Ok(libc::AIO_ALLDONE),
        Some(block) => Target::Request(block.key()),
    };
    let Some(process) = process::existing() else { return Ok(libc::AIO_ALLDONE) };
    process.engine.poll();
    let verdict = process.engine.cancel(target);
    Ok(match verdict {
        Verdict { survived: true, .. } => libc::AIO_NOTCANCELED,
        Verdict { cancelled: true, .. } => libc::AIO_CANCELED,
        // Not the engine's (a block that a forked child inherited), or just about to be handed to it.
        _ if block.is_some_and(|block| block.error() == IN_PROGRESS) => libc::AIO_NOTCANCELED,
        _ => libc::AIO_ALLDONE,
    })
}
