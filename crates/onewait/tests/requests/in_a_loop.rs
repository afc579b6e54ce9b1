//! Requests in a reactor's own ring: what the tests of requests need of it, and what is special to it.

use crate::common::{PATIENCE, Scratch, aio, in_child, pattern, pipe, seccomp};
use onewait::reactor::{Dispatcher, Events, Interest, Reactor, ReactorBuilder, Ready};
use onewait::sockets::SocketOutcome;
use onewait::{Buffer, CancelVerdict, Completion, Descriptor, DriverKind, Errno, Refused, Request, RequestHandle};
use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const NOW: Option<Duration> = Some(Duration::ZERO);

/// A loop, used as a queue is.
pub(crate) struct Loop(RefCell<Reactor>);

pub(crate) fn queue() -> Loop {
    Loop::of(Reactor::builder())
}

pub(crate) fn reap(queue: &Loop) -> Completion {
    queue.reap(PATIENCE).expect("something completes")
}

pub(crate) fn reap_all(queue: &Loop, count: usize) -> Vec<Completion> {
    (0..count).map(|_| reap(queue)).collect()
}

impl Loop {
    fn of(builder: ReactorBuilder) -> Loop {
        Loop(RefCell::new(builder.build().expect("a reactor can be made")))
    }

    pub(crate) fn submit(&self, request: Request) -> Result<RequestHandle, Refused> {
        self.0.borrow_mut().files().unwrap().submit(request)
    }

    pub(crate) fn submit_all(&self, requests: impl IntoIterator<Item = Request>) -> Result<usize, Refused> {
        requests.into_iter().try_fold(0, |count, request| self.submit(request).map(|_| count + 1))
    }

    pub(crate) fn cancel(&self, request: RequestHandle) -> Result<CancelVerdict, Errno> {
        self.0.borrow_mut().files().unwrap().cancel(request)
    }

    pub(crate) fn cancel_all(&self, descriptor: &Descriptor) -> Result<CancelVerdict, Errno> {
        self.0.borrow_mut().files().unwrap().cancel_all(descriptor)
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.0.borrow_mut().files().unwrap().outstanding()
    }

    pub(crate) fn try_reap(&self) -> Option<Completion> {
        self.0.borrow_mut().files().unwrap().take()
    }

    fn wait(&self, timeout: Option<Duration>) -> Vec<(u64, Events)> {
        let mut events = [Ready::default(); 4];
        let mut reactor = self.0.borrow_mut();
        let ready = reactor.wait(&mut events, timeout).expect("a wait works");
        ready.iter().map(|ready| (ready.token, ready.events)).collect()
    }

    pub(crate) fn reap(&self, timeout: Option<Duration>) -> Option<Completion> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(done) = self.try_reap() {
                return Some(done);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if self.wait(left).is_empty() && left == NOW {
                return None;
            }
        }
    }
}

/// A file for reading with O_DIRECT, so that each read has to wait.
fn direct(content: &[u8]) -> (Scratch, Descriptor) {
    let (scratch, _) = Scratch::with(content);
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(scratch.path()).unwrap();
    (scratch, file.into())
}

fn block() -> Buffer {
    Buffer::aligned(4096, 4096).unwrap()
}

#[test]
fn completions_are_an_event_with_the_token_of_files() {
    let ((_scratch, file), queue) = (direct(&pattern(1, 8192)), queue());
    assert_eq!(queue.wait(NOW), []);
    queue.submit(Request::read(&file, block(), 4096).token(3)).unwrap();
    queue.submit(Request::read(&file, block(), 0).token(4)).unwrap();
    let mut tokens = Vec::new();
    while tokens.len() < 2 {
        assert_eq!(queue.wait(PATIENCE), [(Reactor::FILES, Events::IN)]);
        // As long as something is not taken, it is told.
        assert_eq!(queue.wait(PATIENCE), [(Reactor::FILES, Events::IN)]);
        tokens.push(queue.try_reap().expect("there is one").token);
    }
    tokens.sort_unstable();
    assert_eq!(tokens, [3, 4]);
    assert_eq!((queue.wait(NOW), queue.outstanding()), (vec![], 0));

    let other = Loop::of(Reactor::builder().files_token(77));
    other.submit(Request::no_op()).unwrap();
    assert_eq!(other.wait(PATIENCE), [(77, Events::IN)]);
}

