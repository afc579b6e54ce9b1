//! Medians, spreads and ratios, as a table for people or JSON for machines.

use super::row::{Calls, Row};
use super::side::Side;
use super::worker::Measured;
use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use serde_json::{Value, json};
use std::fmt::Write;

/// Everything that was measured, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Outcome>,
    /// Rows that this file system cannot do, and why.
    pub(crate) skipped: Vec<(Row, String)>,
    /// Rows that went wrong, and how.
    pub(crate) failed: Vec<(Row, String)>,
    /// Why there is no limit to compare with.
    pub(crate) no_uring: Option<String>,
}

/// The runs of one row, for each side in the order of [`Side::ALL`]; none where a side was not run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) row: Row,
    pub(crate) runs: [Vec<Measured>; 3],
}

/// The runs of one side in one row.
#[derive(Debug)]
struct Summary {
    iops: Vec<f64>,
    cpu: Vec<f64>,
}

impl Summary {
    fn of(runs: &[Measured]) -> Option<Summary> {
        if runs.is_empty() {
            return None;
        }
        let each = |value: fn(&Measured) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        Some(Summary {
            iops: each(|run| run.requests as f64 / run.seconds.max(1e-9)),
            cpu: each(|run| run.cpu_seconds * 1e6 / run.requests.max(1) as f64),
        })
    }

    fn json(&self) -> Value {
        json!({
            "iops": round(median(&self.iops), 1),
            "iops_min": round(self.iops[0], 1),
            "iops_max": round(self.iops[self.iops.len() - 1], 1),
            "cpu_us": round(median(&self.cpu), 3),
            "cpu_us_min": round(self.cpu[0], 3),
            "cpu_us_max": round(self.cpu[self.cpu.len() - 1], 3),
        })
    }

    /// Thousands of requests a second, and half of the spread in per cent of them.
    fn text(&self) -> String {
        let middle = median(&self.iops);
        let spread = (self.iops[self.iops.len() - 1] - self.iops[0]) / 2.0 / middle * 100.0;
        format!("{} ±{spread:.0} %", significant(middle / 1000.0))
    }
}

impl Outcome {
    fn summary(&self, side: Side) -> Option<Summary> {
        Summary::of(&self.runs[side as usize])
    }

    /// The median of onewait over that of the other side.
    fn ratio(&self, other: Side) -> Option<f64> {
        Some(median(&self.summary(Side::Onewait)?.iops) / median(&self.summary(other)?.iops))
    }
}

