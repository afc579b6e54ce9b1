//! What C programs watch by a handle.

use super::handle::behind;
use eventpoll::sources::{Event, PipeReader, PipeWriter};
use onewait::reactor::{Target, Watchable};
use onewait::source::{Pidfd, Signals};
use onewait::{CompletionQueue, Errno};

/// A source of any kind. To C an `ow_event *`, `ow_reader *` and so on, and the `ow_source *` of each, are the address of one
/// of these; so a handle that is taken for one of another kind is seen.
pub enum Source {
    /// `ow_event`.
    Event(Event),
    /// `ow_reader`.
    Reader(PipeReader),
    /// `ow_writer`.
    Writer(PipeWriter),
    /// `ow_queue`.
    Queue(CompletionQueue),
    /// `ow_signals`.
    Signals(Signals),
    /// `ow_child`.
    Child(Pidfd),
}

/// Any threads may use them at once.
const fn is_shared<T: Send + Sync>() {}
const _: () = is_shared::<Source>();

impl Watchable for Source {
    #[inline]
    fn target(&self) -> Target<'_> {
        match self {
            Source::Event(event) => event.target(),
            Source::Reader(reader) => reader.target(),
            Source::Writer(writer) => writer.target(),
            Source::Queue(queue) => queue.target(),
            Source::Signals(signals) => signals.target(),
            Source::Child(child) => child.target(),
        }
    }
}

/// A kind of source, behind a handle.
pub(super) trait Kind: Sized {
    fn of(source: &Source) -> Option<&Self>;
}

macro_rules! kinds {
    ($($kind:ident: $type:ty),+) => {$(
        impl Kind for $type {
            #[inline]
            fn of(source: &Source) -> Option<&Self> {
                if let Source::$kind(source) = source { Some(source) } else { None }
            }
        }
    )+};
}

kinds!(
    Event: Event,
    Reader: PipeReader,
    Writer: PipeWriter,
    Queue: CompletionQueue,
    Signals: Signals,
    Child: Pidfd
);

/// The source of this kind behind a handle.
///
/// # Errors
/// EINVAL for null, and for a source of another kind.
///
/// # Safety
/// It is null, or valid for as long as the reference is used.
#[inline]
pub(super) unsafe fn kind<'a, T: Kind>(handle: *const Source) -> Result<&'a T, Errno> {
    // SAFETY: passed on to the caller.
    T::of(unsafe { behind(handle) }?).ok_or(Errno::INVAL)
}

/// The handle as an `ow_source *`; null, with EINVAL, for null and for a source of another kind.
///
/// # Safety
/// It is null, or valid for the call.
pub(super) unsafe fn as_source<T: Kind>(handle: *mut Source) -> *mut Source {
    // SAFETY: passed on to the caller.
    match unsafe { kind::<T>(handle) } {
        Ok(_) => handle,
        Err(errno) => {
            crate::errno::set(errno);
            std::ptr::null_mut()
        }
    }
}
