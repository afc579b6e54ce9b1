//! Which levels other sources have.

use super::sockets::level;
use crate::bits::{ERR, ET, HUP, IN, OUT, RDNORM, WRNORM};
use crate::common::Scratch;
use crate::fds::{counter, directory_watch, drain, pipe, raise, read, set_timer, signals, take, timer, tty, write};
use crate::process::{hold_back, set};
use crate::tasks;
use crate::world::{World, both, event};
use libc::EAGAIN;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

both!(
    rule_71_levels_of_a_pipes_reader,
    rule_71_levels_of_a_pipes_writer,
    rule_71_a_fifo_that_nobody_writes,
    rule_72_a_pipe_has_slots_not_bytes,
    rule_75_a_counter_at_its_maximum,
    rule_76_setting_a_timer_clears_it,
    rule_77_a_signalfd_polls_as_the_thread_that_waits,
    a_terminal_by_level_and_by_edge,
    a_terminal_whose_other_side_is_gone,
    a_directory_by_inotify,
);

const SLOT: usize = 4096;

fn rule_71_levels_of_a_pipes_reader<W: World>() {
    let (reader, writer) = pipe();
    assert_eq!(level::<W>(&reader), 0);
    write(&writer, 2).unwrap();
    assert_eq!(level::<W>(&reader), IN);
    drop(writer);
    assert_eq!(level::<W>(&reader), IN | HUP);
    assert_eq!(read(&reader, SLOT), Ok(2));
    assert_eq!(level::<W>(&reader), HUP);
}

fn rule_71_levels_of_a_pipes_writer<W: World>() {
    let (reader, writer) = pipe();
    assert_eq!(level::<W>(&writer), OUT);
    assert_eq!(write(&writer, 20 * SLOT), Ok(16 * SLOT));
    assert_eq!(level::<W>(&writer), 0);
    drop(reader);
    assert_eq!(level::<W>(&writer), ERR, "still full");
    let (reader, writer) = pipe();
    drop(reader);
    assert_eq!(level::<W>(&writer), OUT | ERR);
}

fn rule_71_a_fifo_that_nobody_writes<W: World>() {
    let scratch = Scratch::new();
    let path = std::ffi::CString::new(scratch.path().as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends with a zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    let open = |options: &mut fs::OpenOptions| -> OwnedFd {
        options.custom_flags(libc::O_NONBLOCK).open(scratch.path()).unwrap().into()
    };
    let (mut w, reader) = (W::new(), open(fs::OpenOptions::new().read(true)));
    w.add(&reader, IN, 1).unwrap();
    assert_eq!(level::<W>(&reader), 0);
    assert_eq!(w.now(8), []);
    drop(open(fs::OpenOptions::new().write(true)));
    assert_eq!(w.now(8), [event(HUP, 1)]);
}

fn rule_72_a_pipe_has_slots_not_bytes<W: World>() {
    let (reader, writer) = pipe();
    assert_eq!(write(&writer, 16 * SLOT), Ok(16 * SLOT));
    assert_eq!(read(&reader, SLOT - 1), Ok(SLOT - 1));
    assert_eq!(level::<W>(&writer), 0, "one byte is left in the first slot");
    assert_eq!(read(&reader, 1), Ok(1));
    assert_eq!(level::<W>(&writer), OUT);
    assert_eq!(write(&writer, 1), Ok(1));
    assert_eq!(level::<W>(&writer), 0, "and that byte has taken it");
}

fn rule_75_a_counter_at_its_maximum<W: World>() {
    let one = counter(0);
    assert_eq!(level::<W>(&one), OUT);
    raise(&one, u64::MAX - 2).unwrap();
    assert_eq!(level::<W>(&one), IN | OUT);
    raise(&one, 1).unwrap();
    assert_eq!(level::<W>(&one), IN);
    assert_eq!(take(&one), Ok(u64::MAX - 1));
    assert_eq!(level::<W>(&one), OUT);
}

fn rule_76_setting_a_timer_clears_it<W: World>() {
    let (mut w, timer) = (W::new(), timer());
    w.add(&timer, IN, 1).unwrap();
    assert_eq!(take(&timer), Err(EAGAIN));
    set_timer(&timer, Duration::from_millis(1), Duration::ZERO);
    assert_eq!(w.next(8), [event(IN, 1)]);
    set_timer(&timer, Duration::from_secs(1 << 20), Duration::ZERO);
    assert_eq!(w.now(8), []);
    assert_eq!(take(&timer), Err(EAGAIN));
}

fn rule_77_a_signalfd_polls_as_the_thread_that_waits<W: World>() {
    let set = set(&[libc::SIGUSR2]);
    hold_back(&set);
    let (mut w, fd) = (W::new(), signals(&set));
    w.add(&fd, IN, 1).unwrap();
    assert_eq!(w.now(8), []);
    // To this thread alone.
    // SAFETY: the signal is held back here, and read below.
    assert_eq!(unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tasks::current(), libc::SIGUSR2) }, 0);
    assert_eq!(w.now(8), [event(IN, 1)]);
    let mut w = thread::spawn(|| {
        assert_eq!(w.now(8), [], "it is not pending for this thread");
        w
    })
    .join()
    .unwrap();
    assert_eq!(w.now(8), [], "that wait has dropped it from the ready list");
    w.modify(&fd, IN, 2).unwrap();
    assert_eq!(w.now(8), [event(IN, 2)]);
    assert_eq!(drain(&fd), size_of::<libc::signalfd_siginfo>());
    assert_eq!(w.now(8), []);
}

fn a_terminal_by_level_and_by_edge<W: World>() {
    let (mut w, (shows, program)) = (W::new(), tty());
    w.add(&program, IN | ET, 1).unwrap();
    w.add(&shows, IN, 2).unwrap();
    assert_eq!(w.now(8), []);
    for _ in 0..3 {
        // What is typed goes to the program by a thread of the kernel's.
        write(&shows, 1).unwrap();
        assert_eq!(w.next(8), [event(IN, 1)]);
    }
    assert_eq!(w.now(8), []);
    assert_eq!(drain(&program), 3);
    write(&program, 1).unwrap();
    for _ in 0..2 {
        assert_eq!(w.next(8), [event(IN, 2)]);
    }
    assert_eq!(read(&shows, 8), Ok(1));
    assert_eq!(w.now(8), []);
    w.modify(&program, OUT, 3).unwrap();
    assert_eq!(w.now(8), [event(OUT, 3)]);
}

fn a_terminal_whose_other_side_is_gone<W: World>() {
    let (mut w, (shows, program)) = (W::new(), tty());
    w.add(&program, IN | ET, 1).unwrap();
    w.add(&shows, IN | ET, 2).unwrap();
    drop(shows);
    let seen = w.next(8);
    assert_eq!(seen.iter().map(|event| event.data).collect::<Vec<_>>(), [1]);
    assert_eq!(seen[0].bits & HUP, HUP, "{seen:?}");
}

fn a_directory_by_inotify<W: World>() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.path()).unwrap();
    let (mut w, watch) = (W::new(), directory_watch(scratch.path()));
    w.add(&watch, IN | RDNORM | OUT | WRNORM | ET, 1).unwrap();
    assert_eq!(w.now(8), []);
    for name in ["a", "b"] {
        fs::write(scratch.path().join(name), name).unwrap();
        assert_eq!(w.now(8), [event(IN | RDNORM, 1)]);
        assert_eq!(w.now(8), []);
    }
    assert!(drain(&watch) > 0);
    fs::remove_dir_all(scratch.path()).unwrap();
    w.now(8);
}
