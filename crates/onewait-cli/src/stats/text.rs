//! The report for people.

use super::{End, Run, batch_sizes};
use onewait::counters::{Event, KindSnapshot};
use std::fmt::Write;
use std::time::Duration;

pub(super) fn report(run: &Run<'_>) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, run);
    out
}

fn write(out: &mut String, run: &Run<'_>) -> std::fmt::Result {
    let figures = &run.figures;
    let ending = match run.end {
        End::Exit(status) => format!("ended with status {status}"),
        End::Signal(signal) => format!("was ended by signal {signal}"),
    };
    writeln!(out, "\nonewait: {} {ending} after {}", run.program.display(), duration(run.elapsed))?;
    if !figures.passed.is_empty() {
        let contexts = number(run.count(Event::PassedContext));
        line(out, "libaio", &format!("contexts left to the kernel {contexts}: {}", figures.passed))?;
    }
    let epoll = list(EPOLL.iter().map(|event| (event.name().to_string(), run.count(*event))));
    line(out, "epoll", &epoll)?;
    if run.requests() == 0 {
        if !epoll.is_empty() {
            return Ok(());
        }
        return writeln!(
            out,
            "  It made no AIO call that onewait serves (aio_read, lio_listio, io_submit …): nothing was changed for it."
        );
    }
    let driver = match (figures.used_uring, figures.used_epoll) {
        (true, false) => "uring",
        (false, true) => "epoll",
        (true, true) => "uring in some processes, epoll in others",
        (false, false) => "none was needed: no request had to wait",
    };
    let reason = if figures.reason.is_empty() { String::new() } else { format!(" ({})", figures.reason) };
    line(out, "driver", &format!("{driver}{reason}"))?;
    writeln!(
        out,
        "  {:<8}{:>14}{:>14}{:>10}{:>12}{:>10}{:>10}{:>10}",
        "", "requests", "completed", "errors", "bytes", "p50", "p99", "max"
    )?;
    for kind in figures.kinds.iter().filter(|kind| kind.submitted > 0) {
        writeln!(out, "{}", row(kind))?;
    }
    line(out, "routes", &list(figures.routes.iter().map(|(route, count)| (route.name().to_string(), *count))))?;
    line(
        out,
        "batches",
        &list(figures.batches.iter().enumerate().map(|(bucket, count)| (batch_name(bucket), *count))),
    )?;
    let is_told = |event: &Event| *event == Event::PassedContext || EPOLL.contains(event);
    let events = figures.events.iter().filter(|(event, _)| !is_told(event));
    line(out, "events", &list(events.map(|(event, count)| (event.name().to_string(), *count))))
}

/// They have a line of their own.
const EPOLL: [Event; 4] = [Event::Epoll, Event::EpollControl, Event::EpollAwake, Event::EpollAsleep];

fn row(kind: &KindSnapshot) -> String {
    let latency = |nanoseconds| if kind.max == 0 { "-".into() } else { duration(Duration::from_nanos(nanoseconds)) };
    format!(
        "  {:<8}{:>14}{:>14}{:>10}{:>12}{:>10}{:>10}{:>10}",
        kind.kind.name(),
        number(kind.submitted),
        number(kind.completed),
        number(kind.failed),
        bytes(kind.bytes),
        latency(kind.p50),
        latency(kind.p99),
        latency(kind.max)
    )
}

fn line(out: &mut String, name: &str, value: &str) -> std::fmt::Result {
    if value.is_empty() { Ok(()) } else { writeln!(out, "  {name:<8}  {value}") }
}

/// `name count`, separated by commas; what never happened is left out.
fn list(entries: impl Iterator<Item = (String, u64)>) -> String {
    let entries = entries.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {}", number(count)));
    entries.collect::<Vec<_>>().join(", ")
}

fn batch_name(bucket: usize) -> String {
    match batch_sizes(bucket) {
        (1, _) => "of one".into(),
        (min, Some(max)) => format!("of {min}-{max}"),
        (min, None) => format!("of {min} and more"),
    }
}

/// A count with its thousands apart.
fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn duration(duration: Duration) -> String {
    match duration.as_nanos() {
        0..1_000 => format!("{} ns", duration.as_nanos()),
        1_000..1_000_000 => format!("{:.1} µs", duration.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use onewait::counters::{Counters, Kind, Route};
    use std::path::Path;

    fn report_of(counters: &Counters, end: End) -> String {
        let figures = counters.snapshot();
        report(&Run { program: Path::new("/bin/x"), end, elapsed: Duration::from_millis(1500), figures })
    }

    #[test]
    fn a_program_without_aio_is_told_so() {
        let report = report_of(&Counters::new(), End::Signal(9));
        assert!(report.contains("/bin/x was ended by signal 9 after 1.50 s"), "{report}");
        assert!(report.contains("made no AIO call"), "{report}");
    }

    #[test]
    fn contexts_that_were_left_to_the_kernel_are_told_with_the_reason() {
        let counters = Counters::new();
        counters.event(Event::PassedContext);
        counters.passed("the program takes completions from the kernel's ring itself");
        let report = report_of(&counters, End::Exit(0));
        assert!(report.contains("left to the kernel 1: the program takes completions"), "{report}");
    }

    #[test]
    fn epoll_has_a_line_of_its_own() {
        let counters = Counters::new();
        for event in [Event::Epoll, Event::EpollControl, Event::EpollControl, Event::EpollAsleep] {
            counters.event(event);
        }
        let report = report_of(&counters, End::Exit(0));
        assert!(report.contains("epoll     epolls made 1, changes 2, waits left to the kernel 1\n"), "{report}");
        assert!(!report.contains("AIO"), "{report}");
    }

    #[test]
    fn what_happened_is_listed_and_what_did_not_is_not() {
        let counters = Counters::new();
        counters.driver(false, "io_uring is switched off");
        for _ in 0..1234 {
            counters.submitted(Kind::Write, Route::ThreadPool);
            counters.completed(Kind::Write, 4096);
        }
        counters.completed(Kind::Write, -5);
        counters.batch(9);
        let report = report_of(&counters, End::Exit(0));
        for part in ["epoll (io_uring is switched off)", "1,234", "4.8 MiB", "thread pool 1,234", "of 8-15 1"] {
            assert!(report.contains(part), "{part} is missing in {report}");
        }
        for part in ["\n  read", "inline", "NaN"] {
            assert!(!report.contains(part), "{part} is in {report}");
        }
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!([0, 999, 1000, 1234567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1536, 1 << 50].map(bytes), ["0 B", "1023 B", "1.5 KiB", "1024.0 TiB"]);
        let nanoseconds = [12, 1500, 2_500_000, 3_000_000_000].map(Duration::from_nanos);
        assert_eq!(nanoseconds.map(duration), ["12 ns", "1.5 µs", "2.5 ms", "3.00 s"]);
    }
}
