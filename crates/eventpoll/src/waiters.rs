//! Who sleeps, and who is woken: the last one that fell asleep (rule 62).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::bell::Ring;
use crate::intake::{CLOSED, Intake, SLEEPERS, WAKE};
use crate::park::{Parked, Place};
use crate::sync::{AtomicU32, Ordering, ShortLock};

/// What a sleeping waiter's word says.
const ASLEEP: u32 = 0;
const NOTIFIED: u32 = 1;
const INTERRUPTED: u32 = 2;

/// A thread inside `wait`, from before it sleeps until it is awake; or a bell that is armed.
pub(crate) struct Waiter {
    /// Written by who takes the waiter off the stack, under the sleepers' lock.
    word: AtomicU32,
    sleeps: Sleeps,
    /// The next one in a list of [`Wakes`]; only who took this one off the stack uses it.
    next: ShortLock<Option<Arc<Waiter>>>,
}

/// Where the waiter's thread sleeps.
enum Sleeps {
    /// In the event poll's own parking.
    Here(Place),
    /// Wherever it likes; this tells it.
    Elsewhere(Arc<dyn Ring>),
}

impl Waiter {
    pub(crate) fn of_bell(ring: Arc<dyn Ring>) -> Arc<Self> {
        Arc::new(Self { word: AtomicU32::new(NOTIFIED), sleeps: Sleeps::Elsewhere(ring), next: ShortLock::new(None) })
    }

    fn wake(&self) {
        match &self.sleeps {
            Sleeps::Here(place) => place.parking().wake(&self.word),
            Sleeps::Elsewhere(ring) => ring.ring(),
        }
    }
}

/// Waiters that are to be woken once no lock is held.
#[derive(Default)]
#[must_use]
pub(crate) struct Wakes {
    last: Option<Arc<Waiter>>,
}

impl Wakes {
    fn push(&mut self, waiter: Arc<Waiter>) {
        *waiter.next.lock() = self.last.take();
        self.last = Some(waiter);
    }

    /// Wakes them, in the order in which they came. Not under any lock: waking may be a system call, and is the user's
    /// code where the parking is.
    #[inline]
    pub(crate) fn fire(&mut self) {
        if self.last.is_some() {
            self.fire_in_order();
        }
    }

    #[cold]
    fn fire_in_order(&mut self) {
        let mut first = None;
        while let Some(waiter) = self.last.take() {
            self.last = core::mem::replace(&mut *waiter.next.lock(), first.take());
            first = Some(waiter);
        }
        // The rest stays here, for the drop, in case waking one panics.
        self.last = first;
        while let Some(waiter) = self.last.take() {
            self.last = waiter.next.lock().take();
            waiter.wake();
        }
    }
}

/// So that also a panic of the user's code, on its way out, leaves nobody asleep who was taken off the stack.
impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        self.fire();
    }
}

/// How a sleep ended.
pub(crate) enum Slept {
    /// There may be something to report. Whoever was woken must look, also if the time is over (rule 59).
    Look { timed_out: bool, interrupted: bool },
    /// The time is over, and nobody woke this waiter.
    TimedOut,
    /// The event poll was closed before.
    Closed,
}

pub(crate) struct Waiters {
    sleepers: ShortLock<Sleepers>,
}

#[derive(Default)]
struct Sleepers {
    /// The last one is woken first. `SLEEPERS` in the intake says whether there are any; both change under the lock.
    stack: Vec<Arc<Waiter>>,
    /// Those of finished waits, so that a wait does not allocate, and a signal handler never frees.
    spare: Vec<Arc<Waiter>>,
    /// Those of bells that somebody else may still have, to ring. Kept here so that a signal handler never has the last.
    retired: Vec<Arc<Waiter>>,
}

impl Sleepers {
    /// Those retired that nobody else has any more. To be dropped without the lock: that is the user's code.
    fn forgotten(&mut self) -> Vec<Arc<Waiter>> {
        self.retired.extract_if(.., |waiter| Arc::get_mut(waiter).is_some()).collect()
    }