#[test]
fn sockets_and_files_end_in_one_wait() {
    let ((_scratch, file), queue) = (direct(&pattern(1, 4096)), queue());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let socket = {
        let mut reactor = queue.0.borrow_mut();
        let socket = reactor.sockets().unwrap().attach(ours).unwrap();
        reactor.sockets().unwrap().receive(socket, 5).unwrap();
        socket
    };
    for round in 0..100 {
        queue.submit(Request::read(&file, block(), 0).token(round)).unwrap();
        theirs.write_all(b"word").unwrap();
        let (mut read, mut received) = (0, 0);
        while read == 0 || received == 0 {
            for (token, _) in queue.wait(PATIENCE) {
                match token {
                    Reactor::FILES => read += queue.try_reap().unwrap().result.unwrap(),
                    Reactor::SOCKETS => {
                        let done = queue.0.borrow_mut().sockets().unwrap().take().unwrap();
                        assert_eq!(done.socket, socket);
                        let SocketOutcome::Received(Ok(bytes)) = done.outcome else { panic!("{done:?}") };
                        received += bytes.len();
                    }
                    token => panic!("{token}"),
                }
            }
        }
        assert_eq!((read, received), (4096, 4));
    }
}

#[test]
fn a_thread_that_does_what_a_ring_cannot_ends_the_sleep() {
    let ((_scratch, file), queue) = (Scratch::with(b"some"), queue());
    for _ in 0..100 {
        // Not a whole page: not done in the call, nor by the kernel's ring.
        queue.submit(Request::write(&file, &b"more"[..], 2)).unwrap();
        queue.submit(Request::fsync(&file)).unwrap();
        assert_eq!([reap(&queue).result, reap(&queue).result], [Ok(4), Ok(0)]);
    }
}

#[test]
fn a_timer_ends_a_sleep_with_requests_in_flight() {
    let ((reader, _writer), queue) = (pipe(), queue());
    queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    queue.0.borrow_mut().arm_timer_in(Duration::from_millis(20), 9).unwrap();
    assert_eq!(queue.wait(PATIENCE), [(9, Events::IN)]);
    let before = Instant::now();
    assert_eq!(queue.wait(Some(Duration::from_millis(20))), []);
    assert!(before.elapsed() >= Duration::from_millis(20));
    assert_eq!(queue.outstanding(), 1);
}

#[test]
fn a_request_for_each_completion_keeps_nobody_waiting() {
    let ((_scratch, file), queue) = (Scratch::with(&pattern(1, 4096)), queue());
    queue.submit(Request::write(&file, pattern(2, 4096), 0)).unwrap();
    for _turn in 0..100 {
        assert_eq!(queue.wait(PATIENCE), [(Reactor::FILES, Events::IN)]);
        let mut taken = 0;
        // Writes of whole pages end in the very call.
        while let Some(done) = queue.try_reap() {
            assert_eq!(done.result, Ok(4096));
            queue.submit(Request::write(&file, done.buffer, 0)).unwrap();
            taken += 1;
            assert!(taken < 1_000, "the loop never comes to its wait");
        }
    }
}

