//! nginx: a master and workers, each with an epoll of its own, which are replaced when it is told to read its files again.

use crate::common::watched::Disk;
use crate::server::{Connection, Server, is_installed, is_root};
use crate::{MODES, assert_served};
use std::fs;
use std::time::{Duration, Instant};

/// What is written, and what the server says of itself: `version` tells one configuration from another.
fn configure(place: &Disk, port: u16, version: &str) {
    let path = place.0.display();
    let user = if is_root() { "user root;" } else { "" };
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("{name}_temp_path {path}/tmp;")).concat();
    let text = format!(
        "daemon off; master_process on; worker_processes 2; {user}
         pid {path}/pid; error_log {path}/log notice;
         events {{ worker_connections 512; }}
         http {{
             access_log off; sendfile on; keepalive_requests 10000; {temporary}
             server {{ listen 127.0.0.1:{port}; root {path}/html; add_header X-Version {version}; }}
         }}"
    );
    fs::create_dir_all(place.0.join("html")).unwrap();
    fs::write(place.0.join("html/small"), "a small file\n").unwrap();
    fs::write(place.0.join("html/large"), large()).unwrap();
    fs::write(place.0.join("nginx.conf"), text).unwrap();
}

fn large() -> String {
    (0..200_000).map(|line| format!("{line:06}\n")).collect()
}

fn arguments(place: &Disk, port: u16) -> Vec<String> {
    configure(place, port, "first");
    let path = place.0.display();
    ["nginx", "-p", &path.to_string(), "-c", &format!("{path}/nginx.conf"), "-e", &format!("{path}/log")]
        .map(String::from)
        .into()
}

const ASK: &str = "GET /small HTTP/1.1\r\nHost: test\r\n\r\n";

/// Reads an answer: its header, and its body.
fn answer(client: &mut Connection) -> (String, Vec<u8>) {
    let header = client.until(b"\r\n\r\n");
    assert!(header.starts_with("HTTP/1.1 200 OK\r\n"), "{header}");
    let length = header.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    (header.clone(), client.bytes(length.parse().unwrap()))
}

/// The version of the configuration that answers.
fn ask(client: &mut Connection) -> String {
    client.send(ASK);
    told(client)
}

fn told(client: &mut Connection) -> String {
    let (header, body) = answer(client);
    assert_eq!(body, b"a small file\n");
    header.split("X-Version: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default().into()
}

#[test]
fn nginx_answers_its_clients_reloads_and_quits() {
    if !is_installed("nginx") {
        return;
    }
    for mode in MODES {
        let mut server = Server::start(mode, arguments);
        let mut client = server.connect();
        for _ in 0..300 {
            assert_eq!(ask(&mut client), "first");
        }
        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
        assert!(answer(&mut client).1 == large().as_bytes(), "the large file is not what it was");
        client.send(ASK.repeat(100));
        for _ in 0..100 {
            assert_eq!(told(&mut client), "first");
        }
        let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send(ASK));
        for client in &mut clients {
            assert_eq!(told(client), "first");
        }
        reload(&mut server);
        let mut client = server.connect();
        client.send(&ASK[..20]);
        // It has begun: the worker has read it.
        let before = Instant::now();
        while before.elapsed() < Duration::from_millis(50) {
            assert_eq!(ask(&mut server.connect()), "second");
        }
        server.signal(libc::SIGQUIT);
        let port = server.port;
        server.wait_until("no more connections are taken", |_| {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        client.send(&ASK[20..]);
        assert_eq!(told(&mut client), "second");
        client.expect_end();
        // Two workers before and two after, of which each has an epoll at least.
        assert_served(&server.ended(), mode, 4, 100, 300);
    }
}

/// A request that has begun is answered by who began it; new ones by the new workers.
fn reload(server: &mut Server) {
    let mut old = server.connect();
    assert_eq!(ask(&mut old), "first");
    old.send(&ASK[..20]);
    let before = Instant::now();
    while before.elapsed() < Duration::from_millis(50) {
        assert_eq!(ask(&mut server.connect()), "first");
    }
    configure(&server.place, server.port, "second");
    server.signal(libc::SIGHUP);
    server.wait_until("the new configuration", |server| ask(&mut server.connect()) == "second");
    old.send(&ASK[20..]);
    assert_eq!(told(&mut old), "first");
    old.expect_end();
}
