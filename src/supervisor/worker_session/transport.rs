//! Transport to one worker: starts it as a process or as a thread, and moves frames from and to it.

use std::{io, pin::Pin, sync::Arc, thread, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite, duplex, split},
    process::ChildStderr,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use worker_proto::{
    FrameReader, FrameWriter, FromWorker, Job, ProtoError, ToWorker, decode_from_worker, encode_to_worker,
};

use super::SessionContext;
use crate::{
    process::{self, ExitReason, WorkerProcess},
    supervisor::event::AttemptSpec,
    telemetry::Metrics,
    worker,
};

/// Bytes that may wait between two ends in one process.
const INSIDE_BUFFER: usize = 512 * 1024;
/// How long a thread may take to notice that its stream ended.
const THREAD_EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Frames of the worker that may wait: few, as each may be as large as a frame can be and takes more when decoded.
const IN_QUEUE: usize = 1;
/// Messages to the worker that may wait: hello, job, and replies to its units.
const OUT_QUEUE: usize = 1024;

/// A started worker: its streams and its owner.
pub(super) struct Transport {
    pub(super) reader: Pin<Box<dyn AsyncRead + Send>>,
    pub(super) writer: Pin<Box<dyn AsyncWrite + Send>>,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) handle: WorkerHandle,
}

/// The owner of a process or thread.
pub(super) enum WorkerHandle {
    /// A process, with its group.
    Process(WorkerProcess),
    /// A thread, which ends when its streams do.
    Thread(Option<oneshot::Receiver<ExitReason>>),
}

/// Starts the worker of an attempt.
pub(super) fn start(spec: &AttemptSpec, context: &SessionContext) -> io::Result<Transport> {
    if spec.process {
        let spawned = process::spawn(&context.program).map_err(io::Error::other)?;
        let (reader, writer) = spawned.frames.into_split();
        Ok(Transport {
            reader: Box::pin(reader),
            writer: Box::pin(writer),
            stderr: spawned.stderr,
            handle: WorkerHandle::Process(spawned.process),
        })
    } else {
        start_thread(spec, context)
    }
}

/// Starts a thread with its own runtime, so that a collector that computes for long delays no other task.
fn start_thread(spec: &AttemptSpec, context: &SessionContext) -> io::Result<Transport> {
    let (ours, theirs) = duplex(INSIDE_BUFFER);
    let (ended, end) = oneshot::channel();
    let find = context.find;
    thread::Builder::new().name(spec.collector.into()).spawn(move || {
        let code = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let (reader, writer) = split(theirs);
                let find = |job: &Job| find(&job.collector);
                let result = runtime.block_on(worker::run(reader, writer, &find, worker::Isolation::Thread));
                if let Err(error) = &result {
                    tracing::debug!(peer = "worker", %error, "worker thread ended early");
                }
                i32::from(if result.is_ok() { worker_proto::EXIT_FINISHED } else { worker_proto::EXIT_BROKEN })
            }
            Err(error) => {
                tracing::error!(peer = "worker", %error, "cannot start a runtime");
                i32::from(worker_proto::EXIT_BROKEN)
            }
        };
        // The session has ended; the send error can be ignored.
        let _ = ended.send(ExitReason::Code(code));
    })?;
    let (reader, writer) = split(ours);
    let handle = WorkerHandle::Thread(Some(end));
    Ok(Transport { reader: Box::pin(reader), writer: Box::pin(writer), stderr: None, handle })
}

impl WorkerHandle {
    /// Returns the PID of a process.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::Process(process) => Some(process.pid()),
            Self::Thread(_) => None,
        }
    }

    /// Waits until the worker has exited by itself. Cancel safe.
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

    /// Stops the worker: a process by TERM, grace period and KILL, a thread by the end of its streams, which the caller
    /// has dropped.
    pub(super) async fn stop(&mut self, grace: Duration) -> ExitReason {
        match self {
            Self::Process(process) => process.stop(grace).await,
            Self::Thread(_) => timeout(THREAD_EXIT_TIMEOUT, self.wait()).await.unwrap_or(ExitReason::Lost),
        }
    }
}

/// Messages from the worker, read by a task of their own because reading a frame must not be cut short.
pub(super) type Frames = mpsc::Receiver<Result<FromWorker, ProtoError>>;

pub(super) fn read_frames<R: AsyncRead + Unpin + Send + 'static>(
    mut reader: FrameReader<R>,
    metrics: Arc<Metrics>,
) -> (Frames, JoinHandle<()>) {
    let (sender, frames) = mpsc::channel(IN_QUEUE);
    let reading = tokio::spawn(async move {
        loop {
            let message = match reader.read().await {
                Ok(Some(frame)) => {
                    metrics.frame("in", frame.len());
                    decode_from_worker(frame)
                }
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let broken = message.is_err();
            if sender.send(message).await.is_err() || broken {
                return;
            }
        }
    });
    (frames, reading)
}

pub(super) fn write_frames<W: AsyncWrite + Unpin + Send + 'static>(
    mut writer: FrameWriter<W>,
    metrics: Arc<Metrics>,
) -> (mpsc::Sender<ToWorker>, JoinHandle<()>) {
    let (out, mut messages) = mpsc::channel::<ToWorker>(OUT_QUEUE);
    let writing = tokio::spawn(async move {
        while let Some(message) = messages.recv().await {
            let Ok(frame) = encode_to_worker(&message) else { return };
            if writer.write(&frame).await.is_err() {
                return;
            }
            metrics.frame("out", frame.len());
        }
    });
    (out, writing)
}
