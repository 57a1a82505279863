//! The `ckworker` command.

fn main() {}
