//! Channels of bytes.

use super::handle::{count, end, made, place, status};
use super::source::{Source, as_source, kind};
use eventpoll::sources::{PipeReader, PipeWriter, pipe};
use onewait::Errno;
use std::ffi::{c_int, c_void};
use std::slice;

/// `ow_channel_create`.
///
/// # Safety
/// The places are null, or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_channel_create(reader: *mut *mut Source, writer: *mut *mut Source) -> c_int {
    status(|| {
        // SAFETY: passed on to the caller.
        let (to_reader, to_writer) = unsafe { (place(reader)?, place(writer)?) };
        let (reader, writer) = pipe();
        *to_reader = made(|| Ok(Source::Reader(reader)));
        *to_writer = made(|| Ok(Source::Writer(writer)));
        Ok(())
    })
}

/// `ow_reader_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reader_destroy(reader: *mut Source) {
    // SAFETY: passed on to the caller.
    unsafe { end(reader, drop) };
}

/// `ow_writer_destroy`.
///
/// # Safety
/// The handle is null, or valid, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_writer_destroy(writer: *mut Source) {
    // SAFETY: passed on to the caller.
    unsafe { end(writer, drop) };
}

/// `ow_reader_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reader_source(reader: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<PipeReader>(reader) }
}

/// `ow_writer_source`.
///
/// # Safety
/// The handle is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_writer_source(writer: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    unsafe { as_source::<PipeWriter>(writer) }
}

/// `ow_reader_read`.
///
/// # Safety
/// The handle is null or valid; so many bytes can be written to the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_reader_read(reader: *mut Source, buffer: *mut c_void, length: usize) -> isize {
    count(|| {
        // SAFETY: passed on to the caller.
        let reader = unsafe { kind::<PipeReader>(reader) }?;
        check(buffer, length)?;
        if length == 0 {
            return Ok(0);
        }
        // SAFETY: by contract. The bytes are only written, whatever was there.
        Ok(reader.read(unsafe { slice::from_raw_parts_mut(buffer.cast(), length) })?)
    })
}

/// `ow_writer_write`.
///
/// # Safety
/// The handle is null or valid; so many bytes can be read from the buffer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ow_writer_write(writer: *mut Source, buffer: *const c_void, length: usize) -> isize {
    count(|| {
        // SAFETY: passed on to the caller.
        let writer = unsafe { kind::<PipeWriter>(writer) }?;
        check(buffer, length)?;
        if length == 0 {
            return Ok(0);
        }
        // SAFETY: by contract.
        Ok(writer.write(unsafe { slice::from_raw_parts(buffer.cast(), length) })?)
    })
}

/// # Errors
/// EINVAL for a length beyond SSIZE_MAX, and for no buffer where there must be one.
fn check(buffer: *const c_void, length: usize) -> Result<(), Errno> {
    if isize::try_from(length).is_err() || buffer.is_null() && length > 0 { Err(Errno::INVAL) } else { Ok(()) }
}
