//! `onewait run --epoll`: what is served, what is counted, and what is refused.

mod common;

use common::{Place, onewait, output, stderr};
use serde_json::Value;

/// An epoll, 4 changes, 8 waits of which 3 have no time; then, if it is asked for, 200 waits for a timer of 100 microseconds
/// each, which needs no processor. Or all of that in a child without an environment.
const PROGRAM: &str = r#"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    const char *wish = count > 1 ? arguments[1] : "";
    if (strcmp(wish, "child") == 0) {
        int status;
        clearenv();
        if (fork() != 0)
            return wait(&status) < 0 || status != 0;
    }
    int epoll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event event = { .events = EPOLLIN };
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) || epoll_ctl(epoll, EPOLL_CTL_MOD, timer, &event))
        return 1;
    for (int i = 0; i < 3; i++)
        if (epoll_wait(epoll, &event, 1, 0) != 0)
            return 2;
    for (int i = 0; i < 5; i++)
        if (epoll_wait(epoll, &event, 1, 2) != 0)
            return 3;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) == 0 || epoll_ctl(epoll, 99, timer, &event) == 0)
        return 4;
    for (int i = 0; strcmp(wish, "timer") == 0 && i < 200; i++) {
        struct itimerspec time = { .it_value.tv_nsec = 100000 };
        unsigned long long sum;
        if (timerfd_settime(timer, 0, &time, NULL))
            return 5;
        if (epoll_wait(epoll, &event, 1, -1) != 1 || read(timer, &sum, sizeof sum) != sizeof sum)
            return 6;
    }
    return 0;
}
"#;

/// What the statistics say of epoll after such a run: made, changes, waits awake, waits asleep.
#[track_caller]
fn counted(options: &[&str], program: &[&str]) -> [u64; 4] {
    let done = output(onewait(&["run", "--stats=json"]).args(options).arg("--").args(program));
    let report: Value = serde_json::from_str(&stderr(&done)).unwrap_or_else(|_| panic!("{}", stderr(&done)));
    assert_eq!(report["exit_status"], 0, "{report:#}");
    ["made", "changes", "waits_awake", "waits_asleep"].map(|key| report["epoll"][key].as_u64().unwrap())
}

#[test]
fn calls_are_counted_where_epoll_is_served() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &[], PROGRAM) else { return };
    assert_eq!(counted(&["--epoll"], &[&program]), [1, 4, 3, 5]);
    assert_eq!(counted(&["--epoll", "--spin", "0"], &[&program]), [1, 4, 3, 5]);
    // Looked for in vain.
    assert_eq!(counted(&["--epoll", "--spin", "20us"], &[&program]), [1, 4, 3, 5]);
    assert_eq!(counted(&[], &[&program]), [0; 4]);
    assert_eq!(counted(&["--only", "posix"], &[&program]), [0; 4]);
}

#[test]
fn a_wait_that_looks_need_not_sleep() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &[], PROGRAM) else { return };
    assert_eq!(counted(&["--epoll"], &[&program, "timer"]), [1, 4, 3, 205]);
    let [made, changes, awake, asleep] = counted(&["--epoll", "--spin", "1ms"], &[&program, "timer"]);
    assert_eq!((made, changes, awake + asleep), (1, 4, 208));
    // Where timers come late, the look is over before.
    assert!(awake > 100, "{awake} waits did not sleep");
}

#[test]
fn children_are_served_too() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &[], PROGRAM) else { return };
    let script = format!("{program} && {program} && env -i {program} && {program}");
    // The one without an environment has no library, either.
    assert_eq!(counted(&["--epoll"], &["sh", "-c", &script]), [3, 12, 9, 15]);
    assert_eq!(counted(&["--epoll"], &[&program, "child"]), [1, 4, 3, 5]);
}

#[test]
fn the_report_for_people_tells_of_epoll() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &[], PROGRAM) else { return };
    let told = stderr(&output(&mut onewait(&["run", "--epoll", "--stats", "--", &program])));
    let line = "epolls made 1, changes 4, waits that did not sleep 3, waits left to the kernel 5";
    assert!(told.contains(line), "{told}");
    assert!(!told.contains("AIO"), "{told}");
}

#[test]
fn wrong_times_are_refused() {
    for time in ["2ms", "50", "1s", "-1us", "soon"] {
        let done = output(&mut onewait(&["run", "--epoll", &format!("--spin={time}"), "--", "true"]));
        assert_eq!(done.status.code(), Some(125), "{time}: {}", stderr(&done));
        assert!(stderr(&done).contains("at most 1ms"), "{}", stderr(&done));
    }
    let done = output(&mut onewait(&["run", "--spin", "50us", "--", "true"]));
    assert_eq!(done.status.code(), Some(125));
    assert!(stderr(&done).contains("--epoll"), "{}", stderr(&done));
}

#[test]
fn a_library_that_is_told_nonsense_says_so_and_serves_nothing() {
    let told = |variable: &str, value: &str| {
        let mut command = onewait(&["run", "--epoll", "--", "/bin/sh", "-c", "exit 7"]);
        let mut by_hand = onewait(&["run", "--", "/bin/sh", "-c", "exit 7"]);
        let command = if variable == "ONEWAIT_EPOLL" { &mut by_hand } else { &mut command };
        let done = output(command.env(variable, value));
        assert_eq!(done.status.code(), Some(7));
        stderr(&done)
    };
    assert!(told("ONEWAIT_EPOLL", "maybe").contains("say on or off"));
    assert!(told("ONEWAIT_SPIN", "3s").contains("at most 1ms"));
    assert_eq!(told("ONEWAIT_EPOLL", "off"), "");
    assert_eq!(told("ONEWAIT_EPOLL", ""), "");
    assert_eq!(told("ONEWAIT_SPIN", ""), "");
}