#[test]
fn a_request_that_fails_while_it_is_submitted_is_told() {
    in_child("in_a_loop::a_request_that_fails_while_it_is_submitted_is_told", &[], || {
        let ((_scratch, file), queue) = (Scratch::with(b"some"), queue());
        // The driver is chosen.
        assert_eq!(queue.outstanding(), 0);
        let no_thread = libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32;
        seccomp::install(libc::SECCOMP_RET_ALLOW, &[(libc::SYS_clone3, no_thread), (libc::SYS_clone, no_thread)]);
        for _ in 0..3 {
            match queue.submit(Request::fsync(&file)) {
                Ok(_) => {
                    assert_eq!(queue.wait(PATIENCE), [(Reactor::FILES, Events::IN)]);
                    assert_eq!(queue.try_reap().unwrap().result, Err(Errno::AGAIN));
                }
                // The epoll driver knows at once.
                Err(refused) => assert_eq!(refused.errno, Errno::AGAIN),
            }
        }
    });
}

#[test]
fn what_ends_in_a_wait_is_reported_by_it_however_little_room_there_is() {
    let ((_scratch, file), queue) = (Scratch::with(&pattern(1, 4096)), queue());
    if queue.0.borrow_mut().files().unwrap().driver() != DriverKind::Uring {
        return println!("on this driver a thread ends it, which may take its time");
    }
    for _ in 0..200 {
        queue.submit(Request::read(&file, Buffer::with_capacity(16), 0)).unwrap();
        let mut room = [Ready::default()];
        let mut reactor = queue.0.borrow_mut();
        assert_eq!(reactor.wait(&mut room, NOW).unwrap().len(), 1);
        drop(reactor);
        assert_eq!(queue.try_reap().unwrap().result, Ok(16));
    }
}

#[test]
fn a_wait_that_another_thread_is_refused_takes_nothing() {
    let queue = queue();
    queue.submit(Request::no_op()).unwrap();
    assert_eq!(reap(&queue).result, Ok(0));
    let mut reactor = queue.0.into_inner();
    if reactor.files().unwrap().driver() != DriverKind::Uring {
        return println!("any thread may wait on this driver");
    }
    reactor.arm_timer_in(Duration::ZERO, 9).unwrap();
    let (mut reactor, refused) = std::thread::spawn(move || {
        let refused = reactor.wait(&mut [Ready::default(); 8], NOW).map(<[Ready]>::len);
        (reactor, refused)
    })
    .join()
    .unwrap();
    assert_eq!(refused, Err(Errno(libc::EEXIST)));
    let mut events = [Ready::default()];
    assert_eq!(reactor.wait(&mut events, NOW).unwrap().first().map(|ready| ready.token), Some(9));
}

#[test]
fn a_handle_of_elsewhere_cancels_nothing() {
    let ((reader, _writer), ours, theirs) = (pipe(), queue(), queue());
    let handle = theirs.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
    assert_eq!(ours.cancel(handle), Err(Errno::INVAL));
    assert_eq!(aio().cancel(handle), Err(Errno::INVAL));
    assert_eq!(theirs.cancel(handle), Ok(CancelVerdict::Cancelled));
}

#[test]
fn cancelling_loses_nothing_that_comes_to_sockets_meanwhile() {
    let ((reader, _writer), queue) = (pipe(), queue());
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut reactor = queue.0.borrow_mut();
    let socket = reactor.sockets().unwrap().attach(ours).unwrap();
    reactor.sockets().unwrap().receive(socket, 5).unwrap();
    drop(reactor);
    assert_eq!(queue.wait(NOW), []);
    for _ in 0..100 {
        let handle = queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
        assert_eq!(queue.wait(NOW), []);
        theirs.write_all(b"word").unwrap();
        assert_eq!(queue.cancel(handle), Ok(CancelVerdict::Cancelled));
        assert_eq!(reap(&queue).result, Err(Errno::CANCELED));
        while queue.wait(PATIENCE) != [(Reactor::SOCKETS, Events::IN)] {}
        let done = queue.0.borrow_mut().sockets().unwrap().take().unwrap();
        assert!(matches!(&done.outcome, SocketOutcome::Received(Ok(bytes)) if bytes[..] == b"word"[..]), "{done:?}");
    }
}

