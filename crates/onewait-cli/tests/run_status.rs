//! `onewait run`: the program's end, its signals and what it inherits are its own.

mod common;

use common::{FORMS, Place, onewait, output, run, start, stderr, stdout};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn the_exit_status_is_the_programs() {
    for form in FORMS {
        for status in [0, 1, 77, 125, 126, 127, 128, 255] {
            let done = output(&mut run(form, &["sh", "-c", &format!("exit {status}")]));
            assert_eq!(done.status.code(), Some(status), "{}", stderr(&done));
        }
    }
}

#[test]
fn the_signal_that_ends_it_is_the_programs() {
    for form in FORMS {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM, libc::SIGRTMIN() + 3] {
            let done = output(&mut run(form, &["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")]));
            assert_eq!(done.status.signal(), Some(signal), "{form:?}: {}", stderr(&done));
        }
    }
}

#[test]
fn without_statistics_the_program_takes_onewaits_place() {
    let child = run(FORMS[0], &["sh", "-c", "echo $$"]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    assert_eq!(stdout(&child.wait_with_output().unwrap()).trim(), pid.to_string());
}

#[test]
fn signals_for_onewait_reach_the_program() {
    for form in FORMS {
        for signal in ["HUP", "INT", "QUIT", "USR1", "USR2", "TERM", "WINCH", "ALRM", "CONT", "TSTP", "RTMIN"] {
            // No command of its own: when SIGINT finds bash just waiting for one, bash can go on sending it to itself for ever.
            let script = format!("trap 'exit 9' {signal}; echo ready; while :; do :; done");
            let child = start(&mut run(form, &["bash", "-c", &script]));
            let status = Command::new("bash").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
            assert!(status.unwrap().success());
            let done = child.wait_with_output().unwrap();
            assert_eq!(done.status.code(), Some(9), "{form:?} SIG{signal}: {}", stderr(&done));
        }
    }
}

#[test]
fn a_program_that_signals_its_whole_group_gets_no_second_signal() {
    // The trap counts; a signal sent back by the supervisor would come on top.
    let script = "n=0; trap 'n=$((n+1))' TERM; kill -TERM 0; sleep 0.3; sh -c 'kill -TERM 0; sleep 0.3'; echo $n";
    for form in FORMS {
        let done = output(run(form, &["bash", "-c", script]).process_group(0));
        assert_eq!(stdout(&done), "2\n", "{form:?}: {}", stderr(&done));
    }
}

#[test]
fn a_program_that_stops_stops_onewait_and_goes_on_with_it() {
    for form in FORMS {
        let script = "echo ready; kill -STOP $$; exit 9";
        let child = start(&mut run(form, &["sh", "-c", script]));
        let pid = child.id().cast_signed();
        wait_for(|| state(pid) == Some('T'), "onewait does not stop");
        // SAFETY: no memory is involved.
        unsafe { libc::kill(pid, libc::SIGCONT) };
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(9), "{form:?}: {}", stderr(&done));
    }
}

#[test]
fn a_killed_supervisor_leaves_the_program_alone() {
    let place = Place::new();
    let file = place.join("done");
    let script = format!("echo $$; sleep 0.3; echo survived > {file}");
    let mut child = start(&mut run(FORMS[1], &["sh", "-c", &script]));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(|| std::fs::read_to_string(&file).is_ok_and(|text| text == "survived\n"), "the program did not go on");
}

#[test]
fn signal_masks_and_dispositions_are_inherited() {
    let show = ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"];
    for is_ignored in [false, true] {
        let prepare = |command: &mut Command| {
            let set_up = move || {
                // SAFETY: the set is made by sigemptyset, and the dispositions run no code.
                unsafe {
                    let disposition = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
                    for signal in [libc::SIGPIPE, libc::SIGCHLD, libc::SIGHUP, libc::SIGINT, libc::SIGTSTP] {
                        libc::signal(signal, disposition);
                    }
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&raw mut set);
                    if is_ignored {
                        libc::sigaddset(&raw mut set, libc::SIGUSR1);
                        libc::sigaddset(&raw mut set, libc::SIGTERM);
                    }
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                }
                Ok(())
            };
            // SAFETY: the closure makes async-signal-safe calls only.
            unsafe { command.pre_exec(set_up) };
            stdout(&output(command))
        };
        let expected = prepare(Command::new(show[0]).args(&show[1..]));
        assert!(expected.contains("SigBlk"), "{expected}");
        for form in FORMS {
            assert_eq!(prepare(&mut run(form, &show)), expected, "{form:?}");
        }
    }
}

#[test]
fn descriptors_are_inherited_and_none_is_added() {
    for redirection in ["", "<&-", "2>&-", "<&- 2>&-", "7</dev/null"] {
        let list = |prefix: &str| {
            let done =
                output(Command::new("sh").args(["-c", &format!("exec {prefix} ls /proc/self/fd {redirection}")]));
            stdout(&done)
        };
        let expected = list("");
        assert!(expected.contains('1'));
        for form in ["run --", "run --stats --stats-file /dev/null --"] {
            let command = format!("{} {form}", env!("CARGO_BIN_EXE_onewait"));
            assert_eq!(list(&command), expected, "{form} {redirection}");
        }
    }
}

#[test]
fn what_is_preloaded_stays_preloaded() {
    let place = Place::new();
    let Some(other) = place.compile("cc", &["-shared", "-fPIC"], "int onewait_test_marker;") else { return };
    let library = stdout(&output(&mut onewait(&["library"]))).trim().to_string();
    for form in FORMS {
        let script = "echo $LD_PRELOAD; cat /proc/self/maps";
        let done = output(run(form, &["sh", "-c", script]).env("LD_PRELOAD", &other));
        let text = stdout(&done);
        assert_eq!(text.lines().next(), Some(format!("{library}:{other}").as_str()), "{}", stderr(&done));
        assert!(text.lines().skip(1).any(|line| line.ends_with(&other)), "{other} is not there");
        assert!(text.lines().skip(1).any(|line| line.ends_with(&library)), "{library} is not there");
    }
}

#[test]
fn the_driver_is_handed_on() {
    for form in [&["run", "--driver", "epoll", "--"][..], &["run", "--stats", "--driver=epoll"]] {
        assert_eq!(stdout(&output(&mut run(form, &["sh", "-c", "echo $ONEWAIT_DRIVER"]))), "epoll\n");
    }
    let done = output(run(FORMS[0], &["sh", "-c", "echo $ONEWAIT_DRIVER"]).env("ONEWAIT_DRIVER", "uring"));
    assert_eq!(stdout(&done), "uring\n");
}

/// The letter for the state of process `pid` in /proc.
fn state(pid: i32) -> Option<char> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    line.rsplit_once(") ")?.1.chars().next()
}

#[track_caller]
fn wait_for(mut condition: impl FnMut() -> bool, otherwise: &str) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{otherwise}");
        sleep(Duration::from_millis(5));
    }
}
