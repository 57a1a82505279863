//! The exit codes of a worker, and the index that stands for the collector itself.

/// Exit code of a worker that finished its job, with any result.
pub const EXIT_FINISHED: u8 = 0;
/// Exit code of a worker that was not started by a supervisor.
pub const EXIT_NOT_A_WORKER: u8 = 2;
/// Exit code of a worker whose frame stream broke.
pub const EXIT_BROKEN: u8 = 70;
/// Exit code of a worker whose supervisor exited before the worker began.
pub const EXIT_ORPHANED: u8 = 71;
/// Exit code of a worker that panicked.
pub const EXIT_PANICKED: u8 = 101;

/// The unit index that stands for the collector itself, in requests for credentials during planning.
pub const COLLECTOR_INDEX: u32 = u32::MAX;
