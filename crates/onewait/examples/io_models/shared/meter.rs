//! What a server does, counted: from the moment when all clients are connected to the last byte of the last echo.
//!
//! Any number of threads may tell it something. It takes an atomic addition for each system call and each echo.

use super::client::Load;
use rustix::time::{ClockId, clock_gettime};
use std::io;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Counts only. Nothing is published through its atomics, so `Relaxed` is enough for all of them.
pub(crate) struct Meter {
    load: Load,
    accepted: AtomicUsize,
    closed: AtomicUsize,
    system_calls: AtomicU64,
    /// Whether there are others that cannot be counted.
    makes_others: AtomicBool,
    /// Bytes that were sent back.
    echoed: AtomicU64,
    begin: OnceLock<Reading>,
    end: OnceLock<Reading>,
    /// The clients begin to talk when this is closed.
    starting_line: Mutex<Option<ChildStdin>>,
}

struct Reading {
    clock: Instant,
    /// Of all threads of the process, also of those that have ended.
    cpu: Duration,
    system_calls: u64,
}

impl Meter {
    pub(super) fn new(load: Load, starting_line: Option<ChildStdin>) -> Meter {
        Meter {
            load,
            accepted: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            system_calls: AtomicU64::new(0),
            makes_others: AtomicBool::new(false),
            echoed: AtomicU64::new(0),
            begin: OnceLock::new(),
            end: OnceLock::new(),
            starting_line: Mutex::new(starting_line),
        }
    }

    /// How many clients will come.
    pub(crate) fn connections(&self) -> usize {
        self.load.connections
    }

    /// Counts the system call that gave this result, and passes the result on.
    pub(crate) fn call<T>(&self, result: T) -> T {
        self.system_calls.fetch_add(1, Relaxed);
        result
    }

    /// There are system calls that the program does not make itself: how many, will not be reported.
    pub(crate) fn makes_other_calls(&self) {
        self.makes_others.store(true, Relaxed);
    }

    /// A connection was accepted. With the last one, the clients begin.
    pub(crate) fn accepted(&self) {
        if self.accepted.fetch_add(1, Relaxed) + 1 == self.load.connections {
            let _ = self.begin.set(self.read());
            // Whatever a thread that has panicked was doing with it: it is only closed.
            drop(self.starting_line.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        }
    }

    /// So many bytes were sent back.
    pub(crate) fn echoed(&self, bytes: usize) {
        if self.echoed.fetch_add(bytes as u64, Relaxed) + bytes as u64 == self.load.bytes() {
            let _ = self.end.set(self.read());
        }
    }

    /// A client has hung up, and its connection was closed.
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Relaxed);
    }

    /// Whether all clients have hung up.
    pub(crate) fn is_over(&self) -> bool {
        self.closed.load(Relaxed) == self.load.connections
    }

    /// `getrusage(2)` would do; but this clock counts nanoseconds.
    fn read(&self) -> Reading {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        Reading {
            clock: Instant::now(),
            cpu: Duration::new(cpu.tv_sec as u64, cpu.tv_nsec as u32),
            system_calls: self.system_calls.load(Relaxed),
        }
    }

    /// The line that a program prints.
    ///
    /// # Errors
    /// If not everything was sent back.
    pub(super) fn report(&self, model: &str) -> io::Result<String> {
        let (echoed, bytes) = (self.echoed.load(Relaxed), self.load.bytes());
        let (Some(begin), Some(end)) = (self.begin.get(), self.end.get()) else {
            return Err(io::Error::other(format!("{echoed} bytes of {bytes} were echoed")));
        };
        let Load { connections, size, active, .. } = self.load;
        let messages = self.load.messages();
        let each = |total: f64| total / messages as f64;
        let system_calls = match self.makes_others.load(Relaxed) {
            true => "unknown".to_owned(),
            false => format!("{:.3}", each((end.system_calls - begin.system_calls) as f64)),
        };
        let cpu_us = each((end.cpu - begin.cpu).as_secs_f64() * 1e6);
        let a_second = messages as f64 / (end.clock - begin.clock).as_secs_f64();
        Ok(format!(
            "model={model} connections={connections} active={active} messages={messages} bytes={size} \
             system_calls_per_message={system_calls} cpu_us_per_message={cpu_us:.3} messages_per_second={a_second:.0}"
        ))
    }
}
