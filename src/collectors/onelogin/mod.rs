//! The OneLogin collector: the users of an account.
//!
//! It is written in `definitions/onelogin.toml`, with one value of `hooks`; `kinds.json` has the kinds of the Python
//! worker.

mod hooks;

use crate::{graph::KindFile, rest::RestCollector};

/// The OneLogin collector.
pub static ONELOGIN: RestCollector = RestCollector::new(
    "onelogin",
    &[("onelogin.toml", include_str!("definitions/onelogin.toml"))],
    KindFile { plugin: "onelogin", json: include_str!("kinds.json") },
    &[&hooks::PASSWORD_AGE],
);
