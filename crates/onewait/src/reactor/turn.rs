//! The reactor's wait: what a turn takes from whom, and when the thread sleeps.

use super::bells::Bells;
use super::builder::ReactorBuilder;
use super::class::Class;
use super::embedded::Embedded;
use super::registry::{Registry, Shared};
use super::sources::Sources;
use super::spin::Spin;
use super::wheel::Wheel;
use crate::errno::Errno;
use crate::files::OwnFiles;
use crate::sockets::Sockets;
use eventpoll::{Armed, Events, Ready, Ring};
use std::fmt;
use std::hint;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod files;
mod sockets;
mod urgent;

pub use super::wheel::TimerKey;

/// One wait for everything that is watched. See the [module's page](super) for a picture.
///
/// It belongs to one thread at a time. What other threads may do with it is in its [`Registry`].
///
/// # Fork
/// A child of `fork(2)` has the same epoll of the kernel's, as with `epoll_create(2)`: what it adds or deletes there its
/// parent sees. Sources and timers are copies. A child that goes on makes a reactor of its own.
pub struct Reactor {
    registry: Registry,
    bell: Bells,
    timers: Wheel<u64>,
    /// When the wheel's time began.
    epoch: Instant,
    spin: Spin,
    /// What the kernel writes to.
    buffer: Vec<libc::epoll_event>,
    /// Counts the turns that have room for fewer events than there are kinds of them.
    narrow_turns: u32,
    classes: urgent::Turns,
    embedded: Option<Embedded>,
    /// Made when they are first asked for.
    sockets: Option<Box<Sockets>>,
    /// The same.
    files: Option<Box<OwnFiles>>,
    how: ReactorBuilder,
}

impl Reactor {
    /// The token of [`Reactor::sockets`], unless it is to be another one.
    pub const SOCKETS: u64 = u64::MAX;

    /// The token of [`Reactor::files`], unless it is to be another one.
    pub const FILES: u64 = u64::MAX - 1;

    /// # Errors
    /// Those of [`ReactorBuilder::build`].
    pub(super) fn with(how: ReactorBuilder) -> Result<Reactor, Errno> {
        let descriptors = super::descriptors::Descriptors::new(!how.refuses_files)?;
        let in_process = Sources::new(Arc::clone(descriptors.doorbell()));
        let embedded = how.embeddable.then(|| Embedded::new(&descriptors)).transpose()?;
        let shared = Arc::new(Shared { in_process, descriptors });
        let mut reactor = Reactor {
            bell: Bells::new(&shared),
            registry: Registry { shared },
            timers: Wheel::new(how.timers),
            epoch: Instant::now(),
            spin: Spin::new(how.spin),
            buffer: Vec::new(),
            narrow_turns: 0,
            classes: urgent::Turns::default(),
            embedded,
            sockets: None,
            files: None,
            how,
        };
        reactor.leave()?;
        Ok(reactor)
    }

    /// A reactor that watches nothing yet.
    ///
    /// # Errors
    /// Those of [`ReactorBuilder::build`].
    pub fn new() -> Result<Reactor, Errno> {
        Reactor::builder().build()
    }

