//! The HTTP endpoint: health, readiness, metrics and the state of every job.
//!
//! The endpoint reads published snapshots and the metrics, and changes nothing. Everything about a client is bounded:
//! the number of waiting and of served connections, the size of a request's head, and the time from connection to
//! response. A connection carries one request. Probes have their own limit. [`bind`] is called early at start-up, so
//! that an occupied port ends the program before any work begins.

mod listen;
mod pages;
mod serve;
#[cfg(test)]
mod tests;

pub use self::{
    listen::{WebError, bind},
    serve::{Limits, WebState, serve, usual_descriptors},
};
