//! Delivery of a graph to ckcore: create the graph, update the model, merge.
//!
//! Each step is tried again while the core's refusal may pass and the deadline allows; a refusal that cannot pass ends
//! the delivery with the core's words. The body is streamed in chunks and made anew for each attempt, so nothing of the
//! graph has to be in memory; an attempt that is broken off merges nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;

use super::body::{self, Body};
use crate::ckcore::{CoreApi, CoreError, MergeReport, MergeRequest, retry};

/// The first wait before another attempt, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The longest that one merge may take. The core itself gives up after an hour.
const MERGE_LIMIT: Duration = Duration::from_secs(3700);

/// The graph did not reach the core, or it is not known whether it did.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The core refused for good. The text is for the answer to the action.
    #[error("{0}")]
    Refused(CoreError),
    /// The deadline came; the last refusal says what stood in the way.
    #[error("the graph could not be delivered in time, tried {attempts} times: {last}")]
    Deadline {
        /// How many attempts of the step that failed were made.
        attempts: u32,
        /// Why the last one failed.
        last: CoreError,
    },
    /// The graph could not be read from where it was put.
    #[error("the collected graph could not be read: {0}")]
    Body(String),
}

/// Delivers a graph and its model, a JSON list of kinds. Dropping the future ends the delivery.
///
/// # Errors
/// See [`UploadError`].
pub async fn upload(
    api: &CoreApi,
    body: Arc<dyn Body>,
    model: Vec<u8>,
    deadline: Instant,
) -> Result<MergeReport, UploadError> {
    prepare(api, model, deadline).await?;
    merge_one(api, body, None, deadline).await
}

/// Creates the graph and updates the model, a JSON list of kinds.
///
/// # Errors
/// See [`UploadError`].
pub async fn prepare(api: &CoreApi, model: Vec<u8>, deadline: Instant) -> Result<(), UploadError> {
    let model = Bytes::from(model);
    attempts(deadline, || api.create_graph()).await?;
    attempts(deadline, || api.update_model(model.clone())).await
}

/// Delivers one merge, after [`prepare`]. With the task of the action that it belongs to, a core that can do so merges
/// after the delivery, and the report is empty.
///
/// # Errors
/// See [`UploadError`].
pub async fn merge_one(
    api: &CoreApi,
    body: Arc<dyn Body>,
    task: Option<&str>,
    deadline: Instant,
) -> Result<MergeReport, UploadError> {
    let merged = attempts(deadline, || merge(api, Arc::clone(&body), task, deadline)).await?;
    merged.map_err(UploadError::Body)
}

/// One attempt; the inner error is why the body could not be read, which no other attempt changes.
async fn merge(
    api: &CoreApi,
    body: Arc<dyn Body>,
    task: Option<&str>,
    deadline: Instant,
) -> Result<Result<MergeReport, String>, CoreError> {
    let (nodes, edges) = (body.nodes(), body.edges());
    let (chunks, broken) = body::stream(body);
    let limit = deadline.saturating_duration_since(Instant::now()).min(MERGE_LIMIT);
    match api.merge(chunks, &MergeRequest { nodes, edges, task, limit }).await {
        Ok(report) => Ok(Ok(report)),
        // The core sees only a request that was broken off; the reason is ours.
        Err(error) => broken.reason().map_or(Err(error), |reason| Ok(Err(reason))),
    }
}

/// Makes attempts until one succeeds, one cannot be repeated, or no time is left.
async fn attempts<T, F: Future<Output = Result<T, CoreError>>>(
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, UploadError> {
    let mut attempts = 0;
    let counted = || {
        attempts += 1;
        attempt()
    };
    let result = retry(deadline, WAITS, "delivery of the graph", counted).await;
    result.map_err(|error| match error.retryable {
        true => UploadError::Deadline { attempts, last: error },
        false => UploadError::Refused(error),
    })
}
