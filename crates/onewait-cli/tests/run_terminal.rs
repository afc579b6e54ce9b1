//! `onewait run` on a terminal: the keys, the jobs and the terminal itself are the program's.
//!
//! A shell with job control runs on a pseudo-terminal, and the test types.

mod common;

use common::{FORMS, skip};
use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    shell: Child,
}

impl Terminal {
    /// A terminal in which a shell waits for commands.
    fn new() -> Terminal {
        let size = Winsize { ws_row: 25, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let slave = File::from(pair.slave);
        let mut command = Command::new("bash");
        command.args(["--norc", "--noprofile", "--noediting", "-i"]).env("PS1", "").env("PS2", "");
        command.env("PATH", std::env::var_os("PATH").unwrap()).env_remove("PROMPT_COMMAND").env("HISTFILE", "");
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(Stdio::from(slave));
        let take_terminal = || {
            // SAFETY: neither call touches memory of ours.
            if unsafe { libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 } {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        };
        // SAFETY: the closure makes two system calls.
        unsafe { command.pre_exec(take_terminal) };
        let shell = command.spawn().unwrap();
        drop(command);
        let keyboard = File::from(pair.master);
        let mut output = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = output.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut terminal = Terminal { keyboard, screen, seen: String::new(), shell };
        // Without echo, what is seen is what programs say.
        terminal.type_in("stty -echo; echo shell-$((1+1))-ready\n");
        terminal.wait_for("shell-2-ready");
        terminal
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` is on the screen, and gives what came before it.
    #[track_caller]
    fn wait_for(&mut self, text: &str) -> String {
        let begin = Instant::now();
        loop {
            if let Some(place) = self.seen.find(text) {
                let rest = self.seen.split_off(place + text.len());
                let before = std::mem::replace(&mut self.seen, rest);
                return before[..place].to_string();
            }
            assert!(begin.elapsed() < Duration::from_secs(20), "{text:?} does not come; there is {:?}", self.seen);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.seen += &String::from_utf8_lossy(&bytes);
            }
        }
    }

    /// The status of the last command, as the shell tells it.
    #[track_caller]
    fn status(&mut self) -> String {
        self.type_in("echo \"<status $?>\"\n");
        self.wait_for("<status ");
        self.wait_for(">")
    }

    fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 25, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request reads a `winsize`, which `size` is.
        assert_eq!(unsafe { libc::ioctl(self.keyboard.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }, 0);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The command line for a script.
fn line(form: &[&str], script: &str) -> String {
    format!("{} {} bash -c '{script}'\n", env!("CARGO_BIN_EXE_onewait"), form.join(" "))
}

/// Not a shell: while a child of its own runs, that makes a guess at what a signal was meant for.
fn has_perl() -> bool {
    Command::new("perl").arg("-v").output().is_ok() || skip("there is no perl").unwrap_or_default()
}

#[test]
fn control_c_ends_the_program_and_the_shell_sees_it() {
    for form in FORMS {
        let mut terminal = Terminal::new();
        terminal.type_in(&line(form, "echo ready; sleep 100"));
        terminal.wait_for("ready");
        terminal.type_in("\x03");
        if form.contains(&"--stats") {
            terminal.wait_for("made no AIO call");
        }
        assert_eq!(terminal.status(), "130", "{form:?}");
    }
}

#[test]
fn a_program_that_handles_control_c_gets_it_once_and_lives() {
    if !has_perl() {
        return;
    }
    let script = r#"exec perl -e "\$| = 1; \$SIG{INT} = sub { \$n++ }; print qq(ready\n);
        select(undef, undef, undef, 0.02) until \$n; select(undef, undef, undef, 0.2); print qq(count=\$n.\n); exit 9""#;
    for form in FORMS {
        let mut terminal = Terminal::new();
        terminal.type_in(&line(form, script));
        terminal.wait_for("ready");
        terminal.type_in("\x03");
        terminal.wait_for("count=1.");
        assert_eq!(terminal.status(), "9", "{form:?}");
    }
}

#[test]
fn control_z_stops_the_job_and_fg_continues_it() {
    if !has_perl() {
        return;
    }
    for form in FORMS {
        let mut terminal = Terminal::new();
        let script = r#"exec perl -e "\$| = 1; \$SIG{CONT} = sub { \$n++; print qq(go-\$n-on\n) }; print qq(ready\n);
            select(undef, undef, undef, 0.02) until \$n >= 2; \$x = <STDIN>; print qq(got=\$x.\n); exit 9""#;
        terminal.type_in(&line(form, script));
        terminal.wait_for("ready");
        // Twice, since a signal left over from the first time would do harm the second.
        for time in 1..=2 {
            terminal.type_in("\x1a");
            terminal.wait_for("Stopped");
            assert_eq!(terminal.status(), "148", "{form:?}");
            terminal.type_in("fg\n");
            terminal.wait_for(&format!("go-{time}-on"));
        }
        terminal.type_in("word\n");
        terminal.wait_for("got=word\r\n.");
        assert_eq!(terminal.status(), "9", "{form:?}");
    }
}

#[test]
fn a_background_job_that_reads_stops_and_goes_on_in_the_foreground() {
    for form in FORMS {
        let mut terminal = Terminal::new();
        terminal.type_in(&line(form, "read -r x; echo \"got=$x.\"").replace('\n', " &\n"));
        terminal.type_in("wait %1\n");
        terminal.wait_for("Stopped");
        terminal.type_in("fg\n");
        terminal.wait_for("bash -c");
        thread::sleep(Duration::from_millis(100));
        terminal.type_in("word\n");
        terminal.wait_for("got=word.");
        assert_eq!(terminal.status(), "0", "{form:?}");
    }
}

#[test]
fn the_size_of_the_window_is_told_once() {
    let script = r#"n=0; trap "n=\$((n+1)); stty size" WINCH; echo ready; while [ $n = 0 ]; do sleep 0.05; done; sleep 0.2; echo "count=$n.""#;
    for form in FORMS {
        let mut terminal = Terminal::new();
        terminal.type_in(&line(form, script));
        terminal.wait_for("ready");
        terminal.resize(123);
        terminal.wait_for("25 123");
        terminal.wait_for("count=1.");
    }
}

#[test]
fn a_hang_up_ends_the_program() {
    for form in FORMS {
        let mut terminal = Terminal::new();
        terminal.type_in(&line(form, "echo \"pid=$$.\"; exec sleep 100"));
        terminal.wait_for("pid=");
        let pid = terminal.wait_for(".");
        drop(terminal);
        let begin = Instant::now();
        while std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n") {
            assert!(begin.elapsed() < Duration::from_secs(20), "the program lives on: {form:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
