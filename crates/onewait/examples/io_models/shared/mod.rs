//! What the programs share: everything that is not the model.
//!
//! A program is one process that serves, on one processor, and a child of it that plays all clients (`client.rs`), on
//! another one if there is another. `meter.rs` counts what the server does, `connection.rs` is one connection of the servers
//! that are told when a socket is ready.

#![allow(dead_code, unused_imports, reason = "not every program uses all of it")]

mod client;
mod connection;
mod meter;

pub(crate) use connection::{Connection, Connections, Next, accept};
pub(crate) use meter::Meter;

use client::Load;
use rustix::net::sockopt::set_tcp_nodelay;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

/// Bytes that a server reads at a time.
pub(crate) const BUFFER: usize = 16 * 1024;
/// How many connections the kernel takes before the server accepts them.
const BACKLOG: i32 = 4096;
/// Far longer than anything takes here: what runs longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

const USAGE: &str = "arguments: [CONNECTIONS [ROUNDS [BYTES [ACTIVE]]]], each from 1 to 1048576\n\
    The defaults are 64 connections, 100 messages of each, 64 bytes in a message, and that all connections send some.\n\
    What the program does is written at the beginning of its source.";

/// A whole program: `serve` echoes, on one of the models, until all clients have hung up.
pub(crate) fn main(model: &str, serve: fn(TcpListener, &'static Meter) -> io::Result<()>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, rest)) if first == "client" => client::main(rest),
        _ => match Load::parse(&arguments) {
            Some(load) => run(model, load, serve),
            None => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{model}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(model: &str, load: Load, serve: fn(TcpListener, &'static Meter) -> io::Result<()>) -> io::Result<()> {
    let name = model.to_owned();
    thread::spawn(move || {
        thread::sleep(LIMIT);
        eprintln!("{name}: not done after {} s", LIMIT.as_secs());
        // The clients find their connections closed, and end as well.
        std::process::exit(1);
    });

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&listener, BACKLOG)?;
    // Accepted sockets inherit it. The rest of a long echo must not wait until the client has acknowledged the beginning.
    set_tcp_nodelay(&listener, true)?;

    // A child inherits the processor. It has to be a process of its own, because the CPU time of this one is the result.
    let (first, last) = processors()?;
    pin(last)?;
    let mut client = Command::new(std::env::current_exe()?)
        .arg("client")
        .args(load.arguments(listener.local_addr()?.port()))
        .stdin(Stdio::piped())
        .spawn()?;
    pin(first)?;

    // It lives until the process ends, so that threads need not count who refers to it.
    let meter: &'static Meter = Box::leak(Box::new(Meter::new(load, client.stdin.take())));
    serve(listener, meter)?;
    if !client.wait()?.success() {
        return Err(io::Error::other("the clients did not get what they had sent"));
    }
    println!("{}", meter.report(model)?);
    Ok(())
}

/// The first and the last processor that this process may use.
fn processors() -> io::Result<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut numbers = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
    let first = numbers.next().unwrap_or(0);
    Ok((first, numbers.next_back().unwrap_or(first)))
}

/// Keeps this thread, and the threads and processes that it starts, on one processor.
fn pin(processor: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor);
    Ok(sched_setaffinity(None, &only)?)
}
