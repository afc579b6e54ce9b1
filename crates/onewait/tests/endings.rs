//! Dropping, forgetting, forking: whatever happens to the program's side, nothing is lost, and nothing is left behind.

mod common;

use common::{Scratch, aio, in_child, pattern, pipe, queue, reap, reap_all};
use onewait::{Aio, Buffer, Descriptor, Errno, PollEvents, Request};
use std::any::Any;
use std::fs;
use std::io::Write;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

fn room() -> Buffer {
    Buffer::with_capacity(64)
}

#[test]
fn a_queue_is_dropped_with_requests_in_flight() {
    let ((reader, mut writer), aio) = (pipe(), aio());
    let queue = aio.queue();
    queue.submit_all((0..10).map(|_| Request::read(&reader, room(), 0))).unwrap();
    drop(queue);
    // They go on, and what they find is dropped.
    for _ in 0..10 {
        writer.write_all(&[1; 64]).unwrap();
    }
    let other = aio.queue();
    other.submit(Request::read(&reader, room(), 0).token(3)).unwrap();
    writer.write_all(b"mine").unwrap();
    let done = reap(&other);
    assert_eq!((done.token, &done.buffer[..]), (3, &b"mine"[..]));
}

#[test]
fn writes_of_a_dropped_queue_are_written() {
    let (scratch, aio) = (Scratch::new(), aio());
    let file = scratch.open();
    let queue = aio.queue();
    for block in 0..50 {
        queue.submit(Request::write(&file, pattern(block, 1000), block * 1000)).unwrap();
    }
    drop(queue);
    let other = aio.queue();
    other.submit(Request::fsync(&file)).unwrap();
    assert_eq!(reap(&other).result, Ok(0));
    assert_eq!(scratch.content(), (0..50).flat_map(|block| pattern(block, 1000)).collect::<Vec<_>>());
}

#[test]
fn an_engine_is_dropped_with_silent_requests_in_flight() {
    let (reader, mut writer) = pipe();
    for count in [1, 2, 10, 300].repeat(10) {
        let start = Instant::now();
        let queue = queue();
        queue.submit_all((0..count).map(|_| Request::read(&reader, room(), 0))).unwrap();
        queue.submit(Request::poll(&reader, PollEvents::READABLE)).unwrap();
        drop(queue);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    // Nobody reads any more: these bytes are for the last.
    writer.write_all(b"last").unwrap();
    let queue = queue();
    queue.submit(Request::read(&reader, room(), 0)).unwrap();
    assert_eq!(&reap(&queue).buffer[..], b"last");
}

/// Drops an engine in the middle of writes, with an `fsync` that waits for them.
fn drop_busy_engine(file: &Descriptor) {
    let queue = queue();
    queue.submit_all((0..20).map(|block| Request::write(file, vec![1; 5000], block * 5000))).unwrap();
    queue.submit(Request::fdatasync(file)).unwrap();
}

#[test]
fn an_engine_is_dropped_while_its_threads_are_busy() {
    let scratch = Scratch::new();
    let file = scratch.open();
    for _ in 0..100 {
        drop_busy_engine(&file);
    }
}

/// As `mem::forget`: what a static holds is never dropped. A leak checker still finds it.
fn forget(thing: impl Any + Send) {
    static FORGOTTEN: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    FORGOTTEN.lock().unwrap().push(Box::new(thing));
}

#[test]
fn whatever_is_forgotten_the_engine_goes_on() {
    let ((reader, mut writer), aio) = (pipe(), aio());
    let queue = aio.queue();
    queue.submit_all((0..3).map(|_| Request::no_op())).unwrap();
    reap_all(&queue, 3).into_iter().for_each(forget);
    forget(Request::read(&reader, room(), 0));
    queue.submit(Request::read(&reader, room(), 0)).unwrap();
    forget(queue);
    writer.write_all(b"for nobody").unwrap();
    let other = aio.queue();
    forget(aio);
    other.submit(Request::read(&reader, room(), 0)).unwrap();
    thread::sleep(Duration::from_millis(10));
    writer.write_all(b"for us").unwrap();
    let done = reap(&other);
    assert!(done.buffer.ends_with(b"for us"));
}

/// Descriptors and threads of this process.
fn belongings() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(|path| fs::read_dir(path).unwrap().count())
}

#[test]
fn no_descriptor_and_no_thread_is_left_behind() {
    in_child("no_descriptor_and_no_thread_is_left_behind", &[], || {
        let use_everything = || {
            let ((reader, _writer), scratch, queue) = (pipe(), Scratch::new(), queue());
            let file = scratch.open();
            queue.submit_all((0..10).map(|_| Request::read(&reader, room(), 0))).unwrap();
            queue.submit(Request::poll(&reader, PollEvents::READABLE)).unwrap();
            queue.submit_all((0..10).map(|block| Request::write(&file, pattern(block, 64), block * 64))).unwrap();
            queue.submit(Request::fsync(&file)).unwrap();
            reap_all(&queue, 11);
            drop_busy_engine(&file);
        };
        let before = belongings();
        for _ in 0..20 {
            use_everything();
        }
        // A thread that has been joined can be seen for a moment.
        let patience = Instant::now() + Duration::from_secs(10);
        while belongings() != before && Instant::now() < patience {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(belongings(), before);
    });
}

#[test]
fn the_child_of_a_fork_has_an_engine_of_its_own_only() {
    in_child("the_child_of_a_fork_has_an_engine_of_its_own_only", &[], || {
        let ((reader, mut writer), inherited) = (pipe(), queue());
        inherited.submit(Request::read(&reader, room(), 0)).unwrap();
        // SAFETY: the child uses what it makes itself, and leaves by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_refused = inherited.submit(Request::no_op()).is_err_and(|refused| refused.errno.0 == libc::ECHILD);
            let cannot_cancel = inherited.cancel_all(&reader) == Err(Errno(libc::ECHILD));
            drop(inherited);
            let own = Aio::new().map(|aio| aio.queue());
            let works = own.is_ok_and(|own| own.submit(Request::no_op().token(4)).is_ok() && reap(&own).token == 4);
            let status = if !is_refused {
                1
            } else if !cannot_cancel {
                2
            } else if !works {
                3
            } else {
                0
            };
            // SAFETY: ends the child.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: the status is valid for writing.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((libc::WIFEXITED(status), libc::WEXITSTATUS(status)), (true, 0));
        // The parent's request is the parent's.
        writer.write_all(b"for the parent").unwrap();
        assert_eq!(&reap(&inherited).buffer[..], b"for the parent");
    });
}
