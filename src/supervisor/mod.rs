//! The supervisor: decides what runs, and has it done.

pub mod event;
pub mod policy;
pub mod report;
mod run;
pub mod state;
#[cfg(test)]
mod state_tests;
