//! The GCP collector: the projects that its credentials see, one unit each.

pub mod client;
