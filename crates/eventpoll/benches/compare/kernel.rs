//! The kernel's eventfd and epoll, as thin as Rust can call them.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::{read, write};

pub(crate) use rustix::event::epoll::EventFlags;

pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Epoll {
    pub(crate) fn new() -> Self {
        Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), events: Vec::with_capacity(128) }
    }

    pub(crate) fn add(&self, event: &Eventfd, flags: EventFlags, token: u64) {
        epoll::add(&self.fd, &event.0, epoll::EventData::new_u64(token), flags).unwrap();
    }

    pub(crate) fn modify(&self, event: &Eventfd, flags: EventFlags, token: u64) {
        epoll::modify(&self.fd, &event.0, epoll::EventData::new_u64(token), flags).unwrap();
    }

    pub(crate) fn delete(&self, event: &Eventfd) {
        epoll::delete(&self.fd, &event.0).unwrap();
    }

    pub(crate) fn wait(&mut self) -> usize {
        self.events.clear();
        epoll::wait(&self.fd, spare_capacity(&mut self.events), Some(&NOW)).unwrap()
    }
}

pub(crate) struct Eventfd(OwnedFd);

impl Eventfd {
    pub(crate) fn new() -> Self {
        Self(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap())
    }

    pub(crate) fn write(&self) {
        write(&self.0, &1_u64.to_ne_bytes()).unwrap();
    }

    pub(crate) fn read(&self) {
        read(&self.0, &mut [0_u8; 8]).unwrap();
    }
}
