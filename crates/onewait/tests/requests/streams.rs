//! Pipes, sockets and polls.

use super::{queue, reap, reap_all};
use crate::common::{Scratch, pattern, pipe};
use onewait::{Buffer, CancelVerdict, Descriptor, Errno, PollEvents, Request};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const A_MOMENT: Option<Duration> = Some(Duration::from_millis(50));

fn room() -> Buffer {
    Buffer::with_capacity(8)
}

#[test]
fn reads_take_the_bytes_in_the_order_of_submission() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    for number in 0..100 {
        queue.submit(Request::read(&reader, room(), 0).token(number)).unwrap();
    }
    for number in 0..100u64 {
        writer.write_all(&number.to_ne_bytes()).unwrap();
    }
    for done in reap_all(&queue, 100) {
        assert_eq!((done.result, &done.buffer[..]), (Ok(8), &done.token.to_ne_bytes()[..]));
    }
}

#[test]
fn a_write_to_a_pipe_ends_when_all_is_written() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let (writer, queue) = (Descriptor::from(writer), queue());
    let (first, second) = (pattern(1, 1 << 20), pattern(2, 1 << 18));
    queue.submit(Request::write(&writer, first.clone(), 0)).unwrap();
    queue.submit(Request::write(&writer, second.clone(), 0)).unwrap();
    assert!(queue.reap(A_MOMENT).is_none());
    let other = std::thread::spawn(move || {
        let mut all = vec![0; (1 << 20) + (1 << 18)];
        reader.read_exact(&mut all).map(|()| all)
    });
    assert_eq!([reap(&queue).result, reap(&queue).result], [Ok(1 << 20), Ok(1 << 18)]);
    assert_eq!(other.join().unwrap().unwrap(), [first, second].concat());
}

#[test]
fn a_pipe_that_nobody_reads_gives_epipe() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (writer, queue) = (Descriptor::from(writer), queue());
    drop(reader);
    queue.submit(Request::write(&writer, &b"x"[..], 0)).unwrap();
    assert_eq!(reap(&queue).result, Err(Errno(libc::EPIPE)));
}

#[test]
fn a_closed_pipe_ends_its_reads() {
    let ((reader, writer), queue) = (pipe(), queue());
    queue.submit_all((0..3).map(|_| Request::read(&reader, room(), 0))).unwrap();
    drop(writer);
    assert!(reap_all(&queue, 3).iter().all(|done| done.result == Ok(0)));
}

#[test]
fn vectored_reads_take_what_a_pipe_has() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    queue.submit(Request::read_vectored(&reader, [3, 3, 3].map(Buffer::with_capacity).into(), 0)).unwrap();
    assert!(queue.reap(A_MOMENT).is_none());
    writer.write_all(b"abcd").unwrap();
    let done = reap(&queue);
    let read: Vec<&[u8]> = done.buffers.iter().map(|buffer| &buffer[..]).collect();
    assert_eq!((done.result, &read[..]), (Ok(4), &[&b"abc"[..], b"d", b""][..]));
}

#[test]
fn a_request_keeps_its_descriptor_open() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    let number = reader.as_raw_fd();
    queue.submit(Request::read(&reader, room(), 0)).unwrap();
    let reader = reader.into_owned().expect_err("the request has a clone");
    drop(reader);
    // The number is not given to others, whatever is opened.
    let others: Vec<_> = (0..20).map(|_| pipe()).collect();
    assert!(others.iter().all(|(other, _)| other.as_raw_fd() != number));
    writer.write_all(b"mine").unwrap();
    let done = reap(&queue);
    assert_eq!(&done.buffer[..], b"mine");
    drop(done);
    assert_eq!(writer.write_all(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
}

#[test]
fn a_cancelled_request_is_in_the_queue_when_the_verdict_is_out() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    let buffer = room();
    let address = buffer.as_ptr();
    let handle = queue.submit(Request::read(&reader, buffer, 0).token(9)).unwrap();
    assert_eq!(queue.cancel(handle), Ok(CancelVerdict::Cancelled));
    let done = queue.try_reap().expect("it has completed");
    assert_eq!((done.token, done.result), (9, Err(Errno::CANCELED)));
    assert_eq!(done.buffer.as_ptr(), address);
    assert_eq!(queue.cancel(handle), Ok(CancelVerdict::AllDone));
    // Its bytes go to the next.
    queue.submit(Request::read(&reader, done.buffer, 0)).unwrap();
    writer.write_all(b"next").unwrap();
    assert_eq!(&reap(&queue).buffer[..], b"next");
}

