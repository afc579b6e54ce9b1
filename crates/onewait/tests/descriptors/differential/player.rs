//! Plays steps on one side.

use super::step::{Control, Kind, PLACES, Place, Poll, Step};
use crate::bits::Named;
use crate::fds::{counter, datagram, pipe, polled, semaphore, stream};
use crate::process::Fork;
use crate::world::{Epoll, Errno, Event, List, NOW, World, last};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// What a step gave.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Failed(Errno),
    Number(usize),
    Events(Vec<Event>),
    Level(u32),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Answer::Done => write!(f, "done"),
            Answer::Failed(errno) => write!(f, "{}", std::io::Error::from_raw_os_error(*errno)),
            Answer::Number(number) => write!(f, "{number}"),
            Answer::Events(events) => write!(f, "{events:?}"),
            Answer::Level(bits) => write!(f, "{:?}", Named(*bits)),
        }
    }
}

/// What a system call returned that gives a number, or -1 and `errno`.
fn number(result: isize) -> Answer {
    usize::try_from(result).map_or_else(|_| Answer::Failed(last()), Answer::Number)
}

fn done(result: Result<(), Errno>) -> Answer {
    result.map_or_else(Answer::Failed, |()| Answer::Done)
}

/// A side with its descriptors, whose numbers begin at `first`. Nobody else in this process uses these numbers.
pub(super) struct Player<W: World> {
    side: W,
    first: RawFd,
    holder: Option<Fork>,
    _watched: OwnedFd,
}

/// Eight of them are the number one, for a counter.
const BYTES: [u8; 4096] = {
    let mut bytes = [0; 4096];
    bytes[0] = 1;
    bytes
};

impl<W: World> Player<W> {
    /// With a few things to begin with.
    pub(super) fn new(first: RawFd, strict: bool) -> Self {
        let side = if strict { W::strict() } else { W::new() };
        // A reactor that never watched a descriptor does not ask the kernel, and so does not see what a child adds first.
        let watched = counter(0);
        side.add(&watched, 0, 0).expect("a counter can be watched");
        let mut player = Player { side, first, holder: None, _watched: watched };
        let things = [(Kind::Pipe, 0, 1), (Kind::Counter, 2, 2), (Kind::Epoll, 3, 3), (Kind::Stream, 4, 5)];
        for (kind, first, second) in things {
            player.renew(kind, first, second);
        }
        player
    }

    fn number(&self, place: Place) -> RawFd {
        self.first + RawFd::try_from(place).expect("a place")
    }

    fn fd(&self, place: Place) -> BorrowedFd<'_> {
        // SAFETY: whether it is open is the question: it only goes, as a number, to calls that say so.
        unsafe { BorrowedFd::borrow_raw(self.number(place)) }
    }

    fn put(&mut self, fd: OwnedFd, place: Place) {
        // SAFETY: no pointers; the number is this player's.
        let result = unsafe { libc::dup3(fd.as_raw_fd(), self.number(place), libc::O_CLOEXEC) };
        assert!(result >= 0, "{}", std::io::Error::last_os_error());
    }

    fn renew(&mut self, kind: Kind, first: Place, second: Place) {
        let (one, other): (OwnedFd, Option<OwnedFd>) = match kind {
            Kind::Pipe => {
                let (reader, writer) = pipe();
                (reader, Some(writer))
            }
            Kind::Stream => {
                let (one, other) = stream();
                (one.into(), Some(other.into()))
            }
            Kind::Datagram => {
                let (one, other) = datagram();
                (one.into(), Some(other.into()))
            }
            Kind::Counter => (counter(0), None),
            Kind::Semaphore => (semaphore(0), None),
            Kind::Epoll => (crate::fds::dup(&Epoll::new().expect("an epoll can be made")), None),
            Kind::Null => (File::open("/dev/null").expect("there is one").into(), None),
        };
        self.put(one, first);
        if let Some(other) = other {
            self.put(other, second);
        }
    }

    fn control(&self, Control { poll, op, place, bits, data }: Control) -> Result<(), Errno> {
        let fd = self.fd(place);
        match poll {
            Poll::Side => self.side.list().control(op, &fd, bits, data),
            Poll::Inner(inner) => self.inner(inner).control(op, &fd, bits, data),
        }
    }

    fn inner(&self, place: Place) -> Epoll<BorrowedFd<'_>> {
        Epoll::of(self.fd(place))
    }

    pub(super) fn play(&mut self, step: Step) -> Answer {
        match step {
            Step::Control(control) => done(self.control(control)),
            Step::Wait { poll, max } => {
                let events = match poll {
                    Poll::Side => self.side.wait(max, NOW),
                    Poll::Inner(place) => self.inner(place).wait(max, NOW),
                };
                events.map_or_else(Answer::Failed, Answer::Events)
            }
            Step::Look { place } => Answer::Level(polled(&self.fd(place))),
            Step::Write { place, n } => {
                // SAFETY: so many bytes are there.
                number(unsafe { libc::write(self.number(place), BYTES.as_ptr().cast(), n) })
            }
            Step::Read { place, n } => {
                let mut bytes = [0_u8; BYTES.len()];
                // SAFETY: there is room for so many bytes.
                number(unsafe { libc::read(self.number(place), bytes.as_mut_ptr().cast(), n) })
            }
            Step::Dup { place } => self.dup(place),
            Step::Dup2 { from, to } => {
                // SAFETY: no pointers; both numbers are this player's.
                let result = unsafe { libc::dup2(self.number(from), self.number(to)) };
                if result < 0 { Answer::Failed(last()) } else { Answer::Done }
            }
            Step::Close { place } => {
                // SAFETY: no pointers; the number is this player's.
                if unsafe { libc::close(self.number(place)) } < 0 { Answer::Failed(last()) } else { Answer::Done }
            }
            Step::Renew { kind, first, second } => {
                self.renew(kind, first, second);
                Answer::Done
            }
            Step::ChildControls(control) => {
                let child = Fork::new(|| self.control(control).err().unwrap_or(0));
                match child.wait() {
                    0 => Answer::Done,
                    errno => Answer::Failed(errno),
                }
            }
            Step::ChildCloses { place } => {
                // SAFETY: as above, in the child.
                let child = Fork::new(|| if unsafe { libc::close(self.number(place)) } < 0 { last() } else { 0 });
                match child.wait() {
                    0 => Answer::Done,
                    errno => Answer::Failed(errno),
                }
            }
            Step::Hold => {
                // The holder of before, if there is one, holds less.
                self.holder = Some(Fork::new(|| {
                    // SAFETY: no pointers. It is ended by a signal.
                    unsafe { libc::pause() }
                }));
                Answer::Done
            }
            Step::Release => {
                self.holder = None;
                Answer::Done
            }
        }
    }

    /// The place that the number belongs to.
    fn dup(&self, place: Place) -> Answer {
        // SAFETY: no pointers in this command.
        let copy = unsafe { libc::fcntl(self.number(place), libc::F_DUPFD_CLOEXEC, self.first) };
        if copy < 0 {
            return Answer::Failed(last());
        }
        let to = usize::try_from(copy - self.first).expect("not below the first");
        if to >= PLACES {
            // SAFETY: no pointers; just made.
            unsafe { libc::close(copy) };
        }
        Answer::Number(to)
    }
}

impl<W: World> Drop for Player<W> {
    fn drop(&mut self) {
        for place in 0..PLACES {
            // SAFETY: no pointers; the number is this player's.
            unsafe { libc::close(self.number(place)) };
        }
    }
}
