//! What is noted of requests in the kernel's context while somebody watches: the kernel's events tell neither what was asked
//! for nor when.

use super::abi::{IoEvent, Iocb, command};
use onewait::counters::{Counters, Kind, Route};
use onewait::sys::MaskedSignals;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The requests in flight, by the addresses of their control blocks. Locked with signals held back.
#[derive(Default)]
pub(super) struct Watch(Mutex<HashMap<u64, (Kind, Instant)>>);

impl Watch {
    /// Notes control blocks that are about to be submitted.
    ///
    /// # Safety
    /// There are so many.
    pub(super) unsafe fn begin(&self, list: *const *mut Iocb, count: usize) -> Vec<(u64, Kind)> {
        let noted: Vec<(u64, Kind)> = (0..count)
            .map(|index| {
                // SAFETY: by contract.
                let (address, block) = unsafe {
                    let address = *list.add(index);
                    (address, &*address)
                };
                (address as u64, kind(block))
            })
            .collect();
        let _masked = MaskedSignals::new();
        let now = Instant::now();
        self.requests().extend(noted.iter().map(|(address, kind)| (*address, (*kind, now))));
        noted
    }

    /// Counts those that were submitted, and forgets the others.
    pub(super) fn begun(&self, noted: &[(u64, Kind)], submitted: usize) {
        let (submitted, others) = noted.split_at(submitted);
        submitted.iter().for_each(|(_, kind)| Counters::current().submitted(*kind, Route::NativeAio));
        let _masked = MaskedSignals::new();
        let mut requests = self.requests();
        for (address, _) in others {
            requests.remove(address);
        }
    }

    /// Counts ends.
    ///
    /// # Safety
    /// There are so many events.
    pub(super) unsafe fn ended(&self, events: *const IoEvent, count: usize) {
        let _masked = MaskedSignals::new();
        let mut requests = self.requests();
        let counters = Counters::current();
        for index in 0..count {
            // SAFETY: by contract.
            let event = unsafe { *events.add(index) };
            if let Some((kind, started)) = requests.remove(&event.object) {
                counters.completed(kind, event.result);
                counters.latency(kind, started.elapsed().as_nanos() as u64);
            }
        }
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<u64, (Kind, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind(block: &Iocb) -> Kind {
    match block.opcode {
        command::READ | command::READ_VECTORED => Kind::Read,
        command::WRITE | command::WRITE_VECTORED => Kind::Write,
        command::POLL => Kind::Poll,
        _ => Kind::Fsync,
    }
}
