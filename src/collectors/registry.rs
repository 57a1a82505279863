//! The closed set of collectors.

use super::{Collector, aws::Aws, example::Example};

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
