//! The reactor's wait: what a turn takes from whom, and when the thread sleeps.

use super::bells::Bells;
use super::class::Class;
use super::embedded::Embedded;
use super::registry::{Registry, Shared};
use super::sources::Sources;
use super::spin::Spin;
use super::wheel::Wheel;
use crate::driver::Choice;
use crate::errno::Errno;
use crate::sockets::{Setting, Slept, Sockets};
use eventpoll::{Armed, Events, Ready, Ring};
use std::fmt;
use std::hint;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    how: ReactorBuilder,
}

/// How a reactor is to be. From [`Reactor::builder`].
#[derive(Clone, Copy, Debug)]
pub struct ReactorBuilder {
    spin: Duration,
    refuses_files: bool,
    timers: usize,
    embeddable: bool,
    sockets_token: u64,
    socket_memory: usize,
    choice: Option<Choice>,
}

impl ReactorBuilder {
    /// Looks for events for up to `most` before it sleeps, and for less where that is of no use. Zero, which is the default,
    /// sleeps at once. An answer that comes meanwhile finds the thread awake: that is worth 50 microseconds where a
    /// processor has little else to do, and costs as much of it.
    #[must_use]
    pub fn spin(mut self, most: Duration) -> Self {
        self.spin = most;
        self
    }

    /// Refuses files without a poll of their own with EPERM, as `epoll_ctl(2)` does. Otherwise they are always ready, as
    /// `poll(2)` says.
    #[must_use]
    pub fn refuse_files(mut self) -> Self {
        self.refuses_files = true;
        self
    }

    /// How many timers can be armed at a time; otherwise as many as memory holds, up to 2³² − 2.
    #[must_use]
    pub fn timers(mut self, limit: usize) -> Self {
        self.timers = limit;
        self
    }

    /// Lets other loops poll the reactor: it has a [descriptor](Reactor::descriptor), which takes a timerfd more, and system
    /// calls when sources or timers are ready and nobody waits.
    #[must_use]
    pub fn embeddable(mut self) -> Self {
        self.embeddable = true;
        self
    }

    /// What a wait reports, with [`Events::IN`], when there are completions of [`sockets`](Reactor::sockets) to be taken;
    /// otherwise it is [`Reactor::SOCKETS`].
    #[must_use]
    pub fn sockets_token(mut self, token: u64) -> Self {
        self.sockets_token = token;
        self
    }

    /// How many bytes the buffers that sockets receive into may have, all together; otherwise 4 MiB. They are made as they
    /// are needed. While all are with the program, nothing is received.
    #[must_use]
    pub fn socket_memory(mut self, bytes: usize) -> Self {
        self.socket_memory = bytes;
        self
    }

    /// Which driver sockets are to have; otherwise the best that the system allows, or what the environment variable
    /// `ONEWAIT_DRIVER` asks for.
    #[must_use]
    pub fn driver(mut self, choice: Choice) -> Self {
        self.choice = Some(choice);
        self
    }

    /// # Errors
    /// EMFILE or ENFILE (it takes two descriptors), ENOMEM, ENOSPC.
    pub fn build(self) -> Result<Reactor, Errno> {
        let descriptors = super::descriptors::Descriptors::new(!self.refuses_files)?;
        let in_process = Sources::new(Arc::clone(descriptors.doorbell()));
        let embedded = self.embeddable.then(|| Embedded::new(&descriptors)).transpose()?;
        let shared = Arc::new(Shared { in_process, descriptors });
        let mut reactor = Reactor {
            bell: Bells::new(&shared),
            registry: Registry { shared },
            timers: Wheel::new(self.timers),
            epoch: Instant::now(),
            spin: Spin::new(self.spin),
            buffer: Vec::new(),
            narrow_turns: 0,
            classes: urgent::Turns::default(),
            embedded,
            sockets: None,
            how: self,
        };
        reactor.leave()?;
        Ok(reactor)
    }
}

impl ReactorBuilder {
    fn sockets(&self, registry: &Registry) -> Result<Sockets, Errno> {
        let choice = match self.choice {
            Some(choice) => choice,
            None => Choice::from_environment().map_err(|_| Errno::INVAL)?,
        };
        let (descriptors, waker) = (&registry.shared.descriptors, registry.waker());
        let doorbell = descriptors.doorbell().number();
        let mut sockets = Sockets::new(Setting { choice, memory: self.socket_memory, waker, doorbell })?;
        if let Some(epoll) = sockets.watched_by_others() {
            descriptors.add_place(epoll.as_raw_fd())?;
        }
        if self.embeddable {
            sockets.tell(doorbell)?;
        }
        Ok(sockets)
    }
}

impl Reactor {
    /// The token of [`Reactor::sockets`], unless it is to be another one.
    pub const SOCKETS: u64 = u64::MAX;

    /// A reactor that watches nothing yet.
    ///
    /// # Errors
    /// Those of [`ReactorBuilder::build`].
    pub fn new() -> Result<Reactor, Errno> {
        Reactor::builder().build()
    }

