//! The GCP collector against a local Google API server.

mod cleanup;
mod client;
mod collect;
mod credentials;
mod everything;
mod faults;
mod hooks;
mod plan;
mod requests;
mod scene;
mod tags;
mod unseen;
