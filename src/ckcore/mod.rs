//! The connection to ckcore.
