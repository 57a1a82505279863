//! The GCP collector: its client and its changes, against a local Google API server.

mod canned;
mod cleanup;
mod client;
mod everything;
mod faults;
mod requests;
mod scene;
mod tags;
