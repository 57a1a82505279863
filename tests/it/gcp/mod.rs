//! The GCP collector: its client against a local Google API server.

mod canned;
mod client;
mod faults;
mod requests;
