//! Many requests from many threads.

mod common;

use common::{PATIENCE, Scratch, aio, checksum, pattern};
use onewait::{Aio, Buffer, Descriptor, Request};
use std::thread;

const THREADS: u64 = 8;
const REQUESTS: u64 = 100_000 / THREADS;
const BLOCKS: u64 = 128;
const BLOCK: usize = 1024;

/// Writes and reads the thread's own blocks of the file, up to 64 at once, and checks what each read finds.
fn work(aio: &Aio, file: &Descriptor, thread: u64) -> u64 {
    let queue = aio.bounded_queue(64);
    let offset = |block: u64| (thread * BLOCKS + block) * BLOCK as u64;
    let content = |block: u64, version: u64| pattern(thread << 32 | block << 16 | version, BLOCK);
    let mut versions = [0; BLOCKS as usize];
    let mut idle: Vec<u64> = (0..BLOCKS).collect();
    let (mut submitted, mut reads) = (0, 0);
    let mut completions = Vec::new();
    while submitted < REQUESTS || queue.outstanding() > 0 {
        while submitted < REQUESTS && queue.outstanding() < queue.limit() {
            let block = idle.swap_remove(submitted as usize * 7 % idle.len());
            let version = &mut versions[block as usize];
            let is_write = *version == 0 || submitted % 2 == 0;
            *version += u64::from(is_write);
            let request = if is_write {
                Request::write(file, content(block, *version), offset(block))
            } else {
                Request::read(file, Buffer::with_capacity(BLOCK), offset(block))
            };
            queue.submit(request.token(block << 1 | u64::from(is_write))).unwrap();
            submitted += 1;
        }
        assert!(queue.wait(&mut completions, PATIENCE) > 0);
        for done in completions.drain(..) {
            assert_eq!(done.result, Ok(BLOCK));
            let block = done.token >> 1;
            assert_eq!(checksum(&done.buffer), checksum(&content(block, versions[block as usize])));
            reads += 1 - (done.token & 1);
            idle.push(block);
        }
    }
    reads
}

#[test]
fn a_hundred_thousand_requests_of_eight_threads_keep_their_data() {
    let (scratch, aio) = (Scratch::new(), aio());
    let file = scratch.open();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let (aio, file) = (&aio, &file);
                    move || work(aio, file, thread)
                })
            })
            .collect();
        for thread in threads {
            assert!(thread.join().unwrap() > REQUESTS / 4);
        }
    });
}
