//! `poll(2)` and `select(2)`, over whatever can be watched.
//!
//! Here nothing stays registered: each call says all that it waits for. Descriptors go to the kernel's poll in one call,
//! with a doorbell behind them; sources of the process to an event poll that is empty again afterwards.

use super::doorbell::Doorbell;
use super::watchable::{Target, Watchable};
use crate::errno::Errno;
use eventpoll::{Armed, Bell, Error, EventPoll, Events, Interest, Ready, SourceRef};
use std::fmt;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What `select(2)` takes for readable, writable and exceptional.
const READABLE: Events = Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR);
const EXCEPTIONAL: Events = Events::PRI;

/// `poll(2)` and `select(2)` for descriptors and sources of this process at once, without a limit on their numbers.
///
/// For programs that think in them. The cost of a call grows with what it waits for, as the kernel's does; what is waited
/// for again and again is better off in a [`Reactor`](super::Reactor).
///
/// ```
/// use eventpoll::sources::Event;
/// use onewait::reactor::{Events, PollEntry, Poller};
///
/// let (reader, _writer) = std::io::pipe()?;
/// let event = Event::new(1);
/// let mut entries = [PollEntry::new(&reader, Events::IN), PollEntry::new(&event, Events::IN | Events::OUT)];
/// assert_eq!(Poller::new()?.poll(&mut entries, None)?, 1);
/// assert_eq!(entries[0].ready(), Events::empty());
/// assert_eq!(entries[1].ready(), Events::IN | Events::OUT);
/// # std::io::Result::Ok(())
/// ```
pub struct Poller {
    in_process: EventPoll,
    bell: Bell,
    doorbell: Arc<Doorbell>,
    /// A call's descriptors, the doorbell last, and the places of their entries.
    descriptors: Vec<libc::pollfd>,
    places: Vec<usize>,
    /// Entries whose source is an earlier entry's, too: both places.
    again: Vec<(usize, usize)>,
    events: Vec<Ready>,
}

/// One thing that a call of [`Poller::poll`] waits for: the `struct pollfd` of this crate.
#[derive(Clone, Copy)]
pub struct PollEntry<'a> {
    what: &'a dyn Watchable,
    wanted: Events,
    ready: Events,
}

impl<'a> PollEntry<'a> {
    /// Waits for these events of it, and for `ERR` and `HUP`, whether asked for or not.
    pub fn new(what: &'a dyn Watchable, wanted: Events) -> PollEntry<'a> {
        PollEntry { what, wanted, ready: Events::empty() }
    }

    /// What the last call found; nothing if it was not ready.
    pub fn ready(&self) -> Events {
        self.ready
    }

    fn source(&self) -> Option<SourceRef<'a>> {
        match self.what.target() {
            Target::InProcess(source) => Some(source),
            Target::Descriptor(_) => None,
        }
    }
}

impl fmt::Debug for PollEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PollEntry { wanted, ready, .. } = self;
        f.debug_struct("PollEntry").field("wanted", wanted).field("ready", ready).finish_non_exhaustive()
    }
}

/// What a call of [`Poller::select`] found: places in the lists that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Those that can be read without waiting, be it only that they have ended.
    pub readable: Vec<usize>,
    /// Those that can be written without waiting, be it only to fail.
    pub writable: Vec<usize>,
    /// Those that have something exceptional, such as urgent data.
    pub exceptional: Vec<usize>,
}

impl Poller {
    /// # Errors
    /// EMFILE, ENFILE (it takes a descriptor), ENOMEM.
    pub fn new() -> Result<Poller, Errno> {
        let (in_process, doorbell) = (EventPoll::new(), Arc::new(Doorbell::new()?));
        let bell = in_process.bell(Arc::<Doorbell>::clone(&doorbell));
        let (descriptors, places, again, events) = Default::default();
        Ok(Poller { in_process, bell, doorbell, descriptors, places, again, events })
    }