#[test]
fn cancelling_leaves_the_others_in_their_order() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    let submit = |token| queue.submit(Request::read(&reader, Buffer::with_capacity(1), 0).token(token)).unwrap();
    let handles: Vec<_> = (0..4).map(submit).collect();
    assert_eq!(queue.cancel(handles[2]), Ok(CancelVerdict::Cancelled));
    assert_eq!(queue.cancel(handles[0]), Ok(CancelVerdict::Cancelled));
    assert_eq!(reap_all(&queue, 2).iter().map(|done| done.token).collect::<Vec<_>>(), [2, 0]);
    writer.write_all(b"ab").unwrap();
    let rest = reap_all(&queue, 2);
    assert_eq!(rest.iter().map(|done| (done.token, done.buffer[0])).collect::<Vec<_>>(), [(1, b'a'), (3, b'b')]);
}

#[test]
fn all_of_a_descriptor_are_cancelled_and_no_others() {
    let ((reader, _writer), (other, mut other_writer), queue) = (pipe(), pipe(), queue());
    queue.submit_all((0..5).map(|token| Request::read(&reader, room(), 0).token(token))).unwrap();
    queue.submit(Request::poll(&reader, PollEvents::READABLE).token(5)).unwrap();
    queue.submit(Request::read(&other, room(), 0).token(99)).unwrap();
    assert_eq!(queue.cancel_all(&reader), Ok(CancelVerdict::Cancelled));
    let done = reap_all(&queue, 6);
    assert!(done.iter().all(|done| done.result == Err(Errno::CANCELED) && done.token < 6));
    assert_eq!(queue.cancel_all(&reader), Ok(CancelVerdict::AllDone));
    other_writer.write_all(b"x").unwrap();
    assert_eq!(reap(&queue).token, 99);
}

#[test]
fn polls_end_when_something_is_there() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    queue.submit(Request::poll(&reader, PollEvents::READABLE)).unwrap();
    assert!(queue.reap(A_MOMENT).is_none());
    writer.write_all(b"x").unwrap();
    let done = reap(&queue);
    assert_eq!((done.result.is_ok(), done.events()), (true, PollEvents::READABLE));
    drop(writer);
    queue.submit(Request::poll(&reader, PollEvents::READABLE)).unwrap();
    assert_eq!(reap(&queue).events(), PollEvents::READABLE | PollEvents::HANGUP);

    let (socket, _peer) = UnixStream::pair().unwrap();
    queue.submit(Request::poll(&socket.into(), PollEvents::READABLE | PollEvents::WRITABLE)).unwrap();
    assert_eq!(reap(&queue).events(), PollEvents::WRITABLE);
    let (_scratch, file) = Scratch::with(b"x");
    queue.submit(Request::poll(&file, PollEvents::READABLE | PollEvents::WRITABLE)).unwrap();
    assert_eq!(reap(&queue).events(), PollEvents::READABLE | PollEvents::WRITABLE);
}

#[test]
fn a_descriptor_that_must_not_wait_gives_eagain() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
    queue.submit(Request::read(&reader, room(), 0)).unwrap();
    assert_eq!(reap(&queue).result, Err(Errno::AGAIN));
    writer.write_all(b"x").unwrap();
    queue.submit(Request::read(&reader, room(), 0)).unwrap();
    assert_eq!(reap(&queue).result, Ok(1));
}
