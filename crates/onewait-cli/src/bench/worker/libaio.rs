//! The program on the kernel's native AIO: `io_submit` for as many requests as are to be started together, `io_getevents` for at
//! least one that is done.
//!
//! By `syscall`, which is the C library's, bound when the process starts: with libonewait.so preloaded it is that one's, which
//! serves these calls as it serves libaio's functions.

use super::{BLOCK, Block, Measured, Meter, Op, Order, check, provider_of};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;

/// `IOCB_CMD_PREAD` and `IOCB_CMD_PWRITE` of `linux/aio_abi.h`.
const COMMANDS: [u16; 2] = [0, 1];

/// `struct io_event` of `linux/aio_abi.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Event {
    data: u64,
    object: u64,
    result: i64,
    result2: i64,
}

/// Runs the program until the meter says so, or all blocks have come.
pub(super) fn run(
    file: &File,
    op: Op,
    blocks: &'static [Block],
    order: &mut Order,
    mut meter: Meter,
) -> Result<Measured, String> {
    let mut context = Context::new(file, op, blocks)?;
    let mut draining = false;
    let mut measured = None;
    for slot in 0..blocks.len() {
        match order.next() {
            Some(block) => context.stage(slot, block),
            None => draining = true,
        }
    }
    context.submit()?;
    while context.flying > 0 {
        let done = context.reap()?;
        draining |= meter.over();
        for place in 0..done {
            let Event { data: slot, result, .. } = context.events[place];
            check(op, result as isize)?;
            meter.completed();
            match if draining { None } else { order.next() } {
                Some(block) => context.stage(slot as usize, block),
                None => draining = true,
            }
        }
        if draining && measured.is_none() {
            // The clock stops while all are busy; emptying the context is not what a row is about.
            measured = Some(meter.stop());
        }
        context.submit()?;
    }
    let mut measured = measured.unwrap_or_else(|| meter.stop());
    measured.provider = provider_of(libc::syscall as *const libc::c_void);
    Ok(measured)
}

/// A context with `depth` control blocks.
struct Context {
    id: libc::c_ulong,
    /// Leaked, as the blocks are.
    control: &'static mut [libc::iocb],
    /// Those that are to be started next.
    staged: Vec<*mut libc::iocb>,
    events: Vec<Event>,
    flying: usize,
}

impl Context {
    fn new(file: &File, op: Op, blocks: &'static [Block]) -> Result<Context, String> {
        let control = blocks.iter().enumerate().map(|(slot, block)| {
            // SAFETY: a C structure of integers; all zero is what unused fields have to be.
            let mut control: libc::iocb = unsafe { MaybeUninit::zeroed().assume_init() };
            control.aio_data = slot as u64;
            control.aio_lio_opcode = COMMANDS[op as usize];
            control.aio_fildes = file.as_raw_fd() as u32;
            control.aio_buf = block.0.get() as u64;
            control.aio_nbytes = BLOCK as u64;
            control
        });
        let control = Box::leak(control.collect());
        let (staged, events) = (Vec::with_capacity(blocks.len()), vec![Event::default(); blocks.len()]);
        let mut context = Context { id: 0, control, staged, events, flying: 0 };
        // SAFETY: the context can be written.
        let status = unsafe { libc::syscall(libc::SYS_io_setup, blocks.len() as libc::c_long, &raw mut context.id) };
        if status == 0 { Ok(context) } else { Err(format!("io_setup failed: {}", io::Error::last_os_error())) }
    }

    /// The request of a slot that is not in flight is to be started.
    fn stage(&mut self, slot: usize, block: u64) {
        self.control[slot].aio_offset = (block * BLOCK as u64) as i64;
        self.staged.push(&raw mut self.control[slot]);
    }

    /// Starts what is staged.
    fn submit(&mut self) -> Result<(), String> {
        let mut begin = 0;
        while begin < self.staged.len() {
            let list = self.staged[begin..].as_mut_ptr();
            let count = (self.staged.len() - begin) as libc::c_long;
            // SAFETY: so many control blocks, which are leaked, as their buffers are, and not in flight.
            let taken = unsafe { libc::syscall(libc::SYS_io_submit, self.id, count, list) };
            match usize::try_from(taken) {
                Ok(taken) if taken > 0 => begin += taken,
                _ => return Err(format!("io_submit failed: {}", io::Error::last_os_error())),
            }
        }
        self.flying += self.staged.len();
        self.staged.clear();
        Ok(())
    }

    /// Waits until at least one is done: how many events there are.
    fn reap(&mut self) -> Result<usize, String> {
        loop {
            let room = self.events.len() as libc::c_long;
            let none = ptr::null_mut::<libc::timespec>();
            // SAFETY: so many events can be written.
            let count = unsafe {
                libc::syscall(libc::SYS_io_getevents, self.id, 1 as libc::c_long, room, self.events.as_mut_ptr(), none)
            };
            if let Ok(count) = usize::try_from(count) {
                self.flying -= count;
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(format!("io_getevents failed: {error}"));
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is ours; the kernel waits for what is in flight.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.id) };
    }
}
