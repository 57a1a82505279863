//! What several areas of the integration tests share.

pub mod aws;
pub mod both;
pub mod canned;
pub mod client;
pub mod compare;
pub mod core;
pub mod core4;
pub mod daemon;
pub mod gcp;
pub mod graph;
pub mod k8s;
pub mod poll;
pub mod program;
pub mod proxy;
pub mod puppet;
pub mod saas;
pub mod ssh;
pub mod tls;
pub mod vsphere;
