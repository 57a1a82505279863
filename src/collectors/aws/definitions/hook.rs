//! Hooks of collection: values that code adds, for what calls alone cannot express.

use serde::Deserialize;

/// Code that adds values to the items of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hook {
    /// Facts from the price list about instance types; sends the nodes of the types.
    InstanceType,
    /// Sends the nodes of volume types.
    VolumeType,
    /// The times of a volume's last read and write.
    VolumeUse,
    /// The time of the last connection to a database.
    DatabaseUse,
    /// The instances of a target group.
    Targets,
    /// The instances behind a load balancer.
    Backends,
}

impl Hook {
    /// Returns its name in paths and the names of its values.
    pub(crate) fn values(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::InstanceType => ("instance_type", &["cores", "memory"]),
            Self::VolumeType => ("volume_type", &[]),
            Self::VolumeUse => ("volume_use", &["read", "written"]),
            Self::DatabaseUse => ("database_use", &["connected"]),
            Self::Targets => ("targets", &["instances"]),
            Self::Backends => ("backends", &["instances"]),
        }
    }
}
