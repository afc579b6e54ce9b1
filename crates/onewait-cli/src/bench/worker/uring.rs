//! The same program on bare io_uring, one ring for its one thread: the limit of what an engine in between can reach.

use super::{BLOCK, Block, Measured, Meter, Op, Order, check};
use io_uring::{IoUring, opcode, squeue, types};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// A ring for `depth` requests, as its only thread would set it up (Linux 6.1), or a plain one on older kernels.
fn ring(depth: usize) -> io::Result<IoUring> {
    let entries = u32::try_from(depth).map_err(io::Error::other)?;
    match IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(entries),
        built => built,
    }
}

/// Sets a ring up and sends a request through it: some filters refuse only the second.
pub(super) fn probe() -> io::Result<()> {
    let mut ring = ring(1)?;
    // SAFETY: a no-op has no memory.
    unsafe { ring.submission().push(&opcode::Nop::new().build()) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1).map(drop)
}

/// Runs the program until the meter says so, or all blocks have come.
pub(super) fn run(
    file: &File,
    op: Op,
    blocks: &'static [Block],
    order: &mut Order,
    mut meter: Meter,
) -> Result<Measured, String> {
    let failed = |error: io::Error| format!("io_uring failed: {error}");
    let mut ring = ring(blocks.len()).map_err(failed)?;
    let mut flying = 0;
    let mut draining = false;
    for slot in 0..blocks.len() {
        match order.next() {
            Some(block) => start(&mut ring, file, op, blocks, slot, block)?,
            None => {
                draining = true;
                break;
            }
        }
        flying += 1;
    }
    let mut done = Vec::with_capacity(blocks.len());
    let mut measured = None;
    while flying > 0 {
        ring.submit_and_wait(1).map_err(failed)?;
        draining |= meter.over();
        done.extend(ring.completion().map(|entry| (entry.user_data() as usize, entry.result())));
        for (slot, result) in done.drain(..) {
            check(op, result as isize)?;
            flying -= 1;
            meter.completed();
            match if draining { None } else { order.next() } {
                Some(block) => {
                    start(&mut ring, file, op, blocks, slot, block)?;
                    flying += 1;
                }
                None => draining = true,
            }
        }
        if draining && measured.is_none() {
            // The clock stops while all are busy; emptying the ring is not what a row is about.
            measured = Some(meter.stop());
        }
    }
    Ok(measured.unwrap_or_else(|| meter.stop()))
}

/// Puts the request of a slot that is not in flight into the ring; the next wait submits it.
fn start(
    ring: &mut IoUring,
    file: &File,
    op: Op,
    blocks: &'static [Block],
    slot: usize,
    block: u64,
) -> Result<(), String> {
    let fd = types::Fd(file.as_raw_fd());
    let memory = blocks[slot].0.get().cast::<u8>();
    let offset = block * BLOCK as u64;
    let entry: squeue::Entry = match op {
        Op::Read => opcode::Read::new(fd, memory, BLOCK as u32).offset(offset).build(),
        Op::Write => opcode::Write::new(fd, memory, BLOCK as u32).offset(offset).build(),
    };
    // SAFETY: the block is leaked, and nobody else uses it while its slot is in flight; the file is open until the
    // ring is gone.
    unsafe { ring.submission().push(&entry.user_data(slot as u64)) }.map_err(|_| "the ring is full".into())
}