    /// A reactor other than the usual.
    pub fn builder() -> ReactorBuilder {
        ReactorBuilder {
            spin: Duration::ZERO,
            refuses_files: false,
            timers: usize::MAX,
            embeddable: false,
            sockets_token: Reactor::SOCKETS,
            socket_memory: 4 << 20,
            choice: None,
        }
    }

    /// What it watches, and how it is woken. Clone it for other threads.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Sockets by completion: made by the first call, which chooses the driver.
    ///
    /// # Errors
    /// Of the first call: EMFILE, ENFILE, ENOMEM, ENOSPC; EINVAL if the environment asks for a driver that there is none of,
    /// and what the system refuses a driver with that nothing else may stand in for.
    #[inline]
    pub fn sockets(&mut self) -> Result<&mut Sockets, Errno> {
        match &mut self.sockets {
            Some(sockets) => Ok(sockets),
            none => Ok(none.insert(Box::new(self.how.sockets(&self.registry)?))),
        }
    }

    /// What a wait reports when sockets have something.
    pub(super) fn sockets_token(&self) -> u64 {
        self.how.sockets_token
    }

    /// Arms a timer: after `deadline` a wait reports `token` with [`Events::IN`], once. A deadline that has passed is
    /// reported by the next wait. No system call; tens of nanoseconds, also with a million armed.
    ///
    /// # Errors
    /// EAGAIN if as many timers are armed as may be.
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

    fn arm(&mut self, deadline: Duration, token: u64) -> Result<TimerKey, Errno> {
        let timer = self.timers.arm(deadline, token).ok_or(Errno::AGAIN)?;
        self.timers_changed();
        Ok(timer)
    }

    /// Whoever polls the descriptor has to know of it.
    fn timers_changed(&mut self) {
        if let Some(embedded) = &mut self.embedded {
            embedded.set_timer(self.epoch.elapsed(), self.timers.next_deadline());
        }
    }

    /// Ends a timer before its time, and returns its token. `None` if it was reported, or ended, before: after this a wait
    /// does not report it.
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
    /// returned when the time is over, and when a [`Waker`](eventpoll::Waker) was used. Never early; with a timeout of zero
    /// it does not sleep.
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
    /// EINVAL if `events` has no room; EINTR if a signal was handled, and there is nothing to report.
    pub fn wait<'e>(&mut self, events: &'e mut [Ready], timeout: Option<Duration>) -> Result<&'e [Ready], Errno> {
        if events.is_empty() {
            return Err(Errno::INVAL);
        }
        let was_woken = self.embedded.as_mut().is_some_and(|embedded| embedded.enter(&mut self.bell));
        let timeout = if was_woken { Some(Duration::ZERO) } else { timeout };
        let waited = self.wait_inside(events, timeout);
        self.leave()?;
        waited.map(|count| &events[..count])
    }

    /// Nobody waits from now on.
    fn leave(&mut self) -> Result<(), Errno> {
        let Some(embedded) = &mut self.embedded else { return Ok(()) };
        if let Some(sockets) = &mut self.sockets
            && sockets.has_news()
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

    /// What the thread sleeps in: a ring or an epoll of the sockets' where there are some, which the descriptors' epoll wakes,
    /// too; that one otherwise.
    fn sleep_in_kernel(&mut self, events: &mut [Ready], timeout: Option<Duration>) -> Result<usize, Errno> {
        let descriptors = &self.registry.shared.descriptors;
        let Some(sockets) = &mut self.sockets else { return self.take_descriptors(events, timeout) };
        match sockets.sleep(descriptors.as_fd(), descriptors.any(), timeout)? {
            Slept::Here { others_have_news: false } => {
                self.classes.may_be_urgent = false;
                Ok(0)
            }
            Slept::Here { others_have_news: true } => self.take_descriptors(events, Some(Duration::ZERO)),
            Slept::WithOthers => {
                let count = self.take_descriptors(events, timeout)?;
                if let Some(sockets) = &mut self.sockets {
                    sockets.turn()?;
                }
                Ok(count)
            }
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

    /// One event, if completions are to be taken.
    fn collect_sockets(&mut self, events: &mut [Ready], asks_kernel: bool) -> Result<usize, Errno> {
        let Some(sockets) = &mut self.sockets else { return Ok(0) };
        // What is still to be taken does not keep the others waiting.
        if asks_kernel || sockets.has_news() {
            sockets.turn()?;
        }
        Ok(self.tell_of_sockets(events))
    }

    fn tell_of_sockets(&mut self, events: &mut [Ready]) -> usize {
        let (Some(sockets), Some(place)) = (&mut self.sockets, events.first_mut()) else { return 0 };
        if !sockets.has_news() {
            return 0;
        }
        *place = Ready { token: self.how.sockets_token, events: Events::IN };
        1
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
