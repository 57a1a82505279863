//! Credentials of all kinds, from their files.
