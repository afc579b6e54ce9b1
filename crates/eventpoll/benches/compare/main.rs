//! The event poll beside the kernel's eventfd and epoll, crossbeam's channel and a bare futex, in one run.
//!
//!     cargo bench -p eventpoll                  everything
//!     cargo bench -p eventpoll -- wait memory   the rows whose names contain one of these words
//!
//! Both sides of a row are measured in turn, many times; the table has the medians and half of the spread between the
//! quartiles. The process stays on one processor, except where one thread wakes another.

mod channels;
mod control;
mod counting;
mod kernel;
mod report;
mod scale;
mod waits;
mod wakes;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if std::env::args().any(|argument| argument == "--test") {
        // `cargo test` builds benchmarks, and must not run them.
        return;
    }
    let mut report = report::Report::new(words);
    report::one_processor();
    waits::rows(&mut report);
    control::rows(&mut report);
    channels::rows(&mut report);
    scale::rows(&mut report);
    wakes::rows(&mut report);
    report.print();
}
