//! The program on `<aio.h>`: `aio_read` or `aio_write`, `aio_suspend` on all that are in flight, `aio_error` and
//! `aio_return` for each that is done.
//!
//! The functions are the C library's, bound when the process starts: with libonewait.so preloaded they are its.

use super::{BLOCK, Block, Measured, Meter, Op, Order, check, provider_of};
use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

/// Runs the program until the meter says so, or all blocks have come.
pub(super) fn run(
    file: &File,
    op: Op,
    blocks: &'static [Block],
    order: &mut Order,
    mut meter: Meter,
) -> Result<Measured, String> {
    let mut requests = Requests::new(file, op, blocks);
    let mut draining = false;
    for slot in 0..blocks.len() {
        match order.next() {
            Some(block) => requests.start(slot, block)?,
            None => draining = true,
        }
    }
    loop {
        requests.wait()?;
        draining |= meter.over();
        for slot in 0..blocks.len() {
            let Some(result) = requests.take(slot) else { continue };
            check(op, result)?;
            meter.completed();
            match if draining { None } else { order.next() } {
                Some(block) => requests.start(slot, block)?,
                None => draining = true,
            }
        }
        if draining {
            break;
        }
    }
    // The clock stops while all are busy; emptying the pipe is not what a row is about.
    let mut measured = meter.stop();
    requests.drain()?;
    measured.provider = provider_of(libc::aio_read as *const libc::c_void);
    Ok(measured)
}

/// `depth` control blocks, and the list of those in flight as aio_suspend wants it.
struct Requests {
    op: Op,
    control: &'static [UnsafeCell<libc::aiocb>],
    /// The control block of each slot in flight, null for the others.
    flying: Vec<*const libc::aiocb>,
}

impl Requests {
    fn new(file: &File, op: Op, blocks: &'static [Block]) -> Requests {
        let control = blocks.iter().map(|block| {
            // SAFETY: a C structure of integers and pointers; all zero is what aio.h asks for in unused fields.
            let mut control: libc::aiocb = unsafe { MaybeUninit::zeroed().assume_init() };
            control.aio_fildes = file.as_raw_fd();
            control.aio_buf = block.0.get().cast();
            control.aio_nbytes = BLOCK;
            control.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
            UnsafeCell::new(control)
        });
        // Leaked for the same reason as the blocks.
        let control: &'static [_] = Box::leak(control.collect());
        Requests { op, control, flying: vec![ptr::null(); blocks.len()] }
    }

    /// Starts the request of a slot that is not in flight.
    fn start(&mut self, slot: usize, block: u64) -> Result<(), String> {
        let control = self.control[slot].get();
        // SAFETY: the slot is not in flight (`flying` is null there), so only this thread touches its control block;
        // it and its buffer are leaked, so they outlive the request.
        let status = unsafe {
            (*control).aio_offset = block as libc::off_t * BLOCK as libc::off_t;
            match self.op {
                Op::Read => libc::aio_read(control),
                Op::Write => libc::aio_write(control),
            }
        };
        if status != 0 {
            return Err(format!("a {} was refused: {}", self.op, io::Error::last_os_error()));
        }
        self.flying[slot] = control;
        Ok(())
    }

    /// Waits until at least one is done.
    fn wait(&self) -> Result<(), String> {
        loop {
            // SAFETY: a list of as many entries as are named, each null or a control block that lives.
            let status = unsafe { libc::aio_suspend(self.flying.as_ptr(), self.flying.len() as i32, ptr::null()) };
            if status == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(format!("aio_suspend failed: {error}"));
            }
        }
    }

    /// The result of a slot, if it is in flight and done: bytes, or a negative errno.
    fn take(&mut self, slot: usize) -> Option<isize> {
        if self.flying[slot].is_null() {
            return None;
        }
        let control = self.control[slot].get();
        // SAFETY: a control block that was submitted and not yet returned.
        let error = unsafe { libc::aio_error(control) };
        if error == libc::EINPROGRESS {
            return None;
        }
        self.flying[slot] = ptr::null();
        // SAFETY: as above, and it is complete; this is its only aio_return.
        let bytes = unsafe { libc::aio_return(control) };
        Some(if error == 0 { bytes } else { -(error as isize) })
    }

    fn drain(&mut self) -> Result<(), String> {
        while self.flying.iter().any(|control| !control.is_null()) {
            self.wait()?;
            for slot in 0..self.flying.len() {
                if let Some(result) = self.take(slot) {
                    check(self.op, result)?;
                }
            }
        }
        Ok(())
    }
}
