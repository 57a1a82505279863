//! The vSphere collector against a local vSphere API server.

mod change;
mod collect;
mod sessions;
mod unseen;