#[test]
fn dropping_the_reactor_ends_what_is_in_flight() {
    in_child("in_a_loop::dropping_the_reactor_ends_what_is_in_flight", &[], || {
        let before = descriptors();
        let ((reader, _writer), (_scratch, file)) = (pipe(), direct(&pattern(1, 1 << 20)));
        for _ in 0..20 {
            let queue = queue();
            for block_number in 0..64 {
                queue.submit(Request::read(&file, block(), block_number * 4096)).unwrap();
                queue.submit(Request::read(&reader, Buffer::with_capacity(8), 0)).unwrap();
            }
            assert!(queue.wait(NOW).len() <= 1);
        }
        // The requests have let go of these.
        assert!(reader.into_owned().is_ok() && file.into_owned().is_ok());
        assert_eq!(descriptors(), before + 1, "the writing end of the pipe");
    });
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn another_thread_is_refused() {
    let queue = queue();
    queue.submit(Request::no_op()).unwrap();
    let driver = queue.0.borrow_mut().files().unwrap().driver();
    let Loop(reactor) = queue;
    let mut reactor = reactor.into_inner();
    let refused = std::thread::spawn(move || {
        reactor.files().unwrap().submit(Request::no_op()).err().map(|refused| refused.errno)
    });
    let expected = (driver == DriverKind::Uring).then_some(Errno(libc::EEXIST));
    assert_eq!(refused.join().unwrap(), expected);
}

#[test]
fn no_write_raises_a_signal() {
    in_child("in_a_loop::no_write_raises_a_signal", &[], || {
        // SAFETY: no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let ((reader, writer), queue) = (std::io::pipe().unwrap(), queue());
        drop(reader);
        queue.submit(Request::write(&writer.into(), &b"x"[..], 0)).unwrap();
        assert_eq!(reap(&queue).result, Err(Errno(libc::EPIPE)));

        let limit = libc::rlimit { rlim_cur: 8192, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: the limit is valid for reading.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        let (scratch, buffered) = Scratch::with(b"");
        let direct = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(scratch.path()).unwrap();
        for file in [buffered, direct.into()] {
            let mut page = block();
            page.fill_up(7);
            queue.submit(Request::write(&file, page, 8192)).unwrap();
            assert_eq!(reap(&queue).result, Err(Errno(libc::EFBIG)));
        }
    });
}

/// Waits as a loop does that polls the reactor, until a completion is there.
fn reap_by_polling(queue: &Loop) -> Completion {
    loop {
        let fd = queue.0.borrow().descriptor().expect("it is embeddable").as_raw_fd();
        let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        assert_eq!(unsafe { libc::poll(&raw mut polled, 1, 20_000) }, 1, "it is told");
        queue.wait(NOW);
        if let Some(done) = queue.try_reap() {
            return done;
        }
    }
}

#[test]
fn another_loop_that_polls_the_reactor_hears_of_files() {
    let ((_scratch, file), (_other, buffered)) = (direct(&pattern(1, 4096)), Scratch::with(b"some"));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = Descriptor::from(writer);
    let queue = Loop::of(Reactor::builder().embeddable());
    queue.wait(NOW);
    for _ in 0..50 {
        queue.submit(Request::read(&file, block(), 0)).unwrap();
        assert_eq!(reap_by_polling(&queue).result, Ok(4096));
        // What threads do.
        queue.submit(Request::write(&buffered, &b"more"[..], 2)).unwrap();
        assert_eq!(reap_by_polling(&queue).result, Ok(4));
        queue.submit(Request::fsync(&buffered)).unwrap();
        assert_eq!(reap_by_polling(&queue).result, Ok(0));
        // Several at once, of which one is heard of after the other.
        for _ in 0..8 {
            queue.submit(Request::write(&buffered, &b"more"[..], 2)).unwrap();
            queue.submit(Request::fsync(&file)).unwrap();
        }
        for _ in 0..16 {
            assert!(reap_by_polling(&queue).result.is_ok());
        }
    }
    // What is done in parts.
    let other = std::thread::spawn(move || {
        let mut all = vec![0; 1 << 20];
        reader.read_exact(&mut all).map(|()| all)
    });
    queue.submit(Request::write(&writer, pattern(3, 1 << 20), 0)).unwrap();
    assert_eq!(reap_by_polling(&queue).result, Ok(1 << 20));
    assert!(other.join().unwrap().unwrap() == pattern(3, 1 << 20));
}

#[test]
fn another_loop_hears_of_what_ends_while_it_looks() {
    let ((_scratch, file), queue) = (direct(&pattern(1, 4096)), Loop::of(Reactor::builder().embeddable()));
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..3_000 {
        queue.submit(Request::read(&file, block(), 0)).unwrap();
        let look = Instant::now() + Duration::from_nanos(random.u64(0..150_000));
        while Instant::now() < look {
            std::hint::spin_loop();
        }
        queue.wait(NOW);
        let done = queue.try_reap().unwrap_or_else(|| reap_by_polling(&queue));
        assert_eq!(done.result, Ok(4096));
    }
}

#[test]
fn a_full_submission_queue_hides_nothing_from_a_sleep() {
    let ((_scratch, file), (reader, mut writer)) = (Scratch::with(&pattern(1, 4096)), pipe());
    writer.write_all(b"x").unwrap();
    for count in [255, 256, 257, 512] {
        let queue = queue();
        queue.0.borrow().registry().add(&reader, Interest::IN, 5).unwrap();
        for _ in 0..count {
            queue.submit(Request::read(&file, Buffer::with_capacity(16), 0)).unwrap();
        }
        let mut seen = Vec::new();
        while !(seen.contains(&5) && seen.contains(&Reactor::FILES)) {
            let found = queue.wait(PATIENCE);
            assert!(!found.is_empty(), "{count}");
            seen.extend(found.iter().map(|(token, _)| *token));
        }
        assert!(reap_all(&queue, count).iter().all(|done| done.result == Ok(16)));
    }
}

#[test]
fn dropping_the_reactor_ends_what_is_done_in_part() {
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for _ in 0..20 {
            let (reader, writer) = std::io::pipe().unwrap();
            let queue = queue();
            queue.submit(Request::write(&writer.into(), pattern(1, 1 << 20), 0)).unwrap();
            queue.wait(NOW);
            drop(queue);
            drop(reader);
        }
        ended.send(()).unwrap();
    });
    end.recv_timeout(PATIENCE.unwrap()).expect("the end of a reactor ends");
}

