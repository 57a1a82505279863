//! The GCP collector against a local Google API server.

mod canned;
mod client;
mod collect;
mod faults;
mod requests;
mod unseen;
