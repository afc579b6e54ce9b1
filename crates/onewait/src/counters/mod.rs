//! What the engine counts, always, and where it can be read.
//!
//! One [`Counters`] block serves a whole process. It lies in the process's own memory, or, when somebody watches
//! (`onewait run --stats`), in memory that the watcher shares with every process of the program: then nothing has to
//! be reported at exit, and a program that ends by `_exit` or by a signal loses no figure, but for what a loop has done since
//! its last turn (`tally.rs`).
//!
//! Every field is an atomic that is only ever added to, with relaxed ordering: a reader sees each figure at some recent
//! moment, and all of them exactly once the program has ended.

mod shared;
mod tally;

pub use shared::{SharedCounters, adopt};
pub(crate) use tally::Tally;

use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// The environment variable that names the file in which a watcher shares a [`Counters`] block.
pub const STATS_VARIABLE: &str = "ONEWAIT_STATS";

/// First field of a shared block; another value means another layout, and the block is left alone.
const MAGIC: u64 = 0x6f6e_6577_6169_7403;

/// How many copies of the hot fields there are, so that threads on different CPUs seldom share a cache line.
const SHARDS: usize = 8;

/// What kind of operation a request is, as the statistics distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// Reading, plain or vectored.
    Read,
    /// Writing, plain or vectored.
    Write,
    /// `fsync` and `fdatasync`.
    Fsync,
    /// Waiting for a descriptor to be ready.
    Poll,
    /// Nothing.
    Nop,
}

impl Kind {
    /// All kinds, in the order in which reports list them.
    pub const ALL: [Kind; 5] = [Kind::Read, Kind::Write, Kind::Fsync, Kind::Poll, Kind::Nop];

    /// Whether results are numbers of bytes.
    fn transfers(self) -> bool {
        matches!(self, Kind::Read | Kind::Write)
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Fsync => "fsync",
            Kind::Poll => "poll",
            Kind::Nop => "nop",
        }
    }
}

/// By which way a request was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Route {
    /// In the caller's own thread, by one system call that could not block.
    Inline,
    /// By a thread that copies to and from the page cache beside the caller's.
    Copier,
    /// By a ring that the submitting thread owns and reaps itself.
    OwnRing,
    /// By the ring of the engine thread.
    EngineRing,
    /// By a thread of the pool.
    ThreadPool,
    /// By the kernel's native AIO.
    NativeAio,
    /// By waiting for the descriptor's readiness.
    Readiness,
}

impl Route {
    /// All routes, in the order in which reports list them.
    pub const ALL: [Route; 7] = [
        Route::Inline,
        Route::Copier,
        Route::OwnRing,
        Route::EngineRing,
        Route::ThreadPool,
        Route::NativeAio,
        Route::Readiness,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Route::Inline => "inline",
            Route::Copier => "copier",
            Route::OwnRing => "own ring",
            Route::EngineRing => "engine ring",
            Route::ThreadPool => "thread pool",
            Route::NativeAio => "native AIO",
            Route::Readiness => "readiness",
        }
    }
}

/// Things that happen besides requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// A caller had to sleep until a request completed.
    SleepingWait,
    /// A caller's wait was over at once.
    InstantWait,
    /// A request was cancelled before it was carried out.
    Cancelled,
    /// A signal or a call-back told the program of a completion.
    Notification,
    /// A notification could not be sent at once and was sent later.
    NotificationRetry,
    /// A request was refused because a limit was reached (EAGAIN).
    LimitHit,
    /// The engine thread was asleep and had to be woken.
    Doorbell,
    /// The own ring was given up, because a second thread started.
    Handover,
    /// A process started the engine.
    Process,
    /// A context of libaio's was made, and is served by the engine.
    Context,
    /// A context of libaio's was left to the kernel.
    PassedContext,
    /// A program made an epoll of its own, and it is served.
    Epoll,
    /// A program changed what such an epoll watches.
    EpollControl,
    /// A wait on such an epoll that did not sleep: it was not to, or events came while it looked.
    EpollAwake,
    /// A wait on such an epoll that was left to the kernel, and slept there if there was nothing to report.
    EpollAsleep,
}

impl Event {
    /// All events, in the order in which reports list them.
    pub const ALL: [Event; 15] = [
        Event::SleepingWait,
        Event::InstantWait,
        Event::Cancelled,
        Event::Notification,
        Event::NotificationRetry,
        Event::LimitHit,
        Event::Doorbell,
        Event::Handover,
        Event::Process,
        Event::Context,
        Event::PassedContext,
        Event::Epoll,
        Event::EpollControl,
        Event::EpollAwake,
        Event::EpollAsleep,
    ];

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Event::SleepingWait => "waits that slept",
            Event::InstantWait => "waits that did not sleep",
            Event::Cancelled => "cancelled",
            Event::Notification => "notifications",
            Event::NotificationRetry => "notifications retried",
            Event::LimitHit => "limits hit",
            Event::Doorbell => "engine wake-ups",
            Event::Handover => "own rings handed over",
            Event::Process => "processes",
            Event::Context => "libaio contexts",
            Event::PassedContext => "libaio contexts left to the kernel",
            Event::Epoll => "epolls made",
            Event::EpollControl => "changes",
            Event::EpollAwake => "waits that did not sleep",
            Event::EpollAsleep => "waits left to the kernel",
        }
    }
}

