//! Child processes: spawn, terminate, reap.
//!
//! # Theory of operation
//!
//! A worker is this very binary, started again through `/proc/self/exe` with the hidden command `worker`. The
//! standard library spawns it without a copy of the parent's memory as long as nothing is asked to run between fork and
//! exec; so everything else (limits, death signal, moving descriptors) is done by the child itself, first thing in
//! [`guard`].
//!
//! The frames go over one socket pair, which is the child's standard input and output. Both ends are close-on-exec, so
//! no other child holds them, and the child sees the end of the stream as soon as the supervisor lets go of it.
//!
//! A [`WorkerProcess`] owns its child: the child leads its own process group, dropping the owner kills the group, and
//! nobody else waits for the child's pid. What a worker leaves behind outside of its group is adopted by the
//! supervisor and swept by [`reaper`].
//!
//! # Invariants
//!
//! * every child is a group leader and is owned by exactly one value;
//! * the group is signalled only while its leader is not yet reaped, or directly afterwards;
//! * no environment variable reaches a child that is not on the list in [`environment`].

mod child;
pub mod descriptors;
pub mod environment;
pub mod guard;
pub mod reaper;
mod spawn;

pub use child::{ExitReason, StopReason, WorkerProcess};
pub use spawn::{Program, SpawnError, Spawned, spawn};