#[test]
fn a_thread_makes_more_loops_than_it_can_register_rings() {
    let (_scratch, file) = direct(&pattern(1, 4096));
    for _ in 0..40 {
        let queue = queue();
        queue.submit(Request::read(&file, block(), 0)).unwrap();
        assert_eq!(reap(&queue).result, Ok(4096));
    }
    let loops: Vec<_> = (0..20).map(|_| queue()).collect();
    for queue in &loops {
        queue.submit(Request::read(&file, block(), 0)).unwrap();
    }
    for queue in &loops {
        assert_eq!(reap(queue).result, Ok(4096));
    }
}

#[test]
fn a_handler_is_called_for_each_completion() {
    let (_scratch, file) = direct(&pattern(1, 8 * 4096));
    let mut dispatcher = Dispatcher::<Vec<u64>>::new().unwrap();
    let same = file.clone();
    dispatcher.on_file_completion(move |dispatcher, seen, done| {
        done.result?;
        seen.push(done.token);
        if done.token < 4 {
            dispatcher.files()?.submit(Request::read(&same, done.buffer, done.token * 4096).token(done.token + 4))?;
        }
        Ok(())
    });
    for token in 0..4 {
        dispatcher.files().unwrap().submit(Request::read(&file, block(), token * 4096).token(token)).unwrap();
    }
    let mut seen = Vec::new();
    // It ends because nothing is in flight.
    dispatcher.run(&mut seen).unwrap();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6, 7]);

    // An error of the handler's ends the run; what is left is for the next.
    dispatcher.files().unwrap().submit(Request::read(&file, block(), u64::MAX)).unwrap();
    dispatcher.files().unwrap().submit(Request::read(&file, block(), 0).token(9)).unwrap();
    assert_eq!(dispatcher.run(&mut seen).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    dispatcher.run(&mut seen).unwrap();
    assert_eq!(seen.last(), Some(&9));
}

