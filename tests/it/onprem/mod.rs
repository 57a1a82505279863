//! The onprem collector against a real OpenSSH server.

mod collect;
mod directory;
mod faults;
mod unseen;
