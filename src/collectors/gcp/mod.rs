//! The GCP collector: the projects that its credentials see, one unit each.

mod account;
pub mod client;
mod cloud;
mod definitions;
mod hooks;
