//! Delivery of a graph to ckcore: create the graph, update the model, merge.
//!
//! Each step is tried again while the core's refusal may pass and the deadline allows; a refusal that cannot pass ends
//! the delivery with the core's words. The body is streamed in chunks and made anew for each attempt, so nothing of the
//! graph has to be in memory; an attempt that is broken off merges nothing.

mod body;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::watch;

pub use self::body::{Body, Chunks};
use crate::ckcore::{Backoff, CoreApi, CoreError, MergeOrder, MergeReport};

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
    /// The delivery was called off.
    #[error("the delivery of the graph was cancelled")]
    Cancelled,
}

/// Delivers a graph and its model, a JSON list of kinds. Ends as soon as `cancel` turns true.
///
/// # Errors
/// See [`UploadError`].
pub async fn upload(
    api: &CoreApi,
    body: Arc<dyn Body>,
    model: Vec<u8>,
    deadline: Instant,
    mut cancel: watch::Receiver<bool>,
) -> Result<MergeReport, UploadError> {
    let upload = async {
        prepare(api, model, deadline).await?;
        merge_one(api, body, None, deadline).await
    };
    tokio::select! {
        result = upload => result,
        () = cancelled(&mut cancel) => Err(UploadError::Cancelled),
    }
}

/// Creates the graph and updates the model, a JSON list of kinds.
///
/// # Errors
/// See [`UploadError`].
pub async fn prepare(api: &CoreApi, model: Vec<u8>, deadline: Instant) -> Result<(), UploadError> {
    let model = Bytes::from(model);
    attempts(deadline, || async { Ok(api.create_graph().await?) }).await?;
    attempts(deadline, || async { Ok(api.update_model(model.clone()).await?) }).await
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
    attempts(deadline, || merge(api, Arc::clone(&body), task, deadline)).await
}

async fn cancelled(cancel: &mut watch::Receiver<bool>) {
    if cancel.wait_for(|cancel| *cancel).await.is_err() {
        // Nobody is left who could cancel.
        std::future::pending::<()>().await;
    }
}

async fn merge(
    api: &CoreApi,
    body: Arc<dyn Body>,
    task: Option<&str>,
    deadline: Instant,
) -> Result<MergeReport, Failed> {
    let (nodes, edges) = (body.nodes(), body.edges());
    let (chunks, broken) = body::stream(body);
    let limit = deadline.saturating_duration_since(Instant::now()).min(MERGE_LIMIT);
    match api.merge(chunks, &MergeOrder { nodes, edges, task, limit }).await {
        Ok(report) => Ok(report),
        // The core sees only a request that was broken off; the reason is ours.
        Err(error) => Err(broken.reason().map_or(Failed::Core(error), Failed::Body)),
    }
}

/// Why an attempt failed.
enum Failed {
    Core(CoreError),
    Body(String),
}

impl From<CoreError> for Failed {
    fn from(error: CoreError) -> Self {
        Failed::Core(error)
    }
}

/// Makes attempts until one succeeds, one cannot be repeated, or no time is left.
async fn attempts<T, F: Future<Output = Result<T, Failed>>>(
    deadline: Instant,
    mut attempt: impl FnMut() -> F,
) -> Result<T, UploadError> {
    let mut backoff = Backoff::new(WAITS.0, WAITS.1);
    let mut refusal = None;
    for attempts in 1.. {
        let left = deadline.saturating_duration_since(Instant::now());
        let failed = match tokio::time::timeout(left, attempt()).await {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(failed)) => failed,
            // Why it had to be tried again says more than that the time was over then.
            Err(_) => Failed::Core(refusal.take().unwrap_or_else(|| CoreError::at_deadline("delivery of the graph"))),
        };
        let error = match failed {
            Failed::Body(reason) => return Err(UploadError::Body(reason)),
            Failed::Core(error) if !error.retryable => return Err(UploadError::Refused(error)),
            Failed::Core(error) => error,
        };
        let wait = backoff.next();
        if Instant::now() + wait >= deadline {
            return Err(UploadError::Deadline { attempts, last: error });
        }
        tracing::warn!(%error, attempts, wait_ms = wait.as_millis(), "the core did not take the graph, trying again");
        refusal = Some(error);
        tokio::time::sleep(wait).await;
    }
    // Only after more attempts than can be counted.
    Err(UploadError::Cancelled)
}
