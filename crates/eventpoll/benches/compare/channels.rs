//! A channel in an event poll, beside a channel without one.

use std::time::Duration;

use eventpoll::sources::unbounded;
use eventpoll::{EventPoll, Interest, Ready};

use crate::report::{Report, Required};

const BATCH: usize = 64;

pub(crate) fn rows(report: &mut Report) {
    race(report, "channel: send + wait + receive", Required::AtMost(3.0), 1);
    race(report, "channel: send + wait + receive, batches of 64", Required::AtMost(1.5), BATCH);
}

fn race(report: &mut Report, name: &str, required: Required, batch: usize) {
    if !report.wants(name) {
        return;
    }
    let poll = EventPoll::new();
    let (sender, receiver) = unbounded();
    poll.add(&receiver, Interest::IN | Interest::EDGE, 1).unwrap();
    let mut out = [Ready::default(); 8];
    let (peer_sender, peer_receiver) = crossbeam_channel::unbounded();
    report.race(
        name,
        required,
        "crossbeam",
        |values| {
            for first in (0..values).step_by(batch) {
                for value in first..first + batch {
                    sender.try_send(value).unwrap();
                }
                assert_eq!(poll.wait(&mut out, Some(Duration::ZERO)), Ok(1));
                for value in first..first + batch {
                    assert_eq!(receiver.try_recv(), Ok(value));
                }
            }
        },
        |values| {
            for first in (0..values).step_by(batch) {
                for value in first..first + batch {
                    peer_sender.send(value).unwrap();
                }
                for value in first..first + batch {
                    assert_eq!(peer_receiver.try_recv(), Ok(value));
                }
            }
        },
    );
}
