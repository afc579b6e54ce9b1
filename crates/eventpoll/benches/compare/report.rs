//! Measuring two sides in turn, and the table.

use std::time::Instant;

/// What is asked of a row.
#[derive(Clone, Copy)]
pub(crate) enum Required {
    /// At least so many times cheaper than the peer.
    Cheaper(f64),
    /// At most so many times as dear as the peer.
    AtMost(f64),
    /// At most so much.
    Below(f64),
    /// Within so much (as a share) of the peer.
    Within(f64),
    /// Nothing: the peer shows what there is to lose.
    #[allow(dead_code, reason = "the other benchmark uses it")]
    Nothing,
}

struct Row {
    name: String,
    ours: Figure,
    peer: Option<(&'static str, Figure)>,
    unit: &'static str,
    required: Required,
}

#[derive(Clone, Copy)]
pub(crate) struct Figure {
    median: f64,
    spread: f64,
}

impl Figure {
    pub(crate) fn exactly(value: f64) -> Self {
        Self { median: value, spread: 0.0 }
    }

    fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let at = |share: usize| samples[(samples.len() - 1) * share / 4];
        Self { median: at(2), spread: (at(3) - at(1)) / 2.0 }
    }
}

pub(crate) struct Report {
    words: Vec<String>,
    rows: Vec<Row>,
}

const SAMPLES: usize = 61;

impl Report {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self { words, rows: Vec::new() }
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        let wanted = self.words.is_empty() || self.words.iter().any(|word| name.contains(word.as_str()));
        if wanted {
            eprintln!("measuring: {name}");
        }
        wanted
    }

    /// Nanoseconds an event, of `ours` and of a peer, each called with the number of events to go through.
    pub(crate) fn race(
        &mut self,
        name: &str,
        required: Required,
        peer_name: &'static str,
        mut ours: impl FnMut(usize),
        mut peer: impl FnMut(usize),
    ) {
        let (mut our_samples, mut peer_samples) = (Vec::new(), Vec::new());
        for events in [1_000, 1_000] {
            ours(events);
            peer(events);
        }
        for _ in 0..SAMPLES {
            our_samples.push(nanoseconds(&mut ours, 40_000));
            peer_samples.push(nanoseconds(&mut peer, 10_000));
        }
        let peer = Some((peer_name, Figure::of(peer_samples)));
        self.add(name, Figure::of(our_samples), peer, "ns", required);
    }

    pub(crate) fn samples(
        &mut self,
        name: &str,
        required: Required,
        peer_name: &'static str,
        unit: &'static str,
        ours: Vec<f64>,
        peer: Vec<f64>,
    ) {
        self.add(name, Figure::of(ours), Some((peer_name, Figure::of(peer))), unit, required);
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        ours: Figure,
        peer: Option<(&'static str, Figure)>,
        unit: &'static str,
        required: Required,
    ) {
        self.rows.push(Row { name: name.to_owned(), ours, peer, unit, required });
    }

    pub(crate) fn print(&self) {
        println!("| | here | peer | peer / here | required | |");
        println!("|---|--:|--:|--:|--:|---|");
        for row in &self.rows {
            let ratio = row.peer.map(|(_, peer)| peer.median / row.ours.median);
            let (required, met) = match (row.required, ratio) {
                (Required::Cheaper(times), Some(ratio)) => (format!("≥ {times}×"), ratio >= times),
                (Required::AtMost(times), Some(ratio)) => (format!("≥ {:.2}×", 1.0 / times), 1.0 / ratio <= times),
                (Required::Within(share), Some(ratio)) => (format!("1 ± {share}"), (1.0 / ratio - 1.0).abs() <= share),
                (Required::Below(most), _) => (format!("≤ {most} {}", row.unit), row.ours.median <= most),
                (Required::Nothing, _) => (String::new(), true),
                (_, None) => continue,
            };
            let figure = |figure: Figure| format!("{:.1} ±{:.1} {}", figure.median, figure.spread, row.unit);
            let peer = row.peer.map_or_else(String::new, |(name, peer)| format!("{name} {}", figure(peer)));
            let ratio = ratio.map_or_else(String::new, |ratio| format!("**{ratio:.2}×**"));
            let met = if met { "" } else { "behind" };
            println!("| {} | {} | {peer} | {ratio} | {required} | {met} |", row.name, figure(row.ours));
        }
    }
}

pub(crate) fn nanoseconds(f: &mut impl FnMut(usize), events: usize) -> f64 {
    let start = Instant::now();
    f(events);
    start.elapsed().as_nanos() as f64 / events as f64
}

/// Keeps the calling thread on the processor that it is on, or on another one.
pub(crate) fn one_processor() {
    processor(0);
}

pub(crate) fn processor(number: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(number);
    if let Err(error) = rustix::thread::sched_setaffinity(None, &set) {
        eprintln!("not kept on one processor: {error}");
    }
}
