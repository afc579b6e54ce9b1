//! The programs of docs/io-models.md: each serves its clients, who compare what comes back, and tells what it did.

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Every program, with the model that it says it is.
const MODELS: [(&str, &str); 9] = [
    ("echo_blocking", "blocking"),
    ("echo_nonblocking", "non-blocking"),
    ("echo_select", "select"),
    ("echo_poll", "poll"),
    ("echo_epoll_level", "epoll-level"),
    ("echo_epoll_edge", "epoll-edge"),
    ("echo_reactor", "reactor"),
    ("echo_signal_driven", "signal-driven"),
    ("echo_asynchronous", "asynchronous"),
];

fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| common::examples::build(MODELS.iter().map(|(program, _)| *program)))
}

fn run(program: &str, arguments: &[&str]) -> Output {
    // A program ends by itself if it is not done after two minutes.
    let output = Command::new(programs().join(program)).args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// The program serves `connections`, of which `active` send `rounds` messages of `size` bytes. Gives what it printed.
fn serves(program: &str, [connections, rounds, size, active]: [u64; 4]) -> HashMap<String, String> {
    let arguments = [connections, rounds, size, active].map(|number| number.to_string());
    let output = run(program, &arguments.each_ref().map(String::as_str));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{program}: {:?}: {stdout}{stderr}", output.status);
    assert_eq!(stdout.lines().count(), 1, "{program}: {stdout}");
    let fields: HashMap<_, _> = stdout
        .split_whitespace()
        .filter_map(|word| word.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let number = |name: &str| fields.get(name).and_then(|value| value.parse::<u64>().ok());
    assert_eq!(number("connections"), Some(connections), "{stdout}");
    assert_eq!(number("messages"), Some(active * rounds), "{stdout}");
    assert_eq!(number("bytes"), Some(size), "{stdout}");
    assert_eq!(number("active"), Some(active), "{stdout}");
    fields
}

fn all_serve(load: [u64; 4]) {
    for (program, model) in MODELS {
        assert_eq!(serves(program, load)["model"], model);
    }
}

#[test]
fn one_client_is_served() {
    all_serve([1, 200, 64, 1]);
}

#[test]
fn many_clients_are_served() {
    all_serve([100, 30, 64, 100]);
}

#[test]
fn a_few_among_silent_ones_are_served() {
    all_serve([300, 50, 64, 3]);
}

#[test]
fn messages_larger_than_the_buffers_of_sockets_come_back_whole() {
    all_serve([3, 2, 1 << 20, 3]);
}

#[test]
fn the_system_calls_of_a_message_are_at_least_two() {
    for (program, _) in MODELS.iter().filter(|(_, model)| *model != "asynchronous") {
        let calls: f64 = serves(program, [2, 50, 10, 2])["system_calls_per_message"].parse().expect("it is a number");
        // One that reads and one that writes; the blocking one makes no others.
        assert!(calls >= 2.0, "{program}: {calls}");
        assert!(*program != "echo_blocking" || calls < 2.1, "{program}: {calls}");
    }
}

#[test]
fn the_system_calls_of_sockets_by_completion_are_counted_without_io_uring() {
    let calls = |size: &str| {
        let mut program = Command::new(programs().join("echo_asynchronous"));
        let output = program.args(["1", "200", size]).env("ONEWAIT_DRIVER", "epoll").output().expect("it can be run");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let calls = said.split_whitespace().find_map(|word| word.strip_prefix("system_calls_per_message="));
        calls.unwrap_or_else(|| panic!("{:?}: {said}", output.status)).to_owned()
    };
    // One that waits, one that receives, and one that sends; counting begins and ends within a turn.
    let short: f64 = calls("64").parse().expect("it is a number");
    assert!((2.9..3.1).contains(&short), "{short}");
    assert_eq!(calls("65536"), "unknown");
}

#[test]
fn select_says_that_it_cannot_watch_so_many() {
    let output = run("echo_select", &["1100", "1", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("FD_SETSIZE"), "{said}");
}

#[test]
fn signal_driven_serves_when_no_signal_can_be_queued() {
    // Then there is SIGIO alone, which does not say what it is about.
    let output = Command::new("prlimit")
        .arg("--sigpending=0")
        .arg(programs().join("echo_signal_driven"))
        .args(["50", "30", "64"])
        .output()
        .expect("prlimit (util-linux) is there");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("messages=1500 "), "{:?}: {stdout}{stderr}", output.status);
}

#[test]
fn wrong_arguments_are_refused_with_how_they_should_be() {
    for arguments in [&["0"][..], &["many"], &["1", "1", "1", "2"], &["1", "1", "1", "1", "1"]] {
        let output = run("echo_poll", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("arguments: "), "{arguments:?}");
    }
}
