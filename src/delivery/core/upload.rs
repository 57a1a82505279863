//! Delivery of a graph to ckcore: create the graph, update the model, merge.
//!
//! Each step is retried while its error is transient and the deadline allows. A permanent error ends the delivery with
//! the core's message. The body is streamed in chunks and read again for each attempt, so no part of the graph has to
//! be in memory. An aborted attempt merges nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;

use super::body::{self, Body};
use crate::ckcore::{CoreApi, CoreError, MergeReport, MergeRequest, retry};

/// The first and the longest pause between attempts.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The timeout of one merge. The core itself cancels a merge after an hour.
const MERGE_LIMIT: Duration = Duration::from_secs(3700);

/// The graph did not reach the core, or the outcome is unknown.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The core rejected the request permanently. The message is for the result of the action.
    #[error("{0}")]
    Refused(CoreError),
    /// The deadline passed; the last error has the cause.
    #[error("the graph could not be delivered in time, tried {attempts} times: {last}")]
    Deadline {
        /// The number of attempts of the failed step.
        attempts: u32,
        /// The error of the last attempt.
        last: CoreError,
    },
    /// The graph could not be read from the spool.
    #[error("the collected graph could not be read: {0}")]
    Body(String),
}

/// Delivers a graph and its model, a JSON list of kinds. Dropping the future cancels the delivery.
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

/// Delivers one merge, after [`prepare`]. With the task of its action, a core that supports it merges after the
/// delivery, and the report is empty.
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

/// Makes one attempt. The inner error is the reason why the body could not be read, which is permanent.
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
        // The core sees only an aborted request; the reason is known here.
        Err(error) => broken.reason().map_or(Err(error), |reason| Ok(Err(reason))),
    }
}

/// Makes attempts until one succeeds, one fails permanently, or no time is left.
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
