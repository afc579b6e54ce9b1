//! Sockets with a handler.

use crate::{client, read};
use onewait::reactor::{Dispatcher, Interest, Next};
use onewait::sockets::SocketOutcome;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

#[derive(Default)]
struct Seen {
    connections: usize,
    bytes: usize,
    closed: usize,
}

#[test]
fn a_handler_is_called_for_each_completion() {
    let mut dispatcher = Dispatcher::<Seen>::new().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = dispatcher.sockets().unwrap().attach(listener).unwrap();
    dispatcher.sockets().unwrap().accept(listener, 0).unwrap();
    dispatcher.on_completion(move |dispatcher, seen, done| {
        match done.outcome {
            SocketOutcome::Accepted(socket) => {
                dispatcher.sockets()?.receive(socket?, 0)?;
                seen.connections += 1;
            }
            SocketOutcome::Received(bytes) => {
                let bytes = bytes?;
                seen.bytes += bytes.len();
                if bytes.is_empty() {
                    seen.closed += 1;
                    dispatcher.sockets()?.close(done.socket)?;
                    if seen.closed == 3 {
                        dispatcher.sockets()?.close(listener)?;
                    }
                } else {
                    dispatcher.sockets()?.send(done.socket, bytes, 0)?;
                }
            }
            SocketOutcome::Sent(result, _) => result?,
            SocketOutcome::Connected(result) => result?,
        }
        Ok(())
    });
    // Other sources have theirs meanwhile.
    let (reader, mut writer) = io::pipe().unwrap();
    dispatcher.watch(reader, Interest::IN, |_, _, _, _| Ok(Next::Remove)).unwrap();
    writer.write_all(b"x").unwrap();
    let clients = thread::spawn(move || {
        for _ in 0..3 {
            let mut client = client(port);
            client.write_all(b"hello").unwrap();
            assert_eq!(read(&client, 5), b"hello");
        }
    });
    let mut seen = Seen::default();
    // It ends because the last socket is gone; the listener's last completion is an error of the handler's.
    let ended = loop {
        match dispatcher.run(&mut seen) {
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => {}
            result => break result,
        }
    };
    ended.unwrap();
    clients.join().unwrap();
    assert_eq!((seen.connections, seen.bytes, seen.closed), (3, 15, 3));
}

#[test]
fn an_error_of_the_handler_ends_the_run_and_the_next_goes_on() {
    let mut dispatcher = Dispatcher::<u32>::new().unwrap();
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = dispatcher.sockets().unwrap().attach(ours).unwrap();
    dispatcher.sockets().unwrap().receive(socket, 0).unwrap();
    dispatcher.on_completion(|dispatcher, calls, _| {
        *calls += 1;
        if *calls == 2 {
            dispatcher.stop();
            return Ok(());
        }
        Err(io::Error::other("the first fails"))
    });
    theirs.write_all(b"x").unwrap();
    let mut calls = 0;
    assert_eq!(dispatcher.run(&mut calls).unwrap_err().to_string(), "the first fails");
    theirs.write_all(b"x").unwrap();
    dispatcher.run(&mut calls).unwrap();
    assert_eq!(calls, 2);
}

#[test]
fn a_turn_after_stop_calls_for_what_stop_has_left() {
    let mut dispatcher = Dispatcher::<u32>::new().unwrap();
    let mut pairs: Vec<_> = (0..3).map(|_| std::os::unix::net::UnixStream::pair().unwrap()).collect();
    for (_, theirs) in &mut pairs {
        theirs.write_all(b"x").unwrap();
    }
    let mut kept = Vec::new();
    for (ours, theirs) in pairs {
        kept.push(theirs);
        let socket = dispatcher.sockets().unwrap().attach(ours).unwrap();
        dispatcher.sockets().unwrap().receive(socket, 0).unwrap();
    }
    dispatcher.on_completion(|dispatcher, calls, _| {
        *calls += 1;
        dispatcher.stop();
        Ok(())
    });
    let mut calls = 0;
    dispatcher.run(&mut calls).unwrap();
    assert_eq!(calls, 1);
    for expected in [2, 3] {
        while calls < expected {
            assert_eq!(dispatcher.turn(&mut calls, crate::PATIENCE).unwrap(), 1);
        }
        assert_eq!(calls, expected);
    }
}
