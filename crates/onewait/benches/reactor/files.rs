//! Reads of 4 KiB in a loop's own ring, beside a completion queue in the same loop, a bare ring, and plain calls.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use io_uring::{IoUring, opcode, types};
use onewait::reactor::{Interest, Reactor, Ready};
use onewait::{Aio, Buffer, Descriptor, Request};

use crate::report::{Report, Required};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 4096;

pub(crate) fn rows(report: &mut Report) {
    for (kind, is_direct) in [("cached", false), ("O_DIRECT", true)] {
        for depth in [1, 32] {
            let name = |peer: &str| format!("read 4 KiB {kind}, {depth} in flight, beside {peer}");
            for peer in Peer::ALL {
                let name = name(peer.name());
                let makes_sense = peer != Peer::Calls || depth == 1;
                if makes_sense && report.wants(&name) {
                    beside(report, &name, is_direct, depth, peer);
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Queue,
    Ring,
    Calls,
}

impl Peer {
    const ALL: [Peer; 3] = [Peer::Queue, Peer::Ring, Peer::Calls];

    fn name(self) -> &'static str {
        match self {
            Peer::Queue => "a queue",
            Peer::Ring => "a bare ring",
            Peer::Calls => "pread",
        }
    }
}

fn beside(report: &mut Report, name: &str, is_direct: bool, depth: usize, peer: Peer) {
    let scratch = Scratch::new();
    let mut ours = Loop::new(scratch.open(is_direct), depth);
    let file = scratch.open(is_direct);
    let mut peer: (&str, Required, Box<dyn FnMut(usize)>) = match peer {
        Peer::Queue => {
            let mut queue = QueueInLoop::new(file, depth);
            (peer.name(), Required::AtMost(1.0), Box::new(move |count| queue.read(count)))
        }
        // It knows nothing of its requests, and promises nothing: the least that a ring costs.
        Peer::Ring => {
            let mut ring = BareRing::new(file, depth);
            (peer.name(), Required::Nothing, Box::new(move |count| ring.read(count)))
        }
        Peer::Calls => {
            let mut calls = Calls::new(file);
            (peer.name(), Required::Nothing, Box::new(move |count| calls.read(count)))
        }
    };
    let count = if is_direct { 1_000 } else { 10_000 };
    let (mut our_times, mut peer_times) = (Times::default(), Times::default());
    for _ in 0..SAMPLES {
        our_times.take(count, |count| ours.read(count));
        peer_times.take(count, &mut peer.2);
    }
    let cpu_name = format!("{name}: CPU time");
    report.samples(&cpu_name, peer.1, peer.0, "ns", our_times.cpu, peer_times.cpu);
    if is_direct {
        report.samples(name, peer.1, peer.0, "ns", our_times.elapsed, peer_times.elapsed);
    }
}

const SAMPLES: usize = 31;

/// Nanoseconds a read.
#[derive(Default)]
struct Times {
    elapsed: Vec<f64>,
    cpu: Vec<f64>,
}

impl Times {
    fn take(&mut self, count: usize, mut read: impl FnMut(usize)) {
        let (begin, cpu) = (Instant::now(), cpu_time());
        read(count);
        self.cpu.push((cpu_time() - cpu).as_nanos() as f64 / count as f64);
        self.elapsed.push(begin.elapsed().as_nanos() as f64 / count as f64);
    }
}

/// Of all threads of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A file, which is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-files-{}", std::process::id()));
        std::fs::write(&path, vec![7; BLOCK * BLOCKS as usize]).unwrap();
        File::open(&path).unwrap().sync_all().unwrap();
        Scratch(path)
    }

    fn open(&self, is_direct: bool) -> File {
        let flags = if is_direct { libc::O_DIRECT } else { 0 };
        OpenOptions::new().read(true).custom_flags(flags).open(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where the next read goes: all over the file, in a fixed order.
#[derive(Default)]
struct Places(u64);

impl Places {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1657);
        self.0 % BLOCKS * BLOCK as u64
    }
}

fn buffers(depth: usize) -> Vec<Buffer> {
    (0..depth).map(|_| Buffer::aligned(BLOCK, BLOCK).unwrap()).collect()
}

struct Loop {
    reactor: Reactor,
    file: Descriptor,
    free: Vec<Buffer>,
    places: Places,
}

impl Loop {
    fn new(file: File, depth: usize) -> Loop {
        let (reactor, free) = (Reactor::new().unwrap(), buffers(depth));
        Loop { reactor, file: file.into(), free, places: Places::default() }
    }

    fn read(&mut self, count: usize) {
        let (mut submitted, mut ended) = (0, 0);
        let mut events = [Ready::default(); 8];
        while ended < count {
            let mut files = self.reactor.files().unwrap();
            while submitted < count
                && let Some(buffer) = self.free.pop()
            {
                files.submit(Request::read(&self.file, buffer, self.places.next())).unwrap();
                submitted += 1;
            }
            self.reactor.wait(&mut events, None).unwrap();
            let mut files = self.reactor.files().unwrap();
            while let Some(done) = files.take() {
                assert_eq!(done.result, Ok(BLOCK));
                self.free.push(done.buffer);
                ended += 1;
            }
        }
    }
}

struct QueueInLoop {
    reactor: Reactor,
    queue: onewait::CompletionQueue,
    file: Descriptor,
    free: Vec<Buffer>,
    places: Places,
}

impl QueueInLoop {
    fn new(file: File, depth: usize) -> QueueInLoop {
        let (reactor, queue, free) = (Reactor::new().unwrap(), Aio::new().unwrap().queue(), buffers(depth));
        reactor.registry().add(&queue, Interest::IN, 1).unwrap();
        QueueInLoop { reactor, queue, file: file.into(), free, places: Places::default() }
    }

    fn read(&mut self, count: usize) {
        let (mut submitted, mut ended) = (0, 0);
        let mut events = [Ready::default(); 8];
        while ended < count {
            let batch = self.free.len().min(count - submitted);
            let (file, places) = (&self.file, &mut self.places);
            let requests = self.free.drain(..batch).map(|buffer| Request::read(file, buffer, places.next()));
            submitted += self.queue.submit_all(requests).unwrap();
            self.reactor.wait(&mut events, None).unwrap();
            while let Some(done) = self.queue.try_reap() {
                assert_eq!(done.result, Ok(BLOCK));
                self.free.push(done.buffer);
                ended += 1;
            }
        }
    }
}

struct BareRing {
    ring: IoUring,
    file: File,
    memory: Vec<Buffer>,
    free: Vec<usize>,
    places: Places,
}

impl BareRing {
    fn new(file: File, depth: usize) -> BareRing {
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(256).unwrap();
        BareRing { ring, file, memory: buffers(depth), free: (0..depth).collect(), places: Places::default() }
    }

    fn read(&mut self, count: usize) {
        let fd = types::Fd(self.file.as_raw_fd());
        let (mut submitted, mut ended) = (0, 0);
        while ended < count {
            while submitted < count
                && let Some(number) = self.free.pop()
            {
                let address = self.memory[number].as_ptr().cast_mut();
                let entry = opcode::Read::new(fd, address, BLOCK as u32).offset(self.places.next()).build();
                // SAFETY: each buffer is in one read at a time, and lives as long as the ring.
                unsafe { self.ring.submission().push(&entry.user_data(number as u64)).unwrap() };
                submitted += 1;
            }
            self.ring.submit_and_wait(1).unwrap();
            for done in self.ring.completion() {
                assert_eq!(done.result(), BLOCK as i32);
                self.free.push(done.user_data() as usize);
                ended += 1;
            }
        }
    }
}

struct Calls {
    file: File,
    memory: Buffer,
    places: Places,
}

impl Calls {
    fn new(file: File) -> Calls {
        let mut memory = Buffer::aligned(BLOCK, BLOCK).unwrap();
        memory.fill_up(0);
        Calls { file, memory, places: Places::default() }
    }

    fn read(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.file.read_at(&mut self.memory, self.places.next()).unwrap(), BLOCK);
        }
    }
}