impl Report {
    /// For machines. `setting` says how it was measured.
    pub(crate) fn json(&self, setting: Value) -> Value {
        let rows = self.rows.iter().map(|outcome| {
            let side = |side| outcome.summary(side).map(|summary| summary.json());
            let original = outcome.row.calls.original();
            json!({
                "calls": outcome.row.calls,
                "op": outcome.row.op, "cache": outcome.row.cache, "depth": outcome.row.depth,
                original: side(Side::Original), "onewait": side(Side::Onewait), "io_uring": side(Side::Uring),
                format!("onewait_over_{original}"): outcome.ratio(Side::Original).map(|ratio| round(ratio, 3)),
                "onewait_over_io_uring": outcome.ratio(Side::Uring).map(|ratio| round(ratio, 3)),
            })
        });
        let without = |rows: &[(Row, String)]| -> Value {
            let each = |(row, reason): &(Row, String)| {
                let Row { calls, op, cache, depth } = *row;
                json!({ "calls": calls, "op": op, "cache": cache, "depth": depth, "reason": reason })
            };
            rows.iter().map(each).collect()
        };
        json!({
            "setting": setting,
            "rows": rows.collect::<Value>(),
            "skipped": without(&self.skipped),
            "failed": without(&self.failed),
            "io_uring_refused": self.no_uring,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for calls in [Calls::Posix, Calls::Libaio] {
            let rows: Vec<&Outcome> = self.rows.iter().filter(|outcome| outcome.row.calls == calls).collect();
            if !rows.is_empty() {
                let _ = writeln!(text, "{}\n", self.table(calls, &rows));
            }
        }
        if !self.rows.is_empty() {
            text += "Thousand requests a second: medians ± half of the spread. CPU: µs a request, all threads.\n";
        }
        if let Some(reason) = &self.no_uring {
            let _ = writeln!(text, "No limit to compare with: io_uring is refused here ({reason}).");
        }
        for (rows, what) in [(&self.skipped, "Not possible here"), (&self.failed, "Went wrong")] {
            for (names, reason) in together(rows) {
                let _ = writeln!(text, "{what}: {names}: {reason}");
            }
        }
        text
    }

    /// The rows of one kind of calls.
    fn table(&self, calls: Calls, rows: &[&Outcome]) -> Table {
        let mut table = Table::new();
        table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
        let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let sides = Side::ALL.map(|side| side.name(calls).to_owned());
        let mut names = vec!["depth".to_owned()];
        names.extend(sides.clone());
        names.extend([Side::Original, Side::Uring].map(|side| format!("onewait\n/ {}", side.name(calls))));
        names.extend(sides.map(|side| format!("CPU\n{side}")));
        let mut header = vec![Cell::new(format!("{calls}, 4 KiB"))];
        header.extend(names.into_iter().map(right));
        table.set_header(header);
        for outcome in rows {
            let summaries = Side::ALL.map(|side| outcome.summary(side));
            let none = || if self.no_uring.is_some() { "refused".to_owned() } else { "–".to_owned() };
            let mut cells = vec![
                Cell::new(format!("{} {}", outcome.row.cache, outcome.row.op)),
                right(outcome.row.depth.to_string()),
            ];
            cells.extend(summaries.iter().map(|s| right(s.as_ref().map_or_else(none, Summary::text))));
            let ratio = |side| outcome.ratio(side).map_or("–".to_owned(), |ratio| format!("{ratio:.2}×"));
            cells.push(right(ratio(Side::Original)));
            cells.push(right(ratio(Side::Uring)));
            let cpu = |s: &Option<Summary>| s.as_ref().map_or("–".to_owned(), |s| significant(median(&s.cpu)));
            cells.extend(summaries.iter().map(|s| right(cpu(s))));
            table.add_row(cells);
        }
        table
    }
}

/// Rows with the same reason in one line: `cached read, depth 1, 32 · cached write, depth 1`.
fn together(rows: &[(Row, String)]) -> Vec<(String, &str)> {
    let mut groups: Vec<(String, &str, Row)> = Vec::new();
    for (row, reason) in rows {
        match groups.iter_mut().find(|(_, said, _)| said == reason) {
            Some((names, _, last)) if (last.calls, last.op, last.cache) == (row.calls, row.op, row.cache) => {
                let _ = write!(names, ", {}", row.depth);
            }
            Some((names, _, last)) => {
                let _ = write!(names, " · {row}");
                *last = *row;
            }
            None => groups.push((row.to_string(), reason, *row)),
        }
    }
    groups.into_iter().map(|(names, reason, _)| (names, reason)).collect()
}

/// The middle of sorted values, or the mean of the two middle ones; they are never empty.
fn median(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// Three digits say all that a benchmark knows.
fn significant(value: f64) -> String {
    match value.abs() {
        0.0..9.995 => format!("{value:.2}"),
        9.995..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::super::row::{Cache, Op};
    use super::*;

    fn runs(iops: &[u64]) -> Vec<Measured> {
        let run = |requests: &u64| Measured { requests: *requests, seconds: 1.0, cpu_seconds: 0.5, provider: None };
        iops.iter().map(run).collect()
    }

    fn report() -> Report {
        let row = Row { calls: Calls::Posix, op: Op::Read, cache: Cache::Cached, depth: 32 };
        let runs = [runs(&[1000, 3000, 2000]), runs(&[8000, 8000, 9000]), Vec::new()];
        Report {
            rows: vec![Outcome { row, runs }],
            skipped: vec![(Row { cache: Cache::Direct, ..row }, "no".into())],
            failed: Vec::new(),
            no_uring: Some("Operation not permitted".into()),
        }
    }

    #[test]
    fn ratios_are_those_of_the_medians() {
        let json = report().json(json!({}));
        let row = &json["rows"][0];
        assert_eq!(row["glibc"]["iops"], 2000.0);
        assert_eq!(row["glibc"]["cpu_us"], 250.0);
        assert_eq!(row["onewait_over_glibc"], 4.0);
        assert_eq!(row["onewait_over_io_uring"], Value::Null);
        assert_eq!(json["skipped"][0]["cache"], "direct");
    }

    #[test]
    fn a_refused_limit_is_said_in_its_column_and_below() {
        let text = report().text();
        assert!(text.contains("refused") && text.contains("Operation not permitted"), "{text}");
        assert!(text.contains("4.00×") && text.contains("2.00 ±50 %"), "{text}");
        assert!(text.contains("Not possible here: aio.h: O_DIRECT read, depth 32: no"), "{text}");
    }

    #[test]
    fn rows_with_one_reason_share_a_line() {
        let row = |op, depth| (Row { calls: Calls::Libaio, op, cache: Cache::Direct, depth }, "no".to_owned());
        let rows = [row(Op::Read, 1), row(Op::Read, 32), row(Op::Write, 1)];
        let names = "libaio: O_DIRECT read, depth 1, 32 · libaio: O_DIRECT write, depth 1";
        assert_eq!(together(&rows), [(names.to_owned(), "no")]);
    }

    #[test]
    fn the_median_of_an_even_number_is_between() {
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }
}
