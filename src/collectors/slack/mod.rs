//! The Slack collector: the users, groups of users and conversations of a workspace.
//!
//! It is written in `definitions/slack.toml`; `kinds.json` has the kinds of the Python worker.

use crate::{graph::KindFile, rest::RestCollector};

/// The Slack collector.
pub static SLACK: RestCollector = RestCollector::new(
    "slack",
    &[("slack.toml", include_str!("definitions/slack.toml"))],
    KindFile { plugin: "slack", json: include_str!("kinds.json") },
    &[],
);
