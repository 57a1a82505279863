//! Waiting for what happens in another process.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::core::HANG_GUARD;

/// Between two looks: a look costs the processes that are waited for what they need to go on.
const PAUSE: Duration = Duration::from_millis(30);

/// Looks until something is found; `None` if that takes too long.
///
/// Only for what another process does and says to nobody: the content of a file, the process table, a page that has to
/// be asked for. Whatever sends an event is waited for without it.
pub async fn poll<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(PAUSE).await;
        }
    };
    timeout(HANG_GUARD, search).await.ok()
}

/// The same for something that is so or not; whether it came to be so.
pub async fn becomes(mut is_so: impl AsyncFnMut() -> bool) -> bool {
    poll(async || is_so().await.then_some(())).await.is_some()
}
