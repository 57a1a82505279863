//! The GitHub collector: repositories, organizations and users, and what belongs to them.
//!
//! It is written in `definitions/github.toml`, but for the list of `repositories`, which are named by options, patterns
//! and old names, and for the tokens of an `app`. `kinds.json` has the kinds of the Python worker.

mod app;
mod repositories;

use crate::{
    graph::KindFile,
    rest::{RestCollector, code::Code},
};

/// The GitHub collector.
pub static GITHUB: RestCollector = RestCollector::with_code(
    "github",
    &[("github.toml", include_str!("definitions/github.toml"))],
    KindFile { plugin: "github", json: include_str!("kinds.json") },
    Code { operations: &[("repositories", repositories::list)], token: Some(app::token) },
);
