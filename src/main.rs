//! The `ckworker` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ckworker::start::main()
}