#[test]
fn a_turn_with_sockets_and_files_makes_no_system_call_but_the_one_that_waits() {
    in_child("in_a_loop::a_turn_with_sockets_and_files_makes_no_system_call_but_the_one_that_waits", &[], || {
        let ((_scratch, file), (ours, mut theirs)) = (direct(&pattern(1, 64 * 4096)), UnixStream::pair().unwrap());
        let looped = std::thread::spawn(move || {
            let mut reactor = Reactor::new().unwrap();
            if reactor.files().unwrap().driver() != DriverKind::Uring {
                println!("not on this driver: its threads and plain calls are counted with the requests");
                return (reactor, file);
            }
            let socket = reactor.sockets().unwrap().attach(ours).unwrap();
            reactor.sockets().unwrap().receive(socket, 1).unwrap();
            let (mut events, mut buffers) = ([Ready::default(); 4], vec![block(), block()]);
            // The first of all makes what is kept.
            reactor.files().unwrap().submit(Request::read(&file, block(), 0)).unwrap();
            while reactor.files().unwrap().take().is_none() {
                reactor.wait(&mut events, PATIENCE).unwrap();
            }
            let forbidden = [
                libc::SYS_epoll_pwait,
                libc::SYS_epoll_pwait2,
                libc::SYS_epoll_ctl,
                libc::SYS_read,
                libc::SYS_pread64,
                libc::SYS_preadv2,
                libc::SYS_write,
                libc::SYS_recvfrom,
                libc::SYS_sendto,
                libc::SYS_futex,
                libc::SYS_fcntl,
                libc::SYS_statx,
                libc::SYS_getrlimit,
                libc::SYS_clock_gettime,
            ];
            seccomp::install(libc::SECCOMP_RET_ALLOW, &forbidden.map(|call| (call, libc::SECCOMP_RET_KILL_PROCESS)));
            let (mut reads, mut echoes, mut is_over) = (0, 0, false);
            while reads < 500 || !is_over {
                for buffer in buffers.drain(..) {
                    let place = reads % 64 * 4096;
                    reactor.files().unwrap().submit(Request::read(&file, buffer, place)).unwrap();
                    reads += 1;
                }
                for event in reactor.wait(&mut events, None).unwrap() {
                    if event.token == Reactor::FILES {
                        while let Some(done) = reactor.files().unwrap().take() {
                            assert_eq!(done.result, Ok(4096));
                            buffers.push(done.buffer);
                        }
                        continue;
                    }
                    while let Some(done) = reactor.sockets().unwrap().take() {
                        match done.outcome {
                            SocketOutcome::Received(bytes) => {
                                let bytes = bytes.unwrap();
                                if bytes.is_empty() {
                                    is_over = true;
                                    continue;
                                }
                                echoes += 1;
                                reactor.sockets().unwrap().send(socket, bytes, 2).unwrap();
                            }
                            other => assert!(matches!(other, SocketOutcome::Sent(Ok(()), _)), "{other:?}"),
                        }
                    }
                }
            }
            assert_eq!(echoes, 500);
            // Their ends may do what they like, on another thread.
            (reactor, file)
        });
        let mut echo = [0; 4];
        for _ in 0..500 {
            // Where this is not tested, nobody echoes.
            if theirs.write_all(b"word").is_err() || theirs.read_exact(&mut echo).is_err() {
                break;
            }
            assert_eq!(&echo, b"word");
        }
        drop(theirs);
        drop(looped.join().unwrap());
    });
}
