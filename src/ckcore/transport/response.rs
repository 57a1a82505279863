//! Responses of the core: bounded reading, and the errors of failed exchanges.

use std::{error::Error, time::Duration};

use reqwest::Response;

use super::tls;
use crate::ckcore::CoreError;

/// Reads the first `limit` bytes of a body.
pub async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while body.len() < limit
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    Ok(body)
}

/// Returns the error of a failed exchange.
pub fn failure(what: &'static str, limit: Duration, error: &reqwest::Error) -> CoreError {
    if error.is_timeout() && !error.is_connect() {
        return CoreError::timeout(what, limit);
    }
    if error.is_builder() {
        return CoreError::permanent(what, &causes(error));
    }
    CoreError::transport(what, &tls::explained(causes(error)))
}

/// Returns the message of an error with its causes.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
