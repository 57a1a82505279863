//! The GCP collector: its client and its credentials against a local Google API server.

mod canned;
mod client;
mod credentials;
mod faults;
mod requests;
