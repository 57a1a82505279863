//! The frames that a supervisor and its workers exchange over a pipe.
//!
//! A frame is a `u32` length in little-endian byte order, followed by that many bytes: one value of [`ToWorker`] in one
//! direction, one of [`FromWorker`] in the other. The first frame in each direction has the protocol version. So a
//! worker that was started from a replaced binary fails with an error and does not garble the graph. `docs/protocol.md`
//! describes the protocol.
//!
//! This crate does no I/O beyond the given reader and writer.

mod codec;
mod error;
mod exit;
mod frame;
mod message;

pub use codec::{decode_from_worker, decode_to_worker, encode_from_worker, encode_to_worker};
pub use error::ProtoError;
pub use exit::{COLLECTOR_INDEX, EXIT_BROKEN, EXIT_FINISHED, EXIT_NOT_A_WORKER, EXIT_ORPHANED, EXIT_PANICKED};
pub use frame::{FrameReader, FrameWriter};
pub use message::{
    Activity, Counts, Credentials, Deferred, EdgeList, Event, Failure, FailureKind, FromWorker, Gap, Job, JobKind,
    Level, Missing, MissingEdge, Name, Node, Operation, Outcome, Plan, Progress, QuietUnit, Selector, ToWorker, Unit,
    Verb, Wait, WaitOn, Why,
};

/// The version of the protocol. A peer with another version is rejected.
pub const PROTOCOL_VERSION: u32 = 7;

/// The size limit of a frame in both directions, in bytes, without the length prefix.
///
/// A batch of nodes has about 64 KiB; a single ndjson line may have 10 MiB on the newer core.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The size in bytes at which a worker closes a batch of nodes or edges and sends it: what a pipe holds. Both ends keep a
/// batch in several forms, the supervisor for each worker, so that a larger one costs more memory than it saves time.
pub const BATCH_BYTES: usize = 64 * 1024;

/// The limit of units that an [`Activity`] names.
pub const MAX_QUIET_UNITS: usize = 16;

/// The limit of waits that a [`QuietUnit`] names.
pub const MAX_WAITS: usize = 4;
