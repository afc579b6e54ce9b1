//! The two classes of what is watched.

/// Which class something is watched in; in one of them at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Normal,
    /// Reported first.
    Urgent,
}