    /// One that nobody else refers to: a late wake-up of its former user must not come to the next.
    fn spare(&mut self, place: Place) -> Arc<Waiter> {
        let free = self.spare.iter_mut().position(|waiter| Arc::get_mut(waiter).is_some());
        match free {
            Some(free) => {
                let waiter = self.spare.swap_remove(free);
                waiter.word.store(ASLEEP, Ordering::Relaxed);
                waiter
            }
            None => {
                let sleeps = Sleeps::Here(place);
                Arc::new(Waiter { word: AtomicU32::new(ASLEEP), sleeps, next: ShortLock::new(None) })
            }
        }
    }

    /// Nobody took it off: it is still on the stack, near its top.
    fn take_off(&mut self, intake: &Intake, waiter: &Arc<Waiter>) {
        if let Some(place) = self.stack.iter().rposition(|other| Arc::ptr_eq(other, waiter)) {
            self.stack.remove(place);
        }
        if self.stack.is_empty() {
            intake.clear(SLEEPERS);
        }
    }

    fn pop(&mut self, intake: &Intake, why: u32, wakes: &mut Wakes) -> bool {
        let Some(waiter) = self.stack.pop() else { return false };
        if self.stack.is_empty() {
            intake.clear(SLEEPERS);
        }
        waiter.word.store(why, Ordering::Release);
        wakes.push(waiter);
        true
    }
}

impl Waiters {
    pub(crate) fn new() -> Self {
        Self { sleepers: ShortLock::new(Sleepers::default()) }
    }

    /// Takes the last sleeper off; it is awake as soon as `wakes` is fired.
    pub(crate) fn wake_one(&self, intake: &Intake, wakes: &mut Wakes) -> bool {
        let woken = self.sleepers.lock().pop(intake, NOTIFIED, wakes);
        self.deliver(intake, wakes);
        woken
    }

    pub(crate) fn wake_all(&self, intake: &Intake, wakes: &mut Wakes) {
        let mut sleepers = self.sleepers.lock();
        while sleepers.pop(intake, NOTIFIED, wakes) {}
    }

    /// Gives a used waker to a sleeper. Whoever held the sleepers' lock calls this afterwards, because a waker, which
    /// may be a signal handler on this very thread, does not wait for the lock.
    pub(crate) fn deliver(&self, intake: &Intake, wakes: &mut Wakes) {
        const BOTH: u64 = WAKE | SLEEPERS;
        while intake.latest() & BOTH == BOTH {
            let Some(mut sleepers) = self.sleepers.try_lock() else { return };
            if intake.clear(WAKE) & WAKE != 0 && !sleepers.pop(intake, INTERRUPTED, wakes) {
                intake.set(WAKE);
            }
        }
    }

    /// Sleeps until somebody wakes this thread, or until `deadline`; not at all if there may be something to report.
    pub(crate) fn sleep(&self, intake: &Intake, place: Place, deadline: Option<Duration>) -> Slept {
        let mut sleepers = self.sleepers.lock();
        if let Some(awake) = Self::stay_awake(intake) {
            drop(sleepers);
            self.deliver_now(intake);
            return awake;
        }
        let waiter = sleepers.spare(place);
        sleepers.stack.push(waiter.clone());
        drop(sleepers);
        self.deliver_now(intake);

        let ended = Self::park(&waiter, place, deadline);

        let mut sleepers = self.sleepers.lock();
        let why = waiter.word.load(Ordering::Acquire);
        if why == ASLEEP {
            sleepers.take_off(intake, &waiter);
        }
        sleepers.spare.push(waiter);
        drop(sleepers);
        self.deliver_now(intake);

        match (why, ended) {
            (ASLEEP, Parked::TimedOut) => Slept::TimedOut,
            (why, ended) => Slept::Look {
                timed_out: ended == Parked::TimedOut,
                interrupted: why == INTERRUPTED || ended == Parked::Interrupted,
            },
        }
    }

