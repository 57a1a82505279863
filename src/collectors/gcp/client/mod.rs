//! The client for all of Google's APIs, driven by compact models of them.

mod token;

pub use token::{Token, TokenSource};
