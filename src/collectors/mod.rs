//! The closed set of collectors.

pub mod aws;
pub mod example;

use self::{aws::Aws, example::Example};
use crate::collector_api::Collector;

/// All collectors, in the order in which they are listed to users.
#[must_use]
pub fn all() -> &'static [&'static dyn Collector] {
    &[&Aws, &Example]
}

/// The collector of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Collector> {
    all().iter().copied().find(|collector| collector.name() == name)
}
