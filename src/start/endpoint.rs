//! The web endpoint while the program runs.

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::WEB_CLOSE;
use crate::web::{self, WebState};

/// The web endpoint while it runs.
pub(super) struct Web {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Web {
    pub(super) fn start(limits: web::Limits, listener: TcpListener, path: String, state: WebState) -> Self {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving health, metrics and jobs");
        }
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(web::serve(limits, listener, path, state, async {
            // Either way it is over.
            let _ = stopped.await;
        }));
        Self { task, stop }
    }

    pub(super) async fn end(self) {
        drop(self.stop);
        // Requests that are still open then are cut.
        let _ = timeout(WEB_CLOSE, self.task).await;
    }
}
