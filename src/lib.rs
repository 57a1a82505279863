//! ckworker: Cloudkeeper's worker as a library, so that its parts can be tested and measured one by one.
//!
//! Data flows one way: `ckcore` (or a one-shot command) sends actions to the `supervisor`, which has `process` start
//! workers. Inside a child, `worker` runs one of the `collectors`, whose nodes return as frames, are merged by `graph`
//! and delivered by `delivery`. A module imports only modules below it; `docs/architecture.md` has the order.

pub mod actions;
pub mod certificates;
pub mod ckcore;
pub mod cli;
pub mod collector_api;
pub mod collectors;
pub mod delivery;
pub mod engine;
pub mod graph;
pub mod process;
pub mod report;
pub mod rest;
pub mod settings;
pub mod start;
pub mod supervisor;
pub mod telemetry;
pub mod web;
pub mod worker;
