#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[doc = include_str!("bring_your_own_source.md")]
pub mod bring_your_own_source {}

mod bell;
mod control;
mod error;
mod intake;
mod interest;
mod interests;
mod item;
mod later;
mod nesting;
mod park;
mod poll;
mod poll_core;
mod ready_list;
mod scan;
mod slots;
mod source;
pub mod sources;
mod sync;
mod wait;
mod waiters;
mod waker;
mod watch;

pub use bell::{Armed, Bell, Ring};
pub use error::{Error, Result};
pub use interest::{Events, Interest, Ready};
#[cfg(all(feature = "std", not(loom)))]
pub use park::Futex;
pub use park::{Parked, Parking};
pub use poll::EventPoll;
pub use source::{AsSource, Notifier, Source, SourceId, SourceRef, Watched};
pub use waker::Waker;
pub use watch::Watch;
