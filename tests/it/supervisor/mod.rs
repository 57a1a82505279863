//! The supervisor with real child processes: misbehaving workers, external ends, cleanups, and the example collector.

mod actions;
mod cleanup;
mod endings;
mod example;
mod one_bound;
mod operate;
mod supervision;
mod unnamed;
