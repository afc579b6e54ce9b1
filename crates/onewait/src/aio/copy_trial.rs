//! Which way to copy pages is the faster one here and now: tried out, in turns.
//!
//! Requests are counted in windows, by pages. What a window of one way took, from its first request to the next window's,
//! with all that the program did in between, is compared with what one of the other way took; of several windows the
//! shortest counts, since a program may pause in any. What was better is then done for a while, longer each time that it
//! wins again.

use crate::sys;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::Instant;

/// The environment variable by which tests have all pages copied in one way: `always` gives the copier what it can
/// take, `never` nothing.
const COPIER_VARIABLE: &str = "ONEWAIT_COPIER";

/// Pages left of a window that does not end.
const FOR_EVER: u32 = u32::MAX;
/// Bytes of a page, in which windows are counted.
const PAGE: u32 = 4096;
/// Pages of a window.
const WINDOW: u32 = 128;
/// Pages of the windows in which a way that may be far slower is tried first.
const SHORT: u32 = 16;
/// Windows before the first trial: many programs copy less.
const FIRST_STAY: u32 = 4;
/// Windows of the winner between two trials, at first and at most.
const STAY: u32 = 64;
const LONGEST_STAY: u32 = 2048;
/// The copier costs a second processor: it has to be this much faster, in percent.
const ADVANTAGE: u64 = 10;

/// What a trial consists of: who copies, how many pages, and whether its time counts.
const STEPS: [(Way, u32, bool); 6] = [
    // Wakes the copier, or starts it.
    (Way::Split, SHORT, false),
    (Way::Split, SHORT, true),
    (Way::Split, WINDOW, true),
    (Way::Alone, WINDOW, true),
    (Way::Split, WINDOW, true),
    (Way::Alone, WINDOW, true),
];

/// How pages are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the thread that submits the request.
    Alone,
    /// By that thread and the copier.
    Split,
}

#[derive(Debug)]
struct State {
    /// When the window began.
    began: Option<Instant>,
    /// Pages of the window.
    pages: u32,
    /// The step of the trial; `None` between two.
    step: Option<usize>,
    /// The way between trials.
    winner: Way,
    /// Windows left until the next trial, and how many there were after the last one.
    left: u32,
    stay: u32,
    /// The shortest time of a page in nanoseconds, alone and split.
    best: [u64; 2],
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Trial {
    /// Whether the copier has a part in this window.
    is_split: AtomicBool,
    /// Pages left of this window. Threads may count at a time, and lose a count: windows need not be exact.
    left: AtomicU32,
    /// Whether the environment gives the copier everything.
    pub(super) is_forced: bool,
    /// Taken by whoever ends a window, never waited for.
    state: Mutex<State>,
}

impl Trial {
    /// Nothing was tried yet; or, as [`COPIER_VARIABLE`] says, nothing ever is.
    pub(super) fn new() -> Trial {
        let state = State {
            began: None,
            pages: WINDOW,
            step: None,
            winner: Way::Alone,
            left: FIRST_STAY,
            stay: STAY,
            best: [u64::MAX; 2],
        };
        let wish = std::env::var_os(COPIER_VARIABLE);
        let (is_split, left) = match wish.as_deref().and_then(OsStr::to_str) {
            Some("always") => (true, FOR_EVER),
            Some("never") => (false, FOR_EVER),
            _ => (false, 0),
        };
        let is_forced = is_split;
        Trial { is_forced, is_split: AtomicBool::new(is_split), left: AtomicU32::new(left), state: Mutex::new(state) }
    }

    /// Counts a request for so many bytes; whether the copier may have a part in it.
    #[inline]
    pub(super) fn next(&self, length: u32) -> bool {
        match self.left.load(Ordering::Relaxed) {
            FOR_EVER => {}
            0 => self.end_window(),
            left => self.left.store(left.saturating_sub((length / PAGE).max(1)), Ordering::Relaxed),
        }
        self.is_split.load(Ordering::Relaxed)
    }

    /// From now on the submitters copy alone.
    pub(super) fn give_up(&self) {
        self.is_split.store(false, Ordering::Relaxed);
        self.left.store(FOR_EVER, Ordering::Relaxed);
    }

    #[cold]
    fn end_window(&self) {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let now = Instant::now();
        if state.began.is_none() && sys::count_processors() < 2 {
            return self.give_up();
        }
        let time = state.began.map_or(u64::MAX, |began| now.duration_since(began).as_nanos() as u64);
        let time = time / u64::from(state.pages);
        let (way, pages) = state.next(time);
        (state.began, state.pages) = (Some(now), pages);
        self.is_split.store(way == Way::Split, Ordering::Relaxed);
        self.left.store(pages, Ordering::Relaxed);
    }
}

impl State {
    /// A window has ended that took `time` nanoseconds a page: who copies in the next one, and how many pages.
    fn next(&mut self, time: u64) -> (Way, u32) {
        match self.step {
            None => self.go_on(time),
            Some(step) => {
                let (way, _, counts) = STEPS[step];
                if counts {
                    self.note(way, time);
                }
                let is_hopeless = way == Way::Split && counts && self.best[1] / 2 > self.best[0];
                self.step = Some(step + 1).filter(|step| *step < STEPS.len() && !is_hopeless);
            }
        }
        match self.step {
            Some(step) => (STEPS[step].0, STEPS[step].1),
            None if self.left == 0 => {
                self.decide();
                (self.winner, WINDOW)
            }
            None => (self.winner, WINDOW),
        }
    }

    /// Between trials: begins one when it is time, or when the copier is no longer the help that it was.
    fn go_on(&mut self, time: u64) {
        self.left = self.left.saturating_sub(1);
        if self.winner == Way::Split && time / 2 > self.best[0] {
            (self.left, self.stay) = (0, STAY);
        }
        if self.left == 0 {
            self.step = Some(0);
            self.best = [u64::MAX; 2];
            self.note(self.winner, time);
        }
    }

    fn note(&mut self, way: Way, time: u64) {
        let best = &mut self.best[usize::from(way == Way::Split)];
        *best = time.min(*best);
    }

    fn decide(&mut self) {
        let [alone, split] = self.best;
        let winner = if split < alone - alone.saturating_mul(ADVANTAGE) / 100 { Way::Split } else { Way::Alone };
        self.stay = if winner == self.winner { (self.stay * 2).min(LONGEST_STAY) } else { STAY };
        self.winner = winner;
        self.left = self.stay;
    }
}
