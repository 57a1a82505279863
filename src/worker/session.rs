//! One session: handshake, job, frames in both directions, end.

use std::{collections::VecDeque, future::pending, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep_until, timeout},
};
use worker_proto::{
    Event, Failure, FailureKind, FrameReader, FrameWriter, FromWorker, Job, Operation, PROTOCOL_VERSION, ProtoError,
    ToWorker, decode_to_worker, encode_from_worker,
};

use super::{
    job::{self, Find, Links},
    pending_requests::PendingRequests,
};
use crate::{
    collector_api::{BoxFuture, Request, TICK, Waits},
    process::guard,
    telemetry::WorkerLog,
};

/// The timeout for the greeting and for the job.
const GREETING: Duration = Duration::from_secs(30);
/// The interval of `Alive` frames. The supervisor kills a worker after a minute without a frame, so an overloaded
/// machine may delay eleven of them; a shorter interval would wake hundreds of idle workers.
const ALIVE: Duration = TICK;
/// The capacity of the request queue.
const QUESTIONS: usize = 64;
/// The capacity of the frame queue; each frame is at most about a batch.
const QUEUE: usize = 8;
/// The capacity of the log queue; further lines and measurements are dropped.
const LOG_QUEUE: usize = 256;
/// The capacity of the operation queue; the supervisor has fewer open.
const OPERATIONS: usize = 256;
/// The timeout for writing the last frames.
const LAST_FRAMES: Duration = Duration::from_secs(10);

/// The isolation of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A process: limits apply, and log lines are sent as frames.
    Process,
    /// A thread of the supervisor's process.
    Thread,
}

