//! The supervisor.

pub mod report;
