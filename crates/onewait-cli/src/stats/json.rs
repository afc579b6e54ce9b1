//! The report for machines: one JSON object on one line. Its keys stay as they are; new ones may come.
//!
//! | key | value |
//! |---|---|
//! | `format` | 1; another number means that keys changed their meaning |
//! | `program` | the program's path |
//! | `exit_status`, `signal` | how it ended: one is a number, the other null |
//! | `elapsed_seconds` | from its start to its end |
//! | `processes` | how many of its processes started the engine |
//! | `driver` | `uring`, `epoll`: whether some process used it; `reason`: why, null if none started the engine |
//! | `requests` | by kind (`read`, `write`, `fsync`, `poll`, `nop`): `submitted`, `completed`, `failed`, `bytes`, and `latency_ns` (`p50`, `p99`, `max`; null if nothing was timed) |
//! | `routes` | requests by the way they went: `inline`, `own_ring`, `engine_ring`, `thread_pool`, `native_aio`, `readiness` |
//! | `batches` | batches handed to the kernel, by size: `min`, `max` (null: no limit), `count`; sizes that never came are left out |
//! | `libaio` | contexts of libaio's: `contexts` that the engine served, `contexts_left_to_kernel`, and `why` (null if there were none) |
//! | `epoll` | epolls of the program's own, with `--epoll`: how many were `made`, `changes` of what they watch, `waits_awake` that did not sleep, `waits_asleep` that were left to the kernel, and slept there if there was nothing to report |
//! | `events` | `waits_slept`, `waits_instant`, `cancelled`, `notifications`, `notification_retries`, `limits_hit`, `doorbells`, `handovers` |

use super::{End, Run, batch_sizes};
use onewait::counters::{Event, Kind, KindSnapshot, Route};
use serde_json::{Map, Value, json};

pub(super) fn report(run: &Run<'_>) -> String {
    let figures = &run.figures;
    let (exit_status, signal) = match run.end {
        End::Exit(status) => (Some(status), None),
        End::Signal(signal) => (None, Some(signal)),
    };
    let requests = figures.kinds.iter().map(|kind| (kind_key(kind.kind).into(), of_kind(kind)));
    let routes = figures.routes.iter().map(|(route, count)| (route_key(*route).into(), json!(count)));
    let events = figures.events.iter().filter_map(|(event, count)| Some((event_key(*event)?.into(), json!(count))));
    let batches = figures.batches.iter().enumerate().filter(|(_, count)| **count > 0).map(|(bucket, count)| {
        let (min, max) = batch_sizes(bucket);
        json!({ "min": min, "max": max, "count": count })
    });
    let report = json!({
        "format": 1,
        "program": run.program.to_string_lossy(),
        "exit_status": exit_status,
        "signal": signal,
        "elapsed_seconds": run.elapsed.as_secs_f64(),
        "processes": run.count(Event::Process),
        "driver": {
            "uring": figures.used_uring,
            "epoll": figures.used_epoll,
            "reason": (!figures.reason.is_empty()).then_some(&figures.reason),
        },
        "requests": requests.collect::<Map<String, Value>>(),
        "routes": routes.collect::<Map<String, Value>>(),
        "batches": batches.collect::<Vec<Value>>(),
        "events": events.collect::<Map<String, Value>>(),
        "libaio": {
            "contexts": run.count(Event::Context),
            "contexts_left_to_kernel": run.count(Event::PassedContext),
            "why": (!figures.passed.is_empty()).then_some(&figures.passed),
        },
        "epoll": {
            "made": run.count(Event::Epoll),
            "changes": run.count(Event::EpollControl),
            "waits_awake": run.count(Event::EpollAwake),
            "waits_asleep": run.count(Event::EpollAsleep),
        },
    });
    format!("{report}\n")
}

fn of_kind(kind: &KindSnapshot) -> Value {
    let latency = (kind.max > 0).then(|| json!({ "p50": kind.p50, "p99": kind.p99, "max": kind.max }));
    json!({
        "submitted": kind.submitted,
        "completed": kind.completed,
        "failed": kind.failed,
        "bytes": kind.bytes,
        "latency_ns": latency,
    })
}

fn kind_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Read => "read",
        Kind::Write => "write",
        Kind::Fsync => "fsync",
        Kind::Poll => "poll",
        Kind::Nop => "nop",
    }
}

fn route_key(route: Route) -> &'static str {
    match route {
        Route::Inline => "inline",
        Route::Copier => "copier",
        Route::OwnRing => "own_ring",
        Route::EngineRing => "engine_ring",
        Route::ThreadPool => "thread_pool",
        Route::NativeAio => "native_aio",
        Route::Readiness => "readiness",
    }
}

/// Processes, contexts and epolls have keys of their own, outside the events.
fn event_key(event: Event) -> Option<&'static str> {
    Some(match event {
        Event::SleepingWait => "waits_slept",
        Event::InstantWait => "waits_instant",
        Event::Cancelled => "cancelled",
        Event::Notification => "notifications",
        Event::NotificationRetry => "notification_retries",
        Event::LimitHit => "limits_hit",
        Event::Doorbell => "doorbells",
        Event::Handover => "handovers",
        Event::Process | Event::Context | Event::PassedContext => return None,
        Event::Epoll | Event::EpollControl | Event::EpollAwake | Event::EpollAsleep => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use onewait::counters::Counters;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_report_has_the_documented_keys() {
        let counters = Counters::new();
        counters.driver(true, "io_uring works");
        counters.event(Event::Process);
        counters.event(Event::Doorbell);
        counters.event(Event::PassedContext);
        counters.passed("it reads the ring");
        counters.event(Event::EpollAsleep);
        counters.submitted(Kind::Read, Route::OwnRing);
        counters.completed(Kind::Read, 4096);
        counters.latency(Kind::Read, 10_000);
        counters.batch(3);
        let figures = counters.snapshot();
        let run =
            Run { program: Path::new("/bin/x"), end: End::Exit(3), elapsed: Duration::from_millis(1500), figures };
        let report: Value = serde_json::from_str(&report(&run)).unwrap();
        assert_eq!(report["format"], 1);
        assert_eq!(report["program"], "/bin/x");
        assert_eq!((&report["exit_status"], &report["signal"]), (&json!(3), &Value::Null));
        assert_eq!(report["elapsed_seconds"], 1.5);
        assert_eq!(report["processes"], 1);
        assert_eq!(report["driver"], json!({ "uring": true, "epoll": false, "reason": "io_uring works" }));
        assert_eq!(report["requests"]["read"]["submitted"], 1);
        assert_eq!(report["requests"]["read"]["bytes"], 4096);
        assert_eq!(report["requests"]["read"]["latency_ns"]["max"], 10_000);
        assert_eq!(report["requests"]["write"]["latency_ns"], Value::Null);
        assert_eq!(report["routes"]["own_ring"], 1);
        assert_eq!(report["batches"], json!([{ "min": 2, "max": 3, "count": 1 }]));
        assert_eq!(report["events"]["doorbells"], 1);
        assert_eq!(report["events"]["processes"], Value::Null);
        let libaio = json!({ "contexts": 0, "contexts_left_to_kernel": 1, "why": "it reads the ring" });
        assert_eq!(report["libaio"], libaio);
        assert_eq!(report["epoll"], json!({ "made": 0, "changes": 0, "waits_awake": 0, "waits_asleep": 1 }));
    }
}