/// A session failed. Results of its job were sent as frames before.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The stream of frames broke.
    #[error(transparent)]
    Protocol(#[from] ProtoError),
    /// A frame did not arrive in time.
    #[error("no {0} within {1:?}")]
    Silence(&'static str, Duration),
    /// An unexpected frame arrived.
    #[error("expected {0}")]
    Unexpected(&'static str),
    /// The supervisor closed the connection before it sent the job.
    #[error("the supervisor closed the connection")]
    Gone,
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs one session to its end.
///
/// # Errors
/// If a stream breaks or the supervisor violates the protocol. A failed job is sent as a frame.
pub async fn run<R, W>(reader: R, writer: W, find: Find<'_>, isolation: Isolation) -> Result<(), SessionError>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut writer = FrameWriter::new(writer);
    writer.write(&encode_from_worker(&FromWorker::Ready { version: PROTOCOL_VERSION })?).await?;
    let mut incoming = Incoming::start(reader);
    let ToWorker::Hello { memory_limit, .. } = incoming.first("greeting").await? else {
        return Err(SessionError::Unexpected("a greeting first"));
    };
    if isolation == Isolation::Process {
        guard::limit_memory(memory_limit);
    }
    let ToWorker::Job(job) = incoming.first("job").await? else {
        return Err(SessionError::Unexpected("a job after the greeting"));
    };
    let (out, frames) = mpsc::channel(QUEUE);
    let (log, events) = mpsc::channel(LOG_QUEUE);
    let libraries = find(&job).map_or(&[][..], |collector| collector.library_levels());
    let _log = (isolation == Isolation::Process).then(|| WorkerLog::init(job.level, libraries, log.clone()));
    drop(log);
    let waits = Waits::default();
    let writing = tokio::spawn(write_frames(writer, frames, events, waits.clone()));
    let result = drive(&mut incoming, &out, waits, job, find).await?;
    end(result, out, writing).await
}

/// Serves the job until it ends, is cancelled, or has used its time.
///
/// No branch of the loop waits for anything: the job is polled here, so a wait in another branch would stop it, and
/// what the job holds by then would never be released.
async fn drive(
    incoming: &mut Incoming,
    out: &mpsc::Sender<FromWorker>,
    waits: Waits,
    job: Job,
    find: Find<'_>,
) -> Result<Result<(), Failure>, SessionError> {
    let deadline = Instant::now() + Duration::from_millis(job.soft_deadline_ms);
    let (requests, mut asked) = mpsc::channel::<Request>(QUEUE);
    let (orders, operations) = mpsc::channel(OPERATIONS);
    let mut orders = Some(orders);
    let links = Links { requests, operations, out: out.clone(), waits: waits.clone() };
    let work = job::run(Arc::new(job), find, links, deadline);
    tokio::pin!(work);
    let mut pending = PendingRequests::default();
    let mut questions = Questions::new(out.clone());
    let mut beat = interval(ALIVE);
    loop {
        tokio::select! {
            result = &mut work => return Ok(result),
            Some(request) = asked.recv(), if questions.have_room() => questions.extend(pending.take(request)),
            () = questions.send_next() => {}
            frame = incoming.next() => match frame? {
                Some(ToWorker::Credentials { unit, credentials }) => {
                    questions.extend(pending.credentials(unit, &credentials));
                }
                Some(ToWorker::Shared { key, value }) => pending.shared(&key, value),
                Some(ToWorker::Operate(operation)) => hand_over(orders.as_ref(), operation)?,
                Some(ToWorker::Finish) => orders = None,
                Some(ToWorker::Cancel) => return Ok(Err(cancelled_because("the supervisor cancelled the job"))),
                Some(ToWorker::Hello { .. } | ToWorker::Job(_)) => {
                    return Err(SessionError::Unexpected("credentials, cancel, or an operation"));
                }
                None => return Err(SessionError::Gone),
            },
            () = sleep_until(deadline) => return Ok(Err(cancelled_because("its time was over (see --timeout)"))),
            _ = beat.tick() => waits.beat(),
        }
    }
}

/// Sends the last frame, after all others. The job was dropped before: it may have held room in the queue.
async fn end(
    result: Result<(), Failure>,
    out: mpsc::Sender<FromWorker>,
    writing: JoinHandle<Result<(), ProtoError>>,
) -> Result<(), SessionError> {
    let last = match result {
        Ok(()) => FromWorker::Done,
        Err(failure) => FromWorker::Failed(failure),
    };
    let ending = async {
        // If the writer is gone, its own error is the better one.
        let _ = out.send(last).await;
        drop(out);
        writing.await.map_err(std::io::Error::other)?.map_err(SessionError::from)
    };
    timeout(LAST_FRAMES, ending).await.map_err(|_| SessionError::Silence("room for the last frames", LAST_FRAMES))?
}

/// Questions on their way to the supervisor, in order. They share the queue of frames, as a question about a unit must
/// not overtake the frame that begins it.
struct Questions {
    out: mpsc::Sender<FromWorker>,
    waiting: VecDeque<FromWorker>,
    /// The place in the queue for the first of them; kept while other branches of the session run.
    room: Option<Room>,
}

type Room = BoxFuture<'static, Result<mpsc::OwnedPermit<FromWorker>, mpsc::error::SendError<()>>>;

impl Questions {
    fn new(out: mpsc::Sender<FromWorker>) -> Self {
        Self { out, waiting: VecDeque::new(), room: None }
    }

    fn have_room(&self) -> bool {
        self.waiting.len() < QUESTIONS
    }

    fn extend(&mut self, question: Option<FromWorker>) {
        self.waiting.extend(question);
    }

    /// Queues the first question as soon as there is room; waits for ever if there is none. Safe to cancel.
    async fn send_next(&mut self) {
        if self.waiting.is_empty() {
            pending::<()>().await;
        }
        let room = self.room.get_or_insert_with(|| Box::pin(self.out.clone().reserve_owned()));
        let room = room.await;
        self.room = None;
        match (room, self.waiting.pop_front()) {
            (Ok(room), Some(question)) => drop(room.send(question)),
            // The writer has ended: so does the stream of requests, and with it the session.
            _ => self.waiting.clear(),
        }
    }
}

/// Gives an operation to the job; one that comes after the end or in a flood is a fault of the other side.
fn hand_over(orders: Option<&mpsc::Sender<Operation>>, operation: Operation) -> Result<(), SessionError> {
    let taken = orders.map(|orders| orders.try_send(operation));
    match taken {
        Some(Ok(())) => Ok(()),
        _ => Err(SessionError::Unexpected("no operation now")),
    }
}

fn cancelled_because(message: &str) -> Failure {
    Failure { kind: FailureKind::Cancelled, message: message.into() }
}

/// Messages to the worker, read by a task of their own because reading a frame must not be cut short.
struct Incoming {
    messages: mpsc::Receiver<Result<ToWorker, ProtoError>>,
    reading: JoinHandle<()>,
}

impl Incoming {
    fn start<R: AsyncRead + Unpin + Send + 'static>(reader: R) -> Self {
        let (sender, messages) = mpsc::channel(QUEUE);
        let reading = tokio::spawn(async move {
            let mut frames = FrameReader::new(reader);
            loop {
                let message = match frames.read().await {
                    Ok(Some(frame)) => decode_to_worker(frame),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let broken = message.is_err();
                if sender.send(message).await.is_err() || broken {
                    return;
                }
            }
        });
        Self { messages, reading }
    }

    /// The next message, `None` at the end of the stream. Safe to cancel.
    async fn next(&mut self) -> Result<Option<ToWorker>, ProtoError> {
        self.messages.recv().await.transpose()
    }

    async fn first(&mut self, what: &'static str) -> Result<ToWorker, SessionError> {
        match timeout(GREETING, self.next()).await {
            Ok(Ok(Some(message))) => Ok(message),
            Ok(Ok(None)) => Err(SessionError::Gone),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(SessionError::Silence(what, GREETING)),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// Writes frames, log events and signs of life. The last need no room in the queue: they say that it is full.
async fn write_frames<W: AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    mut frames: mpsc::Receiver<FromWorker>,
    mut events: mpsc::Receiver<Event>,
    waits: Waits,
) -> Result<(), ProtoError> {
    let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
    alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let frame = tokio::select! {
            Some(event) = events.recv() => FromWorker::Event(event),
            frame = frames.recv() => match frame {
                Some(frame) => frame,
                None => return Ok(()),
            },
            _ = alive.tick() => FromWorker::Alive(waits.tick(frames.capacity() == 0)),
        };
        let last = matches!(frame, FromWorker::Done | FromWorker::Failed(_));
        if last {
            while let Ok(event) = events.try_recv() {
                writer.write(&encode_from_worker(&FromWorker::Event(event))?).await?;
            }
        }
        writer.write(&encode_from_worker(&frame)?).await?;
        if last {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
