//! What several areas of the integration tests share.

pub mod compare;
