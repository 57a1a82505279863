//! The worker at the other end: a process, or a thread of this one.

use std::{io, pin::Pin, thread, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, duplex, split},
    process::ChildStderr,
    sync::oneshot,
    time::timeout,
};

use super::LinkContext;
use crate::{
    process::{self, ExitReason, WorkerProcess},
    supervisor::event::AttemptSpec,
    worker,
};

/// Bytes that may wait between two ends in one process.
const INSIDE_BUFFER: usize = 512 * 1024;
/// How long a thread may take to notice that its stream ended.
const THREAD_PATIENCE: Duration = Duration::from_secs(2);

/// A started worker: its streams and its owner.
pub(super) struct Peer {
    pub(super) reader: Pin<Box<dyn AsyncRead + Send>>,
    pub(super) writer: Pin<Box<dyn AsyncWrite + Send>>,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) body: Body,
}

/// What has to be ended.
pub(super) enum Body {
    /// A process, with its group.
    Process(WorkerProcess),
    /// A thread, which ends when its streams do.
    Thread(Option<oneshot::Receiver<ExitReason>>),
}

/// Starts the worker of a job.
pub(super) fn start(order: &AttemptSpec, context: &LinkContext) -> io::Result<Peer> {
    if order.process {
        let spawned = process::spawn(&context.program).map_err(io::Error::other)?;
        let (reader, writer) = spawned.frames.into_split();
        Ok(Peer {
            reader: Box::pin(reader),
            writer: Box::pin(writer),
            stderr: spawned.stderr,
            body: Body::Process(spawned.process),
        })
    } else {
        start_thread(order, context)
    }
}

/// One thread with a runtime of its own, so that a collector that computes for long delays nobody else.
fn start_thread(order: &AttemptSpec, context: &LinkContext) -> io::Result<Peer> {
    let (ours, theirs) = duplex(INSIDE_BUFFER);
    let (ended, end) = oneshot::channel();
    let find = context.find;
    thread::Builder::new().name(order.collector.into()).spawn(move || {
        let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let (reader, writer) = split(theirs);
                let result = runtime.block_on(worker::run(reader, writer, &find, worker::Place::Inside));
                if let Err(error) = &result {
                    tracing::debug!(peer = "worker", %error, "a worker inside this process ended early");
                }
                i32::from(if result.is_ok() { worker_proto::EXIT_FINISHED } else { worker_proto::EXIT_BROKEN })
            }
            Err(error) => {
                tracing::error!(peer = "worker", %error, "cannot start a runtime");
                i32::from(worker_proto::EXIT_BROKEN)
            }
        };
        // A link that no longer waits has said why.
        let _ = ended.send(ExitReason::Code(code));
    })?;
    let (reader, writer) = split(ours);
    let body = Body::Thread(Some(end));
    Ok(Peer { reader: Box::pin(reader), writer: Box::pin(writer), stderr: None, body })
}

impl Body {
    /// The process id, if it is a process.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => Some(process.pid()),
            Self::Thread(_) => None,
        }
    }

    /// Waits until it has ended by itself. Safe to cancel.
    pub(super) async fn wait(&mut self) -> ExitReason {
        match self {
            Self::Process(process) => process.wait().await,
            // A thread that panicked drops its sender.
            Self::Thread(Some(end)) => {
                let reason = end.await.unwrap_or(ExitReason::Code(i32::from(worker_proto::EXIT_PANICKED)));
                *self = Self::Thread(None);
                reason
            }
            Self::Thread(None) => ExitReason::Lost,
        }
    }

    /// Ends it: a process by TERM, grace and KILL, a thread by the end of its streams, which the caller has dropped.
    pub(super) async fn stop(&mut self, grace: Duration) -> ExitReason {
        match self {
            Self::Process(process) => process.stop(grace).await,
            Self::Thread(_) => timeout(THREAD_PATIENCE, self.wait()).await.unwrap_or(ExitReason::Lost),
        }
    }
}
