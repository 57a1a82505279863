//! The connection to a core: the test core, which stands for core 2.0, and the real core 4.1.

mod accounts;
mod connection;
mod core4;
mod daemon;
mod peers;
mod queue;
mod recorded;
mod tls;
mod upload;
