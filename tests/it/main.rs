//! The integration tests: one binary, a module for each area.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod aws;
mod cli;
mod compliance;
mod core;
mod engine;
mod gcp;
mod k8s;
mod onprem;
mod rest;
mod supervisor;
mod support;
mod tidy;
mod vsphere;
