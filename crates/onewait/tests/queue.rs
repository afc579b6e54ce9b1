//! Submitting and waiting: limits, times, threads.

mod common;

use common::{PATIENCE, aio, in_child, pipe, queue, reap, reap_all, seccomp};
use onewait::{Buffer, CancelVerdict, Errno, Refused, Request};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_full_queue_gives_the_request_back() {
    let (reader, _writer) = pipe();
    let queue = aio().bounded_queue(2);
    assert_eq!(queue.limit(), 2);
    let first = queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    let buffer = Buffer::from(&b"mine"[..]);
    let address = buffer.as_ptr();
    let Refused { errno, request } = queue.submit(Request::read(&reader, buffer, 0).token(3)).unwrap_err();
    assert_eq!((errno, queue.outstanding()), (Errno::AGAIN, 2));
    // What has ended keeps its place until it is reaped.
    assert_eq!(queue.cancel(first), Ok(CancelVerdict::Cancelled));
    let request = queue.submit(request).unwrap_err().request;
    drop(reap(&queue));
    queue.submit(request).unwrap();
    assert_eq!(queue.cancel_all(&reader), Ok(CancelVerdict::Cancelled));
    let last = reap_all(&queue, 2).into_iter().find(|done| done.token == 3).unwrap();
    assert_eq!((last.buffer.as_ptr(), &last.buffer[..]), (address, &b"mine"[..]));
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn a_batch_stops_where_it_is_refused() {
    let queue = aio().bounded_queue(5);
    let mut requests = (0..9).map(|token| Request::no_op().token(token));
    let refused = queue.submit_all(&mut requests).unwrap_err();
    assert_eq!(refused.errno, Errno::AGAIN);
    reap_all(&queue, 5);
    queue.submit(refused.request).unwrap();
    assert_eq!(queue.submit_all(requests).unwrap(), 3);
    let tokens: Vec<u64> = reap_all(&queue, 4).iter().map(|done| done.token).collect();
    assert_eq!(tokens.iter().sum::<u64>(), 5 + 6 + 7 + 8);
}

#[test]
fn waits_never_end_early() {
    let ((reader, _writer), queue) = (pipe(), queue());
    queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    let mut completions = Vec::new();
    for timeout in [0, 1, 999, 1_000, 10_500, 60_000].map(Duration::from_micros) {
        let start = Instant::now();
        assert_eq!(queue.wait(&mut completions, Some(timeout)), 0);
        assert!(start.elapsed() >= timeout, "{timeout:?}");
        let start = Instant::now();
        assert!(queue.reap(Some(timeout)).is_none());
        assert!(start.elapsed() >= timeout, "{timeout:?}");
    }
    assert_eq!(queue.try_wait(&mut completions), 0);
    assert_eq!(queue.wait_at_most(&mut completions, 0, None), 0);
}

#[test]
fn a_time_beyond_the_clock_is_for_ever() {
    let ((reader, mut writer), queue) = (pipe(), queue());
    queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| queue.reap(Some(Duration::MAX)));
        thread::sleep(Duration::from_millis(50));
        writer.write_all(b"x").unwrap();
        assert_eq!(waiter.join().unwrap().unwrap().result, Ok(1));
    });
}

