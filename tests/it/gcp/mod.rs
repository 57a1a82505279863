//! The GCP collector against a local Google API server.

mod canned;
mod client;
mod collect;
mod credentials;
mod faults;
mod requests;
mod unseen;