    /// Waits until one of the entries is ready, at most for `timeout` (`None`: for ever), and writes into all of them what
    /// they are ready for. Returns how many are; 0 when the time is over. Never early. The same thing may be in several
    /// entries. A regular file is always ready.
    ///
    /// # Errors
    /// EINTR if a signal was handled and nothing is ready; EINVAL for more descriptors than RLIMIT_NOFILE; ENOMEM.
    pub fn poll(&mut self, entries: &mut [PollEntry<'_>], timeout: Option<Duration>) -> Result<usize, Errno> {
        // A time beyond what the clock can say is for ever.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let entered = self.enter(entries);
        let waited = entered.and_then(|()| self.wait(entries, deadline));
        for source in entries.iter().filter_map(PollEntry::source) {
            // It is not there if it is in another entry, too, or if entering failed.
            let _ = self.in_process.delete(&source);
        }
        waited
    }

    /// As [`Poller::poll`], for programs that think in `select(2)`: what can be read, written, or is exceptional.
    ///
    /// # Errors
    /// Those of [`Poller::poll`].
    pub fn select(
        &mut self,
        read: &[&dyn Watchable],
        write: &[&dyn Watchable],
        except: &[&dyn Watchable],
        timeout: Option<Duration>,
    ) -> Result<Selected, Errno> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let lists = [(read, READABLE), (write, WRITABLE), (except, EXCEPTIONAL)];
        // The list, the place in it, and what is looked for. The kernel asks for less than it takes.
        let mut wanted = Vec::with_capacity(read.len() + write.len() + except.len());
        let mut entries = Vec::with_capacity(wanted.capacity());
        for (list, (what, bits)) in lists.iter().enumerate() {
            wanted.extend((0..what.len()).map(|place| (list, place)));
            entries.extend(what.iter().map(|what| PollEntry::new(*what, *bits)));
        }
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let count = self.poll(&mut entries, left)?;
            let mut found = [Vec::new(), Vec::new(), Vec::new()];
            for (entry, (list, place)) in entries.iter().zip(&wanted) {
                if entry.ready.intersects(lists[*list].1) {
                    found[*list].push(*place);
                }
            }
            if count == 0 || found.iter().any(|places| !places.is_empty()) {
                let [readable, writable, exceptional] = found;
                return Ok(Selected { readable, writable, exceptional });
            }
            // A poll tells of errors and hang-ups unasked. Whoever has only those is no longer waited for.
            let mut is_quiet = entries.iter().map(|entry| entry.ready.is_empty()).collect::<Vec<_>>().into_iter();
            wanted.retain(|_| is_quiet.next().unwrap_or(true));
            entries.retain(|entry| entry.ready.is_empty());
        }
    }

    /// Sources are watched, descriptors listed.
    fn enter(&mut self, entries: &[PollEntry<'_>]) -> Result<(), Errno> {
        self.descriptors.clear();
        self.places.clear();
        self.again.clear();
        for (place, entry) in entries.iter().enumerate() {
            let wanted = Interest::from(entry.wanted);
            match entry.what.target() {
                Target::Descriptor(fd) => {
                    self.descriptors.push(entry_of(fd.as_raw_fd(), entry.wanted));
                    self.places.push(place);
                }
                Target::InProcess(source) => match self.in_process.add(&source, wanted, place as u64) {
                    Err(Error::Exists) => {
                        let is_it = |other: &PollEntry<'_>| other.source().is_some_and(|it| it.id() == source.id());
                        let first = entries[..place].iter().position(is_it).unwrap_or(place);
                        self.again.push((first, place));
                        let places = self.again.iter().filter(|(other, _)| *other == first);
                        let both = places.fold(entries[first].wanted, |bits, (_, place)| bits | entries[*place].wanted);
                        self.in_process.modify(&source, Interest::from(both), first as u64)?;
                    }
                    result => result?,
                },
            }
        }
        self.descriptors.push(entry_of(self.doorbell.number(), Events::IN));
        self.events.resize(entries.len().max(1), Ready::default());
        Ok(())
    }

    fn wait(&mut self, entries: &mut [PollEntry<'_>], deadline: Option<Instant>) -> Result<usize, Errno> {
        loop {
            for entry in &mut *entries {
                entry.ready = Events::empty();
            }
            let is_quiet = self.take_sources(entries)? == 0;
            let sleeps = is_quiet && self.bell.arm()? == Armed::Sleep;
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let slept = self.poll_descriptors(if sleeps { left } else { Some(Duration::ZERO) });
            self.bell.disarm();
            for (entry, place) in self.descriptors.iter().zip(&self.places) {
                entries[*place].ready = Events::from_bits_retain(u32::from(entry.revents.cast_unsigned()));
            }
            if is_quiet {
                self.take_sources(entries)?;
            }
            let count = entries.iter().filter(|entry| !entry.ready.is_empty()).count();
            match slept {
                Err(errno) if count == 0 => return Err(errno),
                _ if count > 0 || left.is_some_and(|left| left.is_zero()) => return Ok(count),
                _ => {}
            }
        }
    }

    fn take_sources(&mut self, entries: &mut [PollEntry<'_>]) -> Result<usize, Errno> {
        let count = self.in_process.wait(&mut self.events, Some(Duration::ZERO))?;
        let always = Events::ERR | Events::HUP;
        for Ready { token, events } in &self.events[..count] {
            let first = *token as usize;
            let others = self.again.iter().filter(|(other, _)| *other == first).map(|(_, place)| *place);
            for place in std::iter::once(first).chain(others) {
                if let Some(entry) = entries.get_mut(place) {
                    entry.ready = events.intersection(entry.wanted | always);
                }
            }
        }
        Ok(count)
    }

    fn poll_descriptors(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let (entries, count) = (self.descriptors.as_mut_ptr(), self.descriptors.len() as libc::nfds_t);
        // SAFETY: so many entries are valid for the call, and the time, if there is one; there is no mask.
        let result = unsafe { libc::ppoll(entries, count, timeout, std::ptr::null()) };
        if self.descriptors.last().is_some_and(|doorbell| doorbell.revents != 0) {
            self.doorbell.silence();
        }
        if result < 0 { Err(Errno::last()) } else { Ok(()) }
    }
}

fn entry_of(fd: i32, wanted: Events) -> libc::pollfd {
    // The bits are the same, and those of poll fit into sixteen.
    libc::pollfd { fd, events: (wanted.bits() as u16).cast_signed(), revents: 0 }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}
