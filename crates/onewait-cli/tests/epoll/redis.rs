//! redis: one thread with an epoll, children that write snapshots, and daemons.

use crate::common::onewait;
use crate::common::watched::Disk;
use crate::server::{Connection, PATIENCE, Server, free_port, is_installed};
use crate::{MODES, assert_served};
use onewait::counters::{Event, STATS_VARIABLE, SharedCounters};
use std::fs;
use std::net::TcpStream;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A command as redis reads it.
fn command(words: &[&str]) -> String {
    let begin = format!("*{}\r\n", words.len());
    words.iter().fold(begin, |command, word| format!("{command}${}\r\n{word}\r\n", word.len()))
}

fn arguments(place: &Disk, port: u16) -> Vec<String> {
    let (port, place) = (port.to_string(), place.0.display().to_string());
    let words =
        ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--dir", &place, "--save", "", "--appendonly", "no"];
    words.map(String::from).into()
}

#[test]
fn redis_answers_its_clients() {
    if !is_installed("redis-server") {
        return;
    }
    for mode in MODES {
        let server = Server::start(mode, arguments);
        let mut client = server.connect();
        for i in 0..300 {
            client.send(command(&["SET", &format!("key{i}"), &format!("value {i}")]));
            client.expect("+OK\r\n");
            client.send(command(&["GET", &format!("key{i}")]));
            let value = format!("value {i}");
            client.expect(format!("${}\r\n{value}\r\n", value.len()));
        }
        many_at_once(&mut client);
        a_large_value(&mut client);
        published(&server);
        blocked(&server);
        let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(command(&["INCR", "clients"])));
        let mut counted: Vec<_> = clients.iter_mut().map(|client| client.until(b"\r\n")).collect();
        counted.sort_by_key(|line| line[1..line.len() - 2].parse::<u32>().unwrap());
        assert!(counted.iter().zip(1..).all(|(line, count)| *line == format!(":{count}\r\n")), "{counted:?}");
        drop(clients);
        snapshot(&server, &mut client);
        client.send(command(&["SHUTDOWN", "NOSAVE"]));
        client.expect_end();
        // One change a connection at least; one wait an answer, where a client waits for each.
        assert_served(&server.ended(), mode, 1, 200, 600);
    }
}

fn many_at_once(client: &mut Connection) {
    client.send(command(&["INCR", "counter"]).repeat(2000));
    for i in 1..=2000 {
        client.expect(format!(":{i}\r\n"));
    }
}

fn a_large_value(client: &mut Connection) {
    let value = "0123456789abcdef".repeat(1 << 16);
    client.send(command(&["SET", "large", &value]));
    client.expect("+OK\r\n");
    client.send(command(&["GET", "large"]));
    client.expect(format!("${}\r\n{value}\r\n", value.len()));
}

fn published(server: &Server) {
    let mut readers: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send(command(&["SUBSCRIBE", "news"]));
        reader.expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    }
    let mut writer = server.connect();
    for i in 0..20 {
        writer.send(command(&["PUBLISH", "news", &format!("{i:04}")]));
        writer.expect(":5\r\n");
    }
    for reader in &mut readers {
        for i in 0..20 {
            reader.expect(format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\n{i:04}\r\n"));
        }
    }
}

fn blocked(server: &Server) {
    let (mut taker, mut giver) = (server.connect(), server.connect());
    for i in 0..20 {
        taker.send(command(&["BLPOP", "list", "0"]));
        sleep(Duration::from_millis(i % 4));
        giver.send(command(&["LPUSH", "list", "item"]));
        giver.expect(":1\r\n");
        taker.expect("*2\r\n$4\r\nlist\r\n$4\r\nitem\r\n");
    }
    // And a time that is over.
    taker.send(command(&["BLPOP", "list", "0.05"]));
    taker.expect("*-1\r\n");
}

/// A child writes it, while the server goes on.
fn snapshot(server: &Server, client: &mut Connection) {
    client.send(command(&["BGSAVE"]));
    client.expect("+Background saving started\r\n");
    let end = Instant::now() + PATIENCE;
    loop {
        client.send(command(&["INFO", "persistence"]));
        let length = client.until(b"\r\n")[1..].trim().parse::<usize>().unwrap();
        let told = String::from_utf8(client.bytes(length + 2)).unwrap();
        if told.contains("rdb_bgsave_in_progress:0") {
            assert!(told.contains("rdb_last_bgsave_status:ok"), "{told}");
            break;
        }
        assert!(Instant::now() < end, "{told}");
        sleep(Duration::from_millis(5));
    }
    assert!(fs::read(server.place.0.join("dump.rdb")).unwrap().starts_with(b"REDIS"));
}

#[test]
fn redis_as_a_daemon_goes_on_after_its_parent() {
    if !is_installed("redis-server") {
        return;
    }
    for mode in MODES {
        let (place, port) = (Disk::new(), free_port());
        // With --stats the report would come when the parent ends.
        let counted = SharedCounters::create().unwrap();
        let done = onewait(&["run"])
            .args(mode)
            .arg("--")
            .args(arguments(&place, port))
            .args(["--daemonize", "yes", "--logfile", "log"])
            .args(["--pidfile", place.0.join("pid").to_str().unwrap()])
            .current_dir(&place.0)
            .env(STATS_VARIABLE, counted.path())
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "{}", fs::read_to_string(place.0.join("log")).unwrap_or_default());
            sleep(Duration::from_millis(10));
        }
        // It listens before it writes this.
        let pid = loop {
            match fs::read_to_string(place.0.join("pid")) {
                Ok(pid) if pid.ends_with('\n') => break pid,
                _ => assert!(Instant::now() < end, "there is no pid file"),
            }
            sleep(Duration::from_millis(10));
        };
        let mut client = Connection::new(port);
        for _ in 0..100 {
            client.send(command(&["PING"]));
            client.expect("+PONG\r\n");
        }
        client.send(command(&["SHUTDOWN", "NOSAVE"]));
        client.expect_end();
        while fs::exists(format!("/proc/{}", pid.trim())).unwrap() {
            assert!(Instant::now() < end, "the daemon does not end");
            sleep(Duration::from_millis(10));
        }
        let events = counted.counters().snapshot().events;
        let count =
            |wanted: Event| events.iter().filter(|(event, _)| *event == wanted).map(|(_, count)| count).sum::<u64>();
        assert!(count(Event::Epoll) >= 1, "{events:?}");
        assert!(count(Event::EpollAwake) + count(Event::EpollAsleep) >= 100, "{events:?}");
    }
}