const KINDS: usize = Kind::ALL.len();
const ROUTES: usize = Route::ALL.len();
const EVENTS: usize = Event::ALL.len();

/// Buckets of a batch histogram: sizes 1, 2–3, 4–7, … 2^15 and more.
pub const BATCH_BUCKETS: usize = 16;
/// Buckets of a latency histogram: 8 a power of two, from 1 ns to over an hour.
pub const LATENCY_BUCKETS: usize = 42 * 8;

#[repr(C, align(128))]
struct Shard {
    submitted: [AtomicU64; KINDS],
    completed: [AtomicU64; KINDS],
    failed: [AtomicU64; KINDS],
    bytes: [AtomicU64; KINDS],
    routes: [AtomicU64; ROUTES],
    events: [AtomicU64; EVENTS],
}

/// The block itself. Zeroed memory is a valid, empty block.
#[repr(C)]
pub struct Counters {
    magic: AtomicU64,
    /// 1 when latencies are wanted: they cost two clock readings a request.
    timed: AtomicU32,
    /// Bit 0: some process used the uring driver; bit 1: some process used the epoll driver.
    drivers: AtomicU32,
    /// Why the driver was chosen, UTF-8, padded with zeros; the last process to start wrote it.
    reason: [AtomicU8; 256],
    /// Why a context of libaio's was left to the kernel, in the same form.
    passed: [AtomicU8; 256],
    shards: [Shard; SHARDS],
    batches: [AtomicU64; BATCH_BUCKETS],
    latency: [[AtomicU64; LATENCY_BUCKETS]; KINDS],
    latency_max: [AtomicU64; KINDS],
}

static LOCAL: Counters = Counters::new();
/// The block in use: `LOCAL` until [`adopt`] finds a shared one. Never freed, so a reference lives for ever.
static CURRENT: AtomicPtr<Counters> = AtomicPtr::new((&raw const LOCAL).cast_mut());

impl Counters {
    /// An empty block.
    pub const fn new() -> Counters {
        Counters {
            magic: AtomicU64::new(MAGIC),
            timed: AtomicU32::new(0),
            drivers: AtomicU32::new(0),
            reason: [const { AtomicU8::new(0) }; 256],
            passed: [const { AtomicU8::new(0) }; 256],
            shards: [const {
                Shard {
                    submitted: [const { AtomicU64::new(0) }; KINDS],
                    completed: [const { AtomicU64::new(0) }; KINDS],
                    failed: [const { AtomicU64::new(0) }; KINDS],
                    bytes: [const { AtomicU64::new(0) }; KINDS],
                    routes: [const { AtomicU64::new(0) }; ROUTES],
                    events: [const { AtomicU64::new(0) }; EVENTS],
                }
            }; SHARDS],
            batches: [const { AtomicU64::new(0) }; BATCH_BUCKETS],
            latency: [const { [const { AtomicU64::new(0) }; LATENCY_BUCKETS] }; KINDS],
            latency_max: [const { AtomicU64::new(0) }; KINDS],
        }
    }

