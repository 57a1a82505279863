//! The streams of one worker: frames in, frames out, and what it prints.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use worker_proto::{FrameReader, FrameWriter, FromWorker, ProtoError, ToWorker, decode_from_worker, encode_to_worker};

use crate::telemetry::Metrics;

/// Frames of the worker that may wait: few, as each may be as large as a frame can be and takes more when decoded.
const QUEUE: usize = 1;
/// Messages to the worker that may wait: its greeting, its job, and answers to the units that run.
const OUT_QUEUE: usize = 1024;
/// How long a worker's streams may stay open once its process is gone.
pub(super) const AFTER_EXIT: Duration = Duration::from_secs(1);

/// Messages from the worker, read by a task of their own because reading a frame must not be cut short.
pub(super) type Frames = mpsc::Receiver<Result<FromWorker, ProtoError>>;

pub(super) fn read_frames<R: AsyncRead + Unpin + Send + 'static>(
    mut reader: FrameReader<R>,
    metrics: Arc<Metrics>,
) -> (Frames, JoinHandle<()>) {
    let (sender, frames) = mpsc::channel(QUEUE);
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

/// What the worker printed last; a stream that stays open belongs to something that it left behind.
pub(super) async fn last_line(stderr: Option<JoinHandle<String>>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    match timeout(AFTER_EXIT, &mut stderr).await {
        Ok(line) => line.unwrap_or_default(),
        Err(_) => {
            stderr.abort();
            tracing::warn!(peer = "worker", "a worker left a process behind that holds its standard error open");
            String::new()
        }
    }
}
