//! The `onewait` command.

fn main() {}