#[test]
fn completions_are_reaped_in_the_order_of_their_ends() {
    let ((first, mut first_writer), (second, mut second_writer), queue) = (pipe(), pipe(), queue());
    for round in 0..100 {
        queue.submit(Request::read(&first, Buffer::with_capacity(1), 0).token(1)).unwrap();
        queue.submit(Request::read(&second, Buffer::with_capacity(1), 0).token(2)).unwrap();
        let expected = if round % 2 == 0 { [1, 2] } else { [2, 1] };
        for token in expected {
            let writer = if token == 1 { &mut first_writer } else { &mut second_writer };
            writer.write_all(b"x").unwrap();
            // Until it has ended: then the next one can only end after it.
            while queue.ready() < if token == expected[0] { 1 } else { 2 } {
                thread::yield_now();
            }
        }
        let mut completions = Vec::new();
        queue.wait(&mut completions, PATIENCE);
        assert_eq!(completions.iter().map(|done| done.token).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn no_more_are_reaped_than_asked_for() {
    let queue = queue();
    queue.submit_all((0..10).map(|token| Request::no_op().token(token))).unwrap();
    let mut completions = Vec::with_capacity(1);
    let mut rounds = 0;
    while completions.len() < 10 {
        let before = completions.len();
        let count = queue.wait_at_most(&mut completions, 3, PATIENCE);
        assert!((1..=3).contains(&count) && completions.len() == before + count);
        rounds += 1;
    }
    assert!(rounds >= 4);
}

#[test]
fn many_waiters_get_each_completion_once() {
    const EACH: u64 = 2_000;
    let queue = queue();
    let (seen, total) = (Mutex::new(vec![0; 4 * EACH as usize]), AtomicUsize::new(0));
    thread::scope(|scope| {
        for waiter in 0..8 {
            let (queue, seen, total) = (&queue, &seen, &total);
            scope.spawn(move || {
                let mut completions = Vec::new();
                while total.load(Ordering::SeqCst) < 4 * EACH as usize {
                    let timeout = Some(Duration::from_millis(waiter));
                    total.fetch_add(queue.wait_at_most(&mut completions, 7, timeout), Ordering::SeqCst);
                }
                let mut seen = seen.lock().unwrap();
                completions.iter().for_each(|done| seen[done.token as usize] += 1);
            });
        }
        for submitter in 0..4 {
            let queue = &queue;
            scope.spawn(move || {
                for token in submitter * EACH..(submitter + 1) * EACH {
                    queue.submit(Request::no_op().token(token)).unwrap();
                }
            });
        }
    });
    assert!(seen.lock().unwrap().iter().all(|count| *count == 1));
    assert_eq!(queue.outstanding(), 0);
}

#[test]
fn every_completion_wakes_a_sleeper() {
    let queue = queue();
    for _ in 0..50 {
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..6).map(|_| scope.spawn(|| queue.reap(PATIENCE))).collect();
            thread::sleep(Duration::from_millis(2));
            queue.submit_all((0..6).map(|_| Request::no_op())).unwrap();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap().is_some()));
        });
    }
}

#[test]
fn clones_are_the_same_queue() {
    let queue = queue();
    let same = queue.clone();
    thread::spawn(move || same.submit(Request::no_op().token(5)).map(drop)).join().unwrap().unwrap();
    assert_eq!(reap(&queue).token, 5);
    let aio = queue.aio().clone();
    drop(queue);
    let other = aio.queue();
    other.submit(Request::no_op().token(6)).unwrap();
    assert_eq!(reap(&other).token, 6);
}

#[test]
fn reaping_what_is_there_is_no_system_call() {
    in_child("reaping_what_is_there_is_no_system_call", &[], || {
        let queue = queue();
        queue.submit_all((0..3).map(|token| Request::no_op().token(token))).unwrap();
        let mut completions = Vec::with_capacity(8);
        while queue.ready() < 3 {
            thread::yield_now();
        }
        // From here on, any system call but these two ends the process.
        seccomp::install(
            libc::SECCOMP_RET_KILL_PROCESS,
            &[(libc::SYS_write, libc::SECCOMP_RET_ALLOW), (libc::SYS_exit_group, libc::SECCOMP_RET_ALLOW)],
        );
        let one = queue.reap(None).map_or(9, |done| done.token);
        let count = queue.wait(&mut completions, PATIENCE) + queue.try_wait(&mut completions);
        let is_right = count == 2 && one + completions[0].token + completions[1].token == 3;
        let verdict = if is_right { "1 passed" } else { "wrong" };
        // SAFETY: the bytes are there; nothing of this process is needed any more.
        unsafe {
            libc::write(1, verdict.as_ptr().cast(), verdict.len());
            libc::_exit(0);
        }
    });
}
