//! Reads, writes and `fsync` on regular files.

use super::{queue, reap, reap_all};
use crate::common::{Scratch, checksum, pattern, read_only};
use onewait::{Buffer, Completion, Descriptor, Errno, Request};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

#[test]
fn what_was_written_is_read_again() {
    let (scratch, queue) = (Scratch::new(), queue());
    let file = scratch.open();
    let blocks: Vec<Vec<u8>> = (0..32).map(|block| pattern(block, 8192)).collect();
    for (number, block) in (0..).zip(&blocks) {
        queue.submit(Request::write(&file, &block[..], number * 8192).token(number)).unwrap();
    }
    for done in reap_all(&queue, 32) {
        assert_eq!(done.result, Ok(8192));
        assert_eq!(done.buffer[..], blocks[done.token as usize]);
    }
    assert_eq!(checksum(&scratch.content()), checksum(&blocks.concat()));
    for number in 0..32 {
        queue.submit(Request::read(&file, Buffer::with_capacity(8192), number * 8192).token(number)).unwrap();
    }
    for done in reap_all(&queue, 32) {
        assert_eq!(done.result, Ok(8192));
        assert_eq!(checksum(&done.buffer), checksum(&blocks[done.token as usize]));
    }
}

#[test]
fn vectored_requests_use_their_buffers_in_order() {
    let (scratch, queue) = (Scratch::new(), queue());
    let file = scratch.open();
    let parts: Vec<Buffer> = [&b"one "[..], b"", b"two ", b"three"].into_iter().map(Buffer::from).collect();
    queue.submit(Request::write_vectored(&file, parts, 2).token(7)).unwrap();
    let done = reap(&queue);
    assert_eq!((done.token, done.result, done.buffers.len()), (7, Ok(13), 4));
    assert_eq!(scratch.content(), b"\0\0one two three");

    let rooms = [5, 0, 4, 100, 10].map(Buffer::with_capacity).into();
    queue.submit(Request::read_vectored(&file, rooms, 2)).unwrap();
    let Completion { result, buffers, .. } = reap(&queue);
    assert_eq!(result, Ok(13));
    let read: Vec<&[u8]> = buffers.iter().map(|buffer| &buffer[..]).collect();
    assert_eq!(read, [&b"one t"[..], b"", b"wo t", b"hree", b""]);
}

#[test]
fn a_read_shows_what_it_read_and_nothing_else() {
    let ((_scratch, file), queue) = (Scratch::with(b"ten bytes!"), queue());
    queue.submit(Request::read(&file, Buffer::with_capacity(1000), 0)).unwrap();
    let done = reap(&queue);
    assert_eq!((done.result, &done.buffer[..]), (Ok(10), &b"ten bytes!"[..]));
    assert_eq!(done.buffer.capacity(), 1000);
    queue.submit(Request::read(&file, done.buffer, 10)).unwrap();
    let end = reap(&queue);
    assert_eq!((end.result, end.buffer.len()), (Ok(0), 0));
}

#[test]
fn a_failed_read_leaves_the_length_alone() {
    let queue = queue();
    let directory = read_only(Path::new("/"));
    queue.submit(Request::read(&directory, Buffer::from(&b"kept"[..]), 0)).unwrap();
    let done = reap(&queue);
    assert_eq!((done.result, &done.buffer[..]), (Err(Errno(libc::EISDIR)), &b"kept"[..]));
}

#[test]
fn the_rest_of_a_transfer_is_asked_for_by_skip_and_at_most() {
    let ((scratch, file), queue) = (Scratch::with(b"0123456789"), queue());
    queue.submit(Request::read(&file, Buffer::with_capacity(10), 0).at_most(4)).unwrap();
    let first = reap(&queue);
    assert_eq!(&first.buffer[..], b"0123");
    queue.submit(Request::read(&file, first.buffer, 7).skip(2)).unwrap();
    let second = reap(&queue);
    assert_eq!((second.result, &second.buffer[..]), (Ok(3), &b"01789"[..]));
    queue.submit(Request::write(&file, second.buffer, 5).skip(1).at_most(3)).unwrap();
    assert_eq!(reap(&queue).result, Ok(3));
    assert_eq!(scratch.content(), b"0123417889");
}