    /// The block of this process.
    #[inline]
    pub fn current() -> &'static Counters {
        // SAFETY: CURRENT holds the address of LOCAL or of a mapping that `adopt` never unmaps; both are valid for ever
        // and hold atomics only.
        unsafe { &*CURRENT.load(Ordering::Relaxed) }
    }

    #[inline]
    fn shard(&self) -> &Shard {
        // SAFETY: no preconditions; the value is only hashed.
        let thread = unsafe { libc::pthread_self() } as usize;
        &self.shards[(thread >> 12 ^ thread >> 23) % SHARDS]
    }

    /// Whether latencies are wanted.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed) != 0
    }

    /// Counts a request that was accepted and goes by `route`.
    #[inline]
    pub fn submitted(&self, kind: Kind, route: Route) {
        let shard = self.shard();
        shard.submitted[kind as usize].fetch_add(1, Ordering::Relaxed);
        shard.routes[route as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the end of a request: `result` is its byte count or status, or a negative error number.
    #[inline]
    pub fn completed(&self, kind: Kind, result: i64) {
        let shard = self.shard();
        shard.completed[kind as usize].fetch_add(1, Ordering::Relaxed);
        if result < 0 {
            shard.failed[kind as usize].fetch_add(1, Ordering::Relaxed);
        } else if kind.transfers() {
            shard.bytes[kind as usize].fetch_add(result as u64, Ordering::Relaxed);
        }
    }

    /// Records how long a request took, in nanoseconds.
    pub fn latency(&self, kind: Kind, nanoseconds: u64) {
        self.latency[kind as usize][latency_bucket(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        self.latency_max[kind as usize].fetch_max(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a batch of `size` requests handed to the kernel together.
    #[inline]
    pub fn batch(&self, size: usize) {
        if size > 0 {
            let bucket = (size.ilog2() as usize).min(BATCH_BUCKETS - 1);
            self.batches[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an event.
    #[inline]
    pub fn event(&self, event: Event) {
        self.shard().events[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes which driver a process uses and why.
    pub fn driver(&self, is_uring: bool, reason: &str) {
        self.drivers.fetch_or(if is_uring { 1 } else { 2 }, Ordering::Relaxed);
        store_text(&self.reason, reason);
    }

    /// Notes why a context of libaio's was left to the kernel.
    pub fn passed(&self, reason: &str) {
        store_text(&self.passed, reason);
    }

    /// All figures as plain numbers.
    pub fn snapshot(&self) -> Snapshot {
        let load = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        let sum = |pick: &dyn Fn(&Shard) -> &AtomicU64| self.shards.iter().map(|shard| load(pick(shard))).sum();
        let kinds = Kind::ALL.map(|kind| {
            let k = kind as usize;
            KindSnapshot {
                kind,
                submitted: sum(&|s| &s.submitted[k]),
                completed: sum(&|s| &s.completed[k]),
                failed: sum(&|s| &s.failed[k]),
                bytes: sum(&|s| &s.bytes[k]),
                p50: percentile(&self.latency[k].each_ref().map(load), 0.50),
                p99: percentile(&self.latency[k].each_ref().map(load), 0.99),
                max: load(&self.latency_max[k]),
            }
        });
        let drivers = self.drivers.load(Ordering::Relaxed);
        Snapshot {
            kinds,
            routes: Route::ALL.map(|route| (route, sum(&|s| &s.routes[route as usize]))),
            events: Event::ALL.map(|event| (event, sum(&|s| &s.events[event as usize]))),
            batches: self.batches.each_ref().map(load),
            used_uring: drivers & 1 != 0,
            used_epoll: drivers & 2 != 0,
            reason: load_text(&self.reason),
            passed: load_text(&self.passed),
        }
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Counters::new()
    }
}

/// The figures of one kind of operation.
#[derive(Clone, Copy, Debug)]
pub struct KindSnapshot {
    /// Which kind.
    pub kind: Kind,
    /// Requests accepted.
    pub submitted: u64,
    /// Requests ended, well or not.
    pub completed: u64,
    /// Requests that ended with an error.
    pub failed: u64,
    /// Bytes transferred.
    pub bytes: u64,
    /// Median latency in nanoseconds (within 6 %); 0 if none was timed.
    pub p50: u64,
    /// 99th percentile of the latency in nanoseconds (within 6 %); 0 if none was timed.
    pub p99: u64,
    /// Longest latency in nanoseconds; 0 if none was timed.
    pub max: u64,
}

/// All figures of a block at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The figures of each kind, in the order of [`Kind::ALL`].
    pub kinds: [KindSnapshot; KINDS],
    /// Requests by the way they went.
    pub routes: [(Route, u64); ROUTES],
    /// What else happened, and how often.
    pub events: [(Event, u64); EVENTS],
    /// Batches by size: index i counts those of 2^i to 2^(i+1)-1 requests.
    pub batches: [u64; BATCH_BUCKETS],
    /// Whether some process used the `uring` driver.
    pub used_uring: bool,
    /// Whether some process used the `epoll` driver.
    pub used_epoll: bool,
    /// Why the driver was chosen; empty if no process started the engine.
    pub reason: String,
    /// Why a context of libaio's was left to the kernel; empty if none was.
    pub passed: String,
}

fn store_text(cells: &[AtomicU8], text: &str) {
    let bytes = text.bytes().chain(std::iter::repeat(0));
    for (cell, byte) in cells.iter().zip(bytes) {
        cell.store(byte, Ordering::Relaxed);
    }
}

fn load_text(cells: &[AtomicU8]) -> String {
    let bytes = cells.iter().map(|cell| cell.load(Ordering::Relaxed)).take_while(|byte| *byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}

fn latency_bucket(nanoseconds: u64) -> usize {
    if nanoseconds < 8 {
        return nanoseconds as usize;
    }
    let power = nanoseconds.ilog2() as usize;
    let sub = (nanoseconds >> (power - 3)) as usize & 7;
    ((power - 2) * 8 + sub).min(LATENCY_BUCKETS - 1)
}

/// The middle of a latency bucket, in nanoseconds.
fn latency_of(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let power = bucket / 8 + 2;
    let width = 1u64 << (power - 3);
    (8 + (bucket % 8) as u64) * width + width / 2
}

fn percentile(buckets: &[u64], part: f64) -> u64 {
    let total: u64 = buckets.iter().sum();
    if total == 0 {
        return 0;
    }
    let rank = ((total as f64 * part).ceil() as u64).max(1);
    let mut seen = 0;
    for (bucket, count) in buckets.iter().enumerate() {
        seen += count;
        if seen >= rank {
            return latency_of(bucket);
        }
    }
    latency_of(buckets.len() - 1)
}
