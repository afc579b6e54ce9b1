//! `onewait run --stats`: the report, in both forms, however the program ends.

mod common;

use common::{Place, onewait, output, run, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;

/// Writes a page, reads it back, and fails to read from a closed descriptor; then ends as it is told.
const AIO_PROGRAM: &str = r#"
#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for(struct aiocb *block)
{
    const struct aiocb *list[1] = { block };
    while (aio_error(block) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
}

int main(int count, char **arguments)
{
    static char page[4096];
    FILE *file = tmpfile();
    struct aiocb block = { .aio_fildes = fileno(file), .aio_buf = page, .aio_nbytes = sizeof page };
    if (aio_write(&block))
        return 1;
    wait_for(&block);
    if (aio_return(&block) != sizeof page || aio_read(&block))
        return 2;
    wait_for(&block);
    if (aio_return(&block) != sizeof page)
        return 3;
    /* Reads and writes of the page cache need no driver. */
    if (aio_fsync(O_DSYNC, &block))
        return 5;
    wait_for(&block);
    block.aio_fildes = 12345;
    if (aio_read(&block) == 0) {
        wait_for(&block);
        if (aio_error(&block) != EBADF)
            return 4;
    }
    switch (count > 1 ? atoi(arguments[1]) : 0) {
    case 0: return 0;
    case 1: _exit(9);
    default: kill(getpid(), SIGKILL);
    }
}
"#;

#[test]
fn a_program_without_aio_is_told_so() {
    let done = output(&mut onewait(&["run", "--stats", "sh", "-c", "echo out; exit 3"]));
    assert_eq!((done.status.code(), stdout(&done).as_str()), (Some(3), "out\n"));
    let report = stderr(&done);
    assert!(report.contains("ended with status 3"), "{report}");
    assert!(report.contains("made no AIO call"), "{report}");
}

#[test]
fn json_is_one_line_with_stable_keys() {
    let done = output(&mut onewait(&["run", "--stats=json", "sh", "-c", "kill -9 $$"]));
    assert_eq!(done.status.signal(), Some(9));
    let text = stderr(&done);
    assert_eq!(text.lines().count(), 1, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    let keys = report.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(
        keys,
        "format program exit_status signal elapsed_seconds processes driver requests routes batches events libaio epoll"
    );
    assert_eq!((&report["exit_status"], &report["signal"]), (&Value::Null, &Value::from(9)));
    assert_eq!(report["requests"]["read"]["submitted"], 0);
}

#[test]
fn the_report_goes_to_a_file_on_request() {
    let place = Place::new();
    let file = place.join("report");
    let done = output(&mut onewait(&["run", "--stats-file", &file, "--", "sh", "-c", "echo to stderr >&2"]));
    assert_eq!(stderr(&done), "to stderr\n");
    assert!(fs::read_to_string(&file).unwrap().contains("made no AIO call"));
    let done = output(&mut onewait(&["run", "--stats=json", "--stats-file", &file, "--", "true"]));
    assert_eq!(stderr(&done), "");
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report["exit_status"], 0);
}

#[test]
fn a_report_that_cannot_be_written_changes_no_status() {
    let done = output(&mut onewait(&["run", "--stats-file", "/dev/full", "--", "sh", "-c", "exit 3"]));
    assert_eq!(done.status.code(), Some(3));
    assert!(stderr(&done).contains("cannot write the statistics"), "{}", stderr(&done));
}

#[test]
fn an_aio_program_ends_as_it_likes_and_its_report_comes() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &["-D_GNU_SOURCE", "-lrt"], AIO_PROGRAM) else { return };
    for (how, status, signal) in [("0", Some(0), None), ("1", Some(9), None), ("2", None, Some(9))] {
        let done = output(&mut run(&["run", "--stats=json"], &[&program, how]));
        assert_eq!((done.status.code(), done.status.signal()), (status, signal), "{}", stderr(&done));
        let report: Value = serde_json::from_str(&stderr(&done)).unwrap();
        assert_eq!(
            (report["exit_status"].as_i64(), report["signal"].as_i64()),
            (status.map(i64::from), signal.map(i64::from))
        );
    }
}

#[test]
fn the_figures_are_the_programs() {
    let place = Place::new();
    let Some(program) = place.compile("cc", &["-D_GNU_SOURCE", "-lrt"], AIO_PROGRAM) else { return };
    for how in ["0", "1", "2"] {
        let done = output(&mut run(&["run", "--stats=json"], &[&program, how]));
        let report: Value = serde_json::from_str(&stderr(&done)).unwrap();
        let (reads, writes) = (&report["requests"]["read"], &report["requests"]["write"]);
        for kind in [reads, writes] {
            assert_eq!(kind["bytes"], 4096, "{report}");
            assert_eq!(kind["submitted"], kind["completed"], "{report}");
            assert!(kind["latency_ns"]["max"].as_u64() > Some(0), "{report}");
        }
        assert_eq!(writes["submitted"], 1, "{report}");
        assert_eq!(report["processes"], 1, "{report}");
        assert!(report["driver"]["reason"].is_string(), "{report}");
        let routes = report["routes"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
        assert_eq!(Some(routes), Some(reads["submitted"].as_u64().unwrap() + 2), "{report}");
    }
    let done = output(&mut run(&["run", "--stats"], &[&program]));
    for part in ["driver", "read", "write", "4.0 KiB", "routes"] {
        assert!(stderr(&done).contains(part), "{part} is missing in {}", stderr(&done));
    }
}
