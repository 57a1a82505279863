//! The HTTP endpoint: health, readiness, metrics and the state of every job.
//!
//! It only reads: snapshots that others publish and the metrics. Everything about a client is bounded: how many wait and
//! how many are served at the same time, the size of a request's head, and the time from connection to answer; a connection
//! carries one request. Probes have places of their own. Where it listens is decided by [`bind`], early at start-up, so that an occupied port ends the program
//! before any work begins.

mod listen;
mod pages;
mod serve;
#[cfg(test)]
mod tests;

pub use self::{
    listen::{WebError, bind},
    serve::{Limits, WebState, serve, usual_descriptors},
};
