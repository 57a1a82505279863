//! The integration tests: one binary, one module per area.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod aws_core4;
mod aws_faults;
mod aws_roles;
mod aws_settings;
mod ckcore;
mod cleanup;
mod cleanup_aws;
mod cli;
mod collect;
mod core4;
mod daemon;
mod endings;
mod exposed;
mod graph;
mod operate;
mod peers;
mod queue;
mod shapes;
mod supervision;
mod support;
mod tags;
mod test_core;
mod tidy;
mod tls;
mod unseen;
mod upload;
