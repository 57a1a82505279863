//! The Kubernetes collector against a local API server.

mod changes;
mod collect;
mod faults;
mod graph;
mod logins;
mod served;
mod unseen;
