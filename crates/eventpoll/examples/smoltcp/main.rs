//! A TCP server and its client in one process, on a network stack in user space, with no system call but to sleep.
//!
//!     cargo run -p eventpoll --example smoltcp
//!
//! One wait is for everything: the two sockets, the stack's timer, and a channel by which another thread says what to
//! send. The server sends back what it gets; the client prints it.

mod stack;

use std::error::Error;
use std::time::Duration;

use eventpoll::sources::{Clock, TryRecvError, unbounded};
use eventpoll::{EventPoll, Events, Interest, Ready};

use crate::stack::Stack;

const SERVER: u64 = 1;
const CLIENT: u64 = 2;
const TYPED: u64 = 3;
const STACK: u64 = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let clock = Clock::system()?;
    let mut stack = Stack::new(&clock);
    let server = stack.listen(7)?;
    let client = stack.connect(7)?;

    let (typist, typed) = unbounded();
    std::thread::spawn(move || {
        for line in ["one wait", "for sockets of a stack in user space,", "for a channel, and for a timer"] {
            std::thread::sleep(Duration::from_millis(20));
            if typist.try_send(format!("{line}\n")).is_err() {
                return;
            }
        }
    });

    let poll = EventPoll::new();
    poll.add(&stack.source(server), Interest::IN | Interest::EDGE, SERVER)?;
    poll.add(&stack.source(client), Interest::IN | Interest::OUT | Interest::EDGE, CLIENT)?;
    poll.add(&stack.timer, Interest::IN | Interest::EDGE, STACK)?;
    poll.add(&typed, Interest::IN, TYPED)?;

    // What the client has not sent yet, since it is not connected or there is no room; and how much is not back yet.
    let (mut to_send, mut on_its_way) = (Vec::new(), 0);
    let mut typing = true;
    let mut out = [Ready::default(); 8];
    while typing || !to_send.is_empty() || on_its_way > 0 {
        let count = poll.wait(&mut out, Some(Duration::from_secs(10)))?;
        if count == 0 {
            return Err("nothing happened for 10 s".into());
        }
        for ready in &out[..count] {
            match ready.token {
                TYPED => match typed.try_recv() {
                    Ok(line) => to_send.extend(line.into_bytes()),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => {
                        typing = false;
                        poll.delete(&typed)?;
                    }
                },
                SERVER if ready.events.contains(Events::IN) => {
                    // There is room to send all of it: no more than this is ever on its way.
                    let bytes = stack.receive(server);
                    stack.send(server, &bytes);
                }
                CLIENT if ready.events.contains(Events::IN) => {
                    let bytes = stack.receive(client);
                    on_its_way -= bytes.len();
                    print!("{}", String::from_utf8_lossy(&bytes));
                }
                // The client has room, or the stack's timer expired.
                _ => stack.run(),
            }
        }
        let sent = stack.send(client, &to_send);
        to_send.drain(..sent);
        on_its_way += sent;
    }
    stack.close(client);

    for watch in poll.watches()? {
        println!("{watch:?}");
    }
    Ok(())
}
