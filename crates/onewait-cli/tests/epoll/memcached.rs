//! memcached: a thread that accepts, and four that serve, each with an epoll of its own (by libevent).

use crate::common::watched::Disk;
use crate::server::{Connection, Server, is_installed, is_root};
use crate::{MODES, assert_served};
use std::thread;

fn arguments(_: &Disk, port: u16) -> Vec<String> {
    let port = port.to_string();
    let mut words = vec!["memcached", "-t", "4", "-l", "127.0.0.1", "-p", &port, "-U", "0", "-m", "64", "-c", "1024"];
    if is_root() {
        words.extend(["-u", "root"]);
    }
    words.into_iter().map(String::from).collect()
}

fn set(client: &mut Connection, key: &str, value: &str) {
    client.send(format!("set {key} 5 0 {}\r\n{value}\r\n", value.len()));
    client.expect("STORED\r\n");
}

fn get(client: &mut Connection, key: &str, value: &str) {
    client.send(format!("get {key}\r\n"));
    client.expect(format!("VALUE {key} 5 {}\r\n{value}\r\nEND\r\n", value.len()));
}

#[test]
fn memcached_answers_its_clients() {
    if !is_installed("memcached") {
        return;
    }
    for mode in MODES {
        let server = Server::start(mode, arguments);
        let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
        for (i, client) in clients.iter_mut().enumerate() {
            set(client, &format!("key{i}"), &format!("value {i}"));
        }
        // Everybody reads what the next one wrote.
        for (i, client) in clients.iter_mut().enumerate() {
            let next = (i + 1) % 200;
            get(client, &format!("key{next}"), &format!("value {next}"));
        }
        // Several at the same time.
        let in_threads: Vec<_> = clients.into_iter().enumerate().collect();
        let mut in_threads = in_threads.into_iter();
        thread::scope(|scope| {
            for _ in 0..4 {
                let some: Vec<_> = in_threads.by_ref().take(50).collect();
                scope.spawn(move || {
                    for (i, mut client) in some {
                        for round in 0..10 {
                            set(&mut client, &format!("key{i}"), &format!("round {round}"));
                            get(&mut client, &format!("key{i}"), &format!("round {round}"));
                        }
                    }
                });
            }
        });
        let mut client = server.connect();
        let large = "0123456789abcdef".repeat(30_000);
        set(&mut client, "large", &large);
        get(&mut client, "large", &large);
        client.send("incr none 1\r\n".repeat(1000));
        client.expect("NOT_FOUND\r\n".repeat(1000));
        client.send("stats\r\n");
        let told = client.until(b"END\r\n");
        assert!(told.contains("STAT threads 4\r\n"), "{told}");
        client.send("quit\r\n");
        client.expect_end();
        server.signal(libc::SIGTERM);
        // libevent makes one for each thread; a connection is a change; an answer is a wait, as long as clients take turns.
        assert_served(&server.ended(), mode, 5, 201, 400);
    }
}