    /// A reactor other than the usual.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder::new()
    }

    /// What it watches, and how it is woken. Clone it for other threads.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Arms a timer: after `deadline` a wait reports `token` with [`Events::IN`], once. A deadline that has passed is
    /// reported by the next wait. No system call; tens of nanoseconds, also with a million armed.
    ///
    /// # Errors
    /// EAGAIN if as many timers are armed as may be.
    #[inline]
    pub fn arm_timer(&mut self, deadline: Instant, token: u64) -> Result<TimerKey, Errno> {
        self.arm(deadline.saturating_duration_since(self.epoch), token)
    }

    /// As [`Reactor::arm_timer`], for a time from now on.
    ///
    /// # Errors
    /// EAGAIN if as many timers are armed as may be.
    pub fn arm_timer_in(&mut self, time: Duration, token: u64) -> Result<TimerKey, Errno> {
        self.arm(self.epoch.elapsed().saturating_add(time), token)
    }

    #[inline]
    fn arm(&mut self, deadline: Duration, token: u64) -> Result<TimerKey, Errno> {
        let timer = self.timers.arm(deadline, token).ok_or(Errno::AGAIN)?;
        self.timers_changed();
        Ok(timer)
    }

    /// Whoever polls the descriptor has to know of it.
    #[inline]
    fn timers_changed(&mut self) {
        if let Some(embedded) = &mut self.embedded {
            embedded.set_timer(self.epoch.elapsed(), self.timers.next_deadline());
        }
    }

    /// Ends a timer before its time, and returns its token. `None` if it was reported, or ended, before: after this a wait
    /// does not report it.
    #[inline]
    pub fn cancel_timer(&mut self, timer: TimerKey) -> Option<u64> {
        self.timers.cancel(timer)
    }

    /// Gives a timer another deadline, and a new key. `None` if it was reported, or ended, before.
    pub fn rearm_timer(&mut self, timer: TimerKey, deadline: Instant) -> Option<TimerKey> {
        let timer = self.timers.rearm(timer, deadline.saturating_duration_since(self.epoch));
        self.timers_changed();
        timer
    }

    /// A descriptor that is readable when a wait would report something, for `poll(2)` and all loops that are made of it: a
    /// glib source, a libuv poll handle, a reader of asyncio's. Whoever finds it readable calls [`Reactor::wait`] with no
    /// time until nothing is reported; it may find nothing at once. `None` unless the reactor is
    /// [embeddable](ReactorBuilder::embeddable).
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.embedded.as_ref().map(|_| self.registry.shared.descriptors.as_fd())
    }

    /// Waits until there is something to report, at most for `timeout` (`None`: for ever), and returns it. Nothing is
    /// returned when the time is over, when a [`Waker`](eventpoll::Waker) was used, and when a buffer came back that sockets
    /// wait for ([`Received`](crate::sockets::Received)): then wait again. Never early; with a timeout of zero it does not
    /// sleep.
    ///
    /// What is [urgent](Registry::add_urgent) comes first, in at most half of the room. Then come timers, in the order of
    /// their deadlines, then sources of this process, then descriptors; each kind gets a part of the room in each turn,
    /// however much another has, and within a kind what was reported goes to the end. With less room they take turns.
    ///
    /// A reactor that never watched a descriptor makes no system call as long as there is something to report. Otherwise a
    /// wait makes one; one more with room for less than three events, for descriptors that are urgent, and for each sleep
    /// that ends for nothing; and many while it spins.
    ///
    /// # Errors
    /// EINVAL if `events` has no room; EINTR if a signal was handled, and there is nothing to report; those of
    /// [`Sockets::check_owner`], if there are sockets or requests on files.
    pub fn wait<'e>(&mut self, events: &'e mut [Ready], timeout: Option<Duration>) -> Result<&'e [Ready], Errno> {
        if events.is_empty() {
            return Err(Errno::INVAL);
        }
        // Nothing is taken for a caller who gets an error.
        if let Some(sockets) = &self.sockets {
            sockets.check_owner()?;
        }
        self.begin_turn_of_completions();
        let was_woken = self.embedded.as_mut().is_some_and(|embedded| embedded.enter(&mut self.bell));
        let timeout = if was_woken { Some(Duration::ZERO) } else { timeout };
        let waited = self.wait_inside(events, timeout);
        self.leave()?;
        waited.map(|count| &events[..count])
    }

    /// Nobody waits from now on.
    fn leave(&mut self) -> Result<(), Errno> {
        if self.embedded.is_none() {
            return Ok(());
        }
        self.tell_of_files();
        let Some(embedded) = &mut self.embedded else { return Ok(()) };
        // What has come to a ring since its turn has rung already, and a look at the descriptors may have taken that ring.
        if let Some(sockets) = &mut self.sockets
            && sockets.is_pending()
        {
            self.registry.shared.descriptors.doorbell().ring();
        }
        let (now, first) = (self.epoch.elapsed(), self.timers.next_deadline());
        embedded.leave(&mut self.bell, &self.registry.shared.descriptors, now, first)
    }

    #[inline]
    fn wait_inside(&mut self, events: &mut [Ready], timeout: Option<Duration>) -> Result<usize, Errno> {
        let may_sleep = timeout != Some(Duration::ZERO);
        // A time beyond what the clock can say is for ever. Without a time to keep, the clock is not read.
        let deadline = match timeout {
            Some(timeout) if may_sleep => self.epoch.elapsed().checked_add(timeout),
            _ => None,
        };
        let mut asks_kernel = !may_sleep;
        loop {
            let count = self.collect(events, asks_kernel)?;
            if count > 0 || !may_sleep {
                return Ok(count);
            }
            if let Some(time) = self.spin.time() {
                let found = self.look_for(events, time, deadline)?;
                self.spin.was(found.is_some());
                if let Some(count) = found {
                    return Ok(count);
                }
            }
            match self.bell.arm()? {
                // Notifications that never end must not keep descriptors waiting.
                Armed::Look => asks_kernel = true,
                // Wakers that never tire must not keep descriptors waiting.
                Armed::Interrupted => return self.collect(events, true),
                Armed::Sleep => match self.sleep(events, deadline) {
                    Some(result) => return result,
                    None => continue,
                },
            }
            // Sources that notify again and again without being ready must not keep anybody for ever.
            if deadline.is_some_and(|deadline| self.epoch.elapsed() >= deadline) {
                return Ok(0);
            }
        }
    }

    /// Sleeps, with the bell armed. `None`: nothing was found, and the time is not over.
    fn sleep(&mut self, events: &mut [Ready], deadline: Option<Duration>) -> Option<Result<usize, Errno>> {
        let first = [deadline, self.timers.next_deadline()].into_iter().flatten().min();
        let timeout = first.map(|first| first.saturating_sub(self.epoch.elapsed()));
        let room = self.room_of_descriptors(events.len());
        let slept = self.sleep_in_kernel(&mut events[..room], timeout);
        let woken = self.bell.disarm();
        self.finish_files();
        let (count, error) = match slept {
            Ok(count) => (count, None),
            Err(errno) => (0, Some(errno)),
        };
        // Events are reported rather than anything else, and what woke us is among these.
        let more = match self.collect_after(events, count) {
            Ok(more) => more,
            Err(errno) => return Some(Err(errno)),
        };
        let sockets = self.tell_of_sockets(&mut events[count + more..]);
        match (count + more + sockets, error) {
            (0, Some(errno)) => Some(Err(errno)),
            (0, None) if woken || deadline.is_some_and(|deadline| self.epoch.elapsed() >= deadline) => Some(Ok(0)),
            (0, None) => None,
            (count, _) => Some(Ok(count)),
        }
    }

    /// Looks for events, and for a waker, again and again. `None`: the time is over.
    fn look_for(
        &mut self,
        events: &mut [Ready],
        time: Duration,
        deadline: Option<Duration>,
    ) -> Result<Option<usize>, Errno> {
        let end = self.epoch.elapsed().saturating_add(time);
        let end = deadline.map_or(end, |deadline| deadline.min(end));
        loop {
            let count = self.collect(events, true)?;
            if count > 0 {
                return Ok(Some(count));
            }
            match self.bell.arm()? {
                Armed::Interrupted => return self.collect(events, true).map(Some),
                Armed::Sleep if self.bell.disarm() => return self.collect(events, true).map(Some),
                _ => {}
            }
            if self.epoch.elapsed() >= end {
                return Ok(None);
            }
            hint::spin_loop();
        }
    }

    /// Takes what there is, without sleeping. The kernel is asked if there is anything else to report, so that descriptors
    /// have their turn, or if `asks_kernel`; if not, the sleep that follows asks it.
    fn collect(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        if self.registry.shared.any_urgent() {
            self.collect_by_class(events, asks_kernel)
        } else {
            self.collect_normal(events, asks_kernel)
        }
    }

    fn collect_normal(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        let has_descriptors = self.registry.shared.descriptors.any();
        // That there are completions of sockets is one event, which has its place.
        let room = events.len().saturating_sub(usize::from(self.sockets.is_some()));
        if room < KINDS {
            return self.collect_narrow(events, asks_kernel);
        }
        let part = if has_descriptors { room - room / KINDS } else { room };
        let mut count = self.collect_in_process(&mut events[..part])?;
        count += self.collect_sockets(&mut events[count..], asks_kernel || count > 0)?;
        if has_descriptors && (asks_kernel || count > 0) {
            count += self.collect_descriptors(&mut events[count..])?;
        }
        if count == 0 && asks_kernel && self.files.is_some() {
            // The turn of the ring may have ended requests, whose completions are a source.
            count += self.collect_sources(events)?;
        }
        Ok(count)
    }

    /// Without room for all kinds they take turns at being first.
    fn collect_narrow(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        self.narrow_turns = self.narrow_turns.wrapping_add(1);
        let mut count = 0;
        let kinds = KINDS as u32 + u32::from(self.sockets.is_some());
        for kind in 0..kinds {
            let rest = &mut events[count..];
            if rest.is_empty() {
                break;
            }
            count += match (kind + self.narrow_turns) % kinds {
                0 => self.collect_timers(rest),
                1 => self.collect_sources(rest)?,
                3 => self.collect_sockets(rest, asks_kernel || kind == 0)?,
                _ if !self.registry.shared.descriptors.any() => 0,
                // Otherwise the sleep that follows asks it, if nothing else was found.
                _ if asks_kernel || kind == 0 => self.collect_descriptors(rest)?,
                _ => 0,
            };
        }
        if count == 0 && asks_kernel && self.files.is_some() {
            count += self.collect_sources(events)?;
        }
        Ok(count)
    }

    fn collect_in_process(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        if events.is_empty() {
            return Ok(0);
        }
        // Half of the room, if there are sources to share it with.
        let part = events.len().div_ceil(2);
        let timers = self.collect_timers(&mut events[..part]);
        let sources = self.collect_sources(&mut events[timers..])?;
        Ok(timers + sources)
    }

    fn collect_timers(&mut self, events: &mut [Ready]) -> usize {
        if self.timers.len() == 0 {
            return 0;
        }
        let (room, mut places, mut count) = (events.len(), events.iter_mut(), 0);
        let now = self.epoch.elapsed();
        loop {
            let is_unfinished = self.timers.expire(now, room, |_, _, token| {
                if let Some(place) = places.next() {
                    *place = Ready { token, events: Events::IN };
                    count += 1;
                }
            });
            // What is due may still be on its way down the wheel.
            if count > 0 || !is_unfinished {
                return count;
            }
        }
    }

    fn collect_sources(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        Ok(self.registry.shared.in_process.take(events, Class::Normal)?)
    }

    fn collect_descriptors(&mut self, events: &mut [Ready]) -> Result<usize, Errno> {
        self.take_descriptors(events, Some(Duration::ZERO))
    }

    #[inline]
    fn take_descriptors(&mut self, events: &mut [Ready], timeout: Option<Duration>) -> Result<usize, Errno> {
        let found = self.registry.shared.descriptors.wait(&mut self.buffer, events, timeout)?;
        self.classes.may_be_urgent = found.may_be_urgent;
        Ok(found.count)
    }
}

/// Timers, sources, descriptors. What sockets have is one event.
const KINDS: usize = 3;

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor")
            .field("registry", &self.registry)
            .field("timers", &self.timers.len())
            .finish_non_exhaustive()
    }
}