    /// Puts a bell's waiter on the stack, as if its thread fell asleep, unless it is there. `Some`: there is a reason not
    /// to sleep. The waiter is replaced if somebody still has the old one, to ring for what was before.
    pub(crate) fn arm(&self, intake: &Intake, waiter: &mut Arc<Waiter>) -> Option<Slept> {
        let mut sleepers = self.sleepers.lock();
        let forgotten = sleepers.forgotten();
        // Whoever sleeps elsewhere looks for events after this, too: these need not come first.
        let is_woken = intake.load() & WAKE != 0 && intake.clear(WAKE) & WAKE != 0;
        let awake = match is_woken {
            true => Some(Slept::Look { timed_out: false, interrupted: true }),
            false => Self::stay_awake(intake),
        };
        if awake.is_none() && waiter.word.load(Ordering::Relaxed) != ASLEEP {
            let is_shared = Arc::get_mut(waiter).is_none();
            if let (true, Sleeps::Elsewhere(ring)) = (is_shared, &waiter.sleeps) {
                let fresh = Waiter::of_bell(ring.clone());
                sleepers.retired.push(core::mem::replace(waiter, fresh));
            }
            waiter.word.store(ASLEEP, Ordering::Relaxed);
            sleepers.stack.push(waiter.clone());
        }
        drop(sleepers);
        drop(forgotten);
        self.deliver_now(intake);
        awake
    }

    /// The end of a bell. If it was told of something, and nobody has looked since, somebody else is told.
    pub(crate) fn retire(&self, intake: &Intake, waiter: &Arc<Waiter>, was_told: bool) {
        let mut sleepers = self.sleepers.lock();
        let forgotten = sleepers.forgotten();
        let why = waiter.word.swap(NOTIFIED, Ordering::AcqRel);
        if why == ASLEEP {
            sleepers.take_off(intake, waiter);
        }
        sleepers.retired.push(waiter.clone());
        drop(sleepers);
        drop(forgotten);
        if why == INTERRUPTED {
            intake.set(WAKE);
        }
        let mut wakes = Wakes::default();
        let word = intake.latest();
        if was_told && why != ASLEEP && Intake::may_have_events(word) && word & SLEEPERS != 0 {
            self.wake_one(intake, &mut wakes);
        }
        self.deliver(intake, &mut wakes);
        wakes.fire();
    }

    /// Takes a bell's waiter off the stack, if it is there. Whether a waker was the reason that it is not.
    pub(crate) fn disarm(&self, intake: &Intake, waiter: &Arc<Waiter>) -> bool {
        let mut sleepers = self.sleepers.lock();
        // From now on the word says only what was: the next `arm` finds it off the stack.
        let why = waiter.word.swap(NOTIFIED, Ordering::AcqRel);
        if why == ASLEEP {
            sleepers.take_off(intake, waiter);
        }
        drop(sleepers);
        self.deliver_now(intake);
        why == INTERRUPTED
    }

    /// Announces a sleeper, unless there is a reason not to sleep. With the sleepers locked.
    fn stay_awake(intake: &Intake) -> Option<Slept> {
        let word = intake.announce_sleeper();
        if Intake::may_have_events(word) {
            Some(Slept::Look { timed_out: false, interrupted: false })
        } else if word & CLOSED != 0 {
            Some(Slept::Closed)
        } else if word & WAKE != 0 {
            // If somebody else took it first, this is a turn of the loop for nothing.
            let interrupted = intake.clear(WAKE) & WAKE != 0;
            Some(Slept::Look { timed_out: false, interrupted })
        } else {
            None
        }
    }

    fn park(waiter: &Waiter, place: Place, deadline: Option<Duration>) -> Parked {
        while waiter.word.load(Ordering::Acquire) == ASLEEP {
            let left = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_sub(place.now()) {
                    None | Some(Duration::ZERO) => return Parked::TimedOut,
                    left => left,
                },
            };
            match place.parking().wait(&waiter.word, ASLEEP, left) {
                Parked::Woken => {}
                ended => return ended,
            }
        }
        Parked::Woken
    }

    fn deliver_now(&self, intake: &Intake) {
        let mut wakes = Wakes::default();
        self.deliver(intake, &mut wakes);
        wakes.fire();
    }
}