#[test]
fn what_a_request_gets_wrong_is_its_result() {
    let ((scratch, file), queue) = (Scratch::with(b"x"), queue());
    let result = |request| {
        queue.submit(request).unwrap();
        reap(&queue).result
    };
    let room = || Buffer::with_capacity(8);
    let rooms = |count| (0..count).map(|_| room()).collect::<Vec<_>>();
    assert_eq!(result(Request::read(&file, room(), u64::MAX)), Err(Errno::INVAL));
    assert_eq!(result(Request::read(&file, room(), 1 << 63)), Err(Errno::INVAL));
    assert_eq!(result(Request::read(&file, room(), 0).skip(1)), Err(Errno::INVAL));
    assert_eq!(result(Request::read_vectored(&file, rooms(1025), 0)), Err(Errno::INVAL));
    assert_eq!(result(Request::read_vectored(&file, rooms(1024), 0)), Ok(1));
    assert_eq!(result(Request::read_vectored(&file, rooms(2), 0).at_most(3)), Err(Errno::INVAL));
    assert_eq!(result(Request::write(&read_only(scratch.path()), room(), 0)), Err(Errno::BADF));
    assert_eq!(result(Request::write(&read_only(scratch.path()), &b"data"[..], 0)), Err(Errno::BADF));
    assert_eq!(result(Request::read_vectored(&file, Vec::new(), 0)), Ok(0));
    assert_eq!(result(Request::read(&file, Buffer::default(), 0)), Ok(0));
    assert_eq!(result(Request::no_op()), Ok(0));
}

#[test]
fn fsync_completes_after_the_writes_before_it() {
    let (scratch, queue) = (Scratch::new(), queue());
    let file = scratch.open();
    for round in 0..20 {
        // No whole pages: those may be written in the call itself.
        let writes = (0..40).map(|number| Request::write(&file, vec![number; 33_333], u64::from(number) * 33_333));
        assert_eq!(queue.submit_all(writes).unwrap(), 40);
        let sync = if round % 2 == 0 { Request::fsync(&file) } else { Request::fdatasync(&file) };
        queue.submit(sync.token(1)).unwrap();
        let done = reap_all(&queue, 41);
        assert!(done.iter().all(|done| done.result.is_ok()));
        assert_eq!(done.iter().position(|done| done.token == 1), Some(40), "round {round}");
    }
}

#[test]
fn appending_writes_keep_their_order() {
    let (scratch, queue) = (Scratch::new(), queue());
    let file = OpenOptions::new().append(true).create(true).open(scratch.path()).unwrap();
    let file = Descriptor::from(file);
    let lines: Vec<String> = (0..500).map(|number| format!("line {number}\n")).collect();
    let writes = lines.iter().map(|line| Request::write(&file, line.as_bytes(), 0));
    assert_eq!(queue.submit_all(writes).unwrap(), 500);
    reap_all(&queue, 500);
    assert_eq!(scratch.content(), lines.concat().as_bytes());
}

#[test]
fn aligned_buffers_serve_o_direct() {
    let scratch = Scratch::new();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = match options.open(scratch.path()) {
        Ok(file) => Descriptor::from(file),
        Err(error) => return eprintln!("skipped: this file system has no O_DIRECT: {error}"),
    };
    let queue = queue();
    for number in 0..16 {
        let mut buffer = Buffer::aligned(4096, 4096).unwrap();
        assert_eq!(buffer.as_ptr() as usize % 4096, 0);
        buffer.write_all(&pattern(number, 4096)).unwrap();
        queue.submit(Request::write(&file, buffer, number * 4096).token(number)).unwrap();
    }
    for done in reap_all(&queue, 16) {
        assert_eq!(done.result, Ok(4096));
        queue.submit(Request::read(&file, done.buffer, done.token * 4096).token(done.token)).unwrap();
    }
    for done in reap_all(&queue, 16) {
        assert_eq!(done.result, Ok(4096));
        assert_eq!(done.buffer[..], pattern(done.token, 4096));
        assert_eq!(done.buffer.alignment(), 4096);
    }
    queue.submit(Request::read(&file, Buffer::aligned(100, 4096).unwrap(), 0)).unwrap();
    assert_eq!(reap(&queue).result, Err(Errno::INVAL));
}

#[test]
fn buffers_are_vectors_again() {
    let vector = pattern(1, 100);
    let address = vector.as_ptr();
    let back = Vec::from(Buffer::from(vector));
    assert_eq!((back.as_ptr(), back.len()), (address, 100));
    assert_eq!(Vec::from(Buffer::from(pattern(2, 10).into_boxed_slice())), pattern(2, 10));
    assert_eq!(Vec::from(Buffer::default()), []);

    let mut aligned = Buffer::aligned(8, 512).unwrap();
    assert_eq!(aligned.write(b"0123456789").unwrap(), 8);
    aligned.truncate(6);
    assert_eq!((aligned.write(b"abcd").unwrap(), aligned.write(b"e").unwrap()), (2, 0));
    assert_eq!(Vec::from(aligned), b"012345ab");
    assert_eq!(Buffer::aligned(8, 3).unwrap_err(), Errno::INVAL);
    assert_eq!(Buffer::aligned(usize::MAX, 1).unwrap_err(), Errno(libc::ENOMEM));

    let mut buffer = Buffer::with_capacity(4);
    buffer.fill_up(b'x');
    buffer.truncate(9);
    assert_eq!(&buffer[..], b"xxxx");
    buffer[0] = b'y';
    buffer.truncate(2);
    assert_eq!(&buffer[..], b"yx");
    buffer.clear();
    assert!(buffer.is_empty());
}
