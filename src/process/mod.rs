//! Child processes: spawn, terminate, reap.
//!
//! # Theory of operation
//!
//! A worker is the same binary, started again through `/proc/self/exe` with the hidden command `worker`. The standard
//! library spawns a process without a copy of the parent's memory, provided that nothing runs between fork and exec. So
//! the child itself does everything else first, in [`guard`]: limits, death signal, moving descriptors.
//!
//! The frames use one socket pair, which is the child's standard input and output. Both ends are close-on-exec, so no
//! other child holds them, and the child reads the end of the stream as soon as the supervisor closes its end.
//!
//! A [`WorkerProcess`] owns its child. The child leads its own process group, dropping the owner kills the group, and
//! only the owner waits for the child. The supervisor adopts processes that a worker leaves behind outside its group,
//! and [`reaper`] kills and reaps them.
//!
//! # Invariants
//!
//! * every child is a group leader and is owned by exactly one value;
//! * the group is signalled only while its leader is not yet reaped, or directly afterwards;
//! * no environment variable reaches a child unless the list in [`environment`] has it.

mod child;
pub mod descriptors;
pub mod environment;
pub mod guard;
pub mod helper;
pub mod reaper;
mod spawn;

pub use child::{ExitReason, StopReason, WorkerProcess};
pub use spawn::{Program, SpawnError, Spawned, spawn};
