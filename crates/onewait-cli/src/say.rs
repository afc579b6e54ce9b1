//! How the command prints: results on standard output, everything else on standard error.
//!
//! Not by `println!` and `eprintln!`, which panic where there is nobody to print to.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Prints a result, and tells whether that worked: a result that nobody got makes the status a failing one. A reader that
/// has gone away wants no message either.
#[must_use]
pub(crate) fn result(text: impl Display) -> bool {
    let mut stdout = io::stdout().lock();
    match write!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != ErrorKind::BrokenPipe {
                message(format_args!("onewait: cannot write the result: {error}"));
            }
            false
        }
    }
}

/// Prints a line for the user. Where it cannot be printed, the status must do.
pub(crate) fn message(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
