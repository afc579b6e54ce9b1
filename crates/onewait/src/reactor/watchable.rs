//! What a reactor can watch.

use crate::face::{CompletionQueue, Descriptor};
use crate::source::{Child, Pidfd, Signals};
use eventpoll::sources::{self, Event, Receiver, Sender};
use eventpoll::{AsSource, EventPoll, Source, SourceRef, Watched};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

/// Something that a [`Registry`](super::Registry) watches: a descriptor of the kernel's, or a source in this process.
///
/// The usual types have it. For others that own a descriptor or contain a source there are [`Fd`] and [`InProcess`], or
/// one's own implementation.
pub trait Watchable {
    /// Where its events come from.
    fn target(&self) -> Target<'_>;
}

/// Where events come from.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Target<'a> {
    /// From the kernel. The interest belongs to the open file description and this number, as with `epoll_ctl(2)`.
    Descriptor(BorrowedFd<'a>),
    /// From this process.
    InProcess(SourceRef<'a>),
}

/// Watches whatever has a descriptor: `Fd(&socket)`.
#[derive(Clone, Copy, Debug)]
pub struct Fd<'a, T: ?Sized>(pub &'a T);

/// Watches whatever is a source of the crate `eventpoll`: `InProcess(&mine)`.
#[derive(Clone, Copy, Debug)]
pub struct InProcess<'a, T: ?Sized>(pub &'a T);

impl<T: AsFd + ?Sized> Watchable for Fd<'_, T> {
    fn target(&self) -> Target<'_> {
        Target::Descriptor(self.0.as_fd())
    }
}

impl<T: AsSource + ?Sized> Watchable for InProcess<'_, T> {
    fn target(&self) -> Target<'_> {
        Target::InProcess(self.0.as_source())
    }
}

impl<T: Watchable + ?Sized> Watchable for &T {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}

impl<T: Watchable + ?Sized> Watchable for Arc<T> {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}

impl<T: Watchable + ?Sized> Watchable for Rc<T> {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}

impl<T: Watchable + ?Sized> Watchable for Box<T> {
    fn target(&self) -> Target<'_> {
        (**self).target()
    }
}

macro_rules! descriptors {
    ($($type:ty),+ $(,)?) => {$(
        impl Watchable for $type {
            fn target(&self) -> Target<'_> {
                Target::Descriptor(self.as_fd())
            }
        }
    )+};
}

descriptors!(
    BorrowedFd<'_>,
    OwnedFd,
    Descriptor,
    Signals,
    Child,
    Pidfd,
    std::fs::File,
    std::io::PipeReader,
    std::io::PipeWriter,
    std::io::Stdin,
    std::io::Stdout,
    std::io::Stderr,
    std::net::TcpListener,
    std::net::TcpStream,
    std::net::UdpSocket,
    std::os::unix::net::UnixDatagram,
    std::os::unix::net::UnixListener,
    std::os::unix::net::UnixStream,
    std::process::ChildStderr,
    std::process::ChildStdin,
    std::process::ChildStdout,
);

macro_rules! in_process {
    ($($type:ty),+ $(,)?) => {$(
        impl Watchable for $type {
            fn target(&self) -> Target<'_> {
                Target::InProcess(self.as_source())
            }
        }
    )+};
}

in_process!(CompletionQueue, Event, EventPoll, SourceRef<'_>, sources::PipeReader, sources::PipeWriter, sources::Timer);

impl<T: Send + 'static> Watchable for Receiver<T> {
    fn target(&self) -> Target<'_> {
        Target::InProcess(self.as_source())
    }
}

impl<T: Send + 'static> Watchable for Sender<T> {
    fn target(&self) -> Target<'_> {
        Target::InProcess(self.as_source())
    }
}

impl<S: Source> Watchable for Watched<S> {
    fn target(&self) -> Target<'_> {
        Target::InProcess(self.as_source())
    }
}
