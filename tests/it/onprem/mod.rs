//! The onprem collector against a real OpenSSH server.

mod collect;
mod faults;
mod unseen;
