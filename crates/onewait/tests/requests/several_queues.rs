//! Requests of several queues, and several engines.

use crate::common::{Scratch, aio, pattern, pipe, queue, reap, reap_all};
use onewait::{Buffer, CancelVerdict, Descriptor, Errno, Request};
use std::io::Write;
use std::os::unix::net::UnixStream;

fn room() -> Buffer {
    Buffer::with_capacity(8)
}

#[test]
fn silent_pipes_and_sockets_do_not_hold_up_files() {
    let aio = aio();
    let (silent, queue) = (aio.queue(), aio.queue());
    let pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
    let (socket, mut peer) = UnixStream::pair().unwrap();
    let socket = Descriptor::from(socket);
    for (reader, _) in &pipes {
        silent.submit(Request::read(reader, room(), 0)).unwrap();
    }
    silent.submit(Request::read(&socket, room(), 0).token(7)).unwrap();
    let (scratch, file) = Scratch::with(b"");
    for block in 0..50 {
        queue.submit(Request::write(&file, pattern(block, 100), block * 100)).unwrap();
        assert_eq!(reap(&queue).result, Ok(100));
        queue.submit(Request::read(&file, Buffer::with_capacity(100), block * 100)).unwrap();
        assert_eq!(reap(&queue).buffer[..], pattern(block, 100));
        queue.submit(Request::fdatasync(&file)).unwrap();
        assert_eq!(reap(&queue).result, Ok(0));
    }
    assert_eq!(scratch.content().len(), 5000);
    assert!(silent.try_reap().is_none());
    peer.write_all(b"word").unwrap();
    let done = reap(&silent);
    assert_eq!((done.token, &done.buffer[..]), (7, &b"word"[..]));
    for (reader, _) in &pipes {
        assert_eq!(aio.cancel_all(reader), Ok(CancelVerdict::Cancelled));
    }
    assert!(reap_all(&silent, 100).iter().all(|done| done.result == Err(Errno::CANCELED)));
}

#[test]
fn handles_of_another_engine_cancel_nothing() {
    let ((reader, _writer), queue) = (pipe(), queue());
    let handle = queue.submit(Request::read(&reader, room(), 0)).unwrap();
    assert_eq!(aio().cancel(handle), Err(Errno::INVAL));
    assert_eq!(queue.outstanding(), 1);
    let done_at_once = queue.submit(Request::read(&reader, room(), u64::MAX)).unwrap();
    assert_eq!(queue.cancel(done_at_once), Ok(CancelVerdict::AllDone));
}
