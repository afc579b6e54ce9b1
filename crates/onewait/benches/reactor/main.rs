//! The reactor beside bare system calls and a balanced tree, in one run.
//!
//!     cargo bench -p onewait --bench reactor                  everything
//!     cargo bench -p onewait --bench reactor -- timer wake    the rows whose names contain one of these words
//!
//! Both sides of a row are measured in turn, many times; the table has the medians and half of the spread between the
//! quartiles. The process stays on one processor, except where one thread wakes another. `benches/echo` measures sockets.

// Measuring, the kernel's side and the counting allocator are the same as in the event poll's benchmark. As a crate of
// their own they would be one more that somebody has to know; each of the two benchmarks uses a part.
#[allow(dead_code, reason = "the other benchmark uses the rest")]
#[path = "../../../eventpoll/benches/compare/counting.rs"]
mod counting;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
#[path = "../../../eventpoll/benches/compare/kernel.rs"]
mod kernel;
#[allow(dead_code, reason = "the other benchmark uses the rest")]
#[path = "../../../eventpoll/benches/compare/report.rs"]
mod report;

mod files;
mod idle;
mod timers;
mod turns;
mod wakes;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if std::env::args().any(|argument| argument == "--test") {
        // `cargo test` builds benchmarks, and must not run them.
        return;
    }
    let mut report = report::Report::new(words);
    report::one_processor();
    timers::rows(&mut report);
    turns::rows(&mut report);
    files::rows(&mut report);
    idle::rows(&mut report);
    wakes::rows(&mut report);
    report.print();
}
