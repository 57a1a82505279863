//! The GCP collector: the projects that its credentials see, one unit each.

mod account;
pub mod client;
mod cloud;
mod credential;
mod definitions;
mod hooks;
mod key;
mod metadata;
mod options;
mod source;
