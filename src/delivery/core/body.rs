//! The body of a merge: the trait of a graph, and a stream of chunks of a suitable size.
//!
//! Reading a body may mean reading files, so it happens on a thread of its own. A bounded queue makes that thread wait
//! for the network.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

/// The smallest size of a chunk in bytes, except for the last one.
const CHUNK_MIN: usize = 256 * 1024;

/// The largest size of a chunk in bytes.
const CHUNK_MAX: usize = 1024 * 1024;

/// The number of chunks that wait for the network.
const QUEUE: usize = 4;

/// Pieces of a body, of any size.
pub type Chunks<'a> = Box<dyn Iterator<Item = io::Result<Bytes>> + Send + 'a>;

/// A graph as lines of nodes and edges, each ended by a newline.
pub trait Body: Send + Sync + 'static {
    /// Returns the number of nodes.
    fn nodes(&self) -> u64;

    /// Returns the number of edges.
    fn edges(&self) -> u64;

    /// Returns all bytes, from the beginning at each call. The iterator may block.
    fn chunks(&self) -> Chunks<'_>;
}

/// The reason why a body ended early, once it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Option<String>>>);

impl Broken {
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// Streams a body. If reading fails, the stream ends with an error and the reason is in [`Broken`].
pub(super) fn stream(body: Arc<dyn Body>) -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Broken) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let broken = Broken::default();
    let reason = broken.clone();
    tokio::task::spawn_blocking(move || {
        for chunk in Resized::new(body.chunks()) {
            if let Err(error) = &chunk {
                reason.set(error.to_string());
            }
            // The request has ended when the receiver is dropped.
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    let chunks =
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) });
    (chunks, broken)
}

/// Joins small pieces and splits large ones.
struct Resized<'a> {
    pieces: Chunks<'a>,
    joined: BytesMut,
    ready: VecDeque<io::Result<Bytes>>,
    over: bool,
}

impl<'a> Resized<'a> {
    fn new(pieces: Chunks<'a>) -> Self {
        Self { pieces, joined: BytesMut::new(), ready: VecDeque::new(), over: false }
    }

    fn take(&mut self, mut piece: Bytes) {
        if self.joined.is_empty() && piece.len() >= CHUNK_MIN {
            while piece.len() > CHUNK_MAX {
                self.ready.push_back(Ok(piece.split_to(CHUNK_MAX)));
            }
            if piece.len() >= CHUNK_MIN {
                self.ready.push_back(Ok(piece));
                return;
            }
        }
        while !piece.is_empty() {
            let part = piece.split_to(piece.len().min(CHUNK_MAX - self.joined.len()));
            self.joined.extend_from_slice(&part);
            if self.joined.len() >= CHUNK_MIN {
                self.ready.push_back(Ok(self.joined.split().freeze()));
            }
        }
    }
}

impl Iterator for Resized<'_> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.over {
            match self.pieces.next() {
                Some(Ok(piece)) => self.take(piece),
                Some(Err(error)) => {
                    self.over = true;
                    // The joined pieces are dropped, because the request fails anyway.
                    return Some(Err(error));
                }
                None => {
                    self.over = true;
                    let last = self.joined.split().freeze();
                    return (!last.is_empty()).then_some(Ok(last));
                }
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn resize(sizes: &[usize]) -> Vec<Bytes> {
        let pieces: Vec<_> = sizes.iter().zip(0u8..).map(|(size, fill)| Ok(Bytes::from(vec![fill; *size]))).collect();
        Resized::new(Box::new(pieces.into_iter())).map(Result::unwrap).collect()
    }

    #[test]
    fn chunks_have_a_good_size_and_lose_nothing() {
        for sizes in [
            &[][..],
            &[1],
            &[0, 5, 0],
            &[1; 200],
            &[CHUNK_MIN],
            &[100, CHUNK_MAX],
            &[5 * CHUNK_MAX + 7, 3],
            &[CHUNK_MIN - 1, CHUNK_MAX + 1, 9],
        ] {
            let chunks = resize(sizes);
            let whole: Vec<u8> = sizes.iter().zip(0u8..).flat_map(|(size, fill)| vec![fill; *size]).collect();
            assert!(chunks.concat() == whole, "{sizes:?}");
            let (last, others) = chunks.split_last().map_or((0, &[][..]), |(last, others)| (last.len(), others));
            assert!(last <= CHUNK_MAX && others.iter().all(|chunk| (CHUNK_MIN..=CHUNK_MAX).contains(&chunk.len())));
        }
    }

    #[test]
    fn body_ends_after_an_error() {
        let pieces = vec![Ok(Bytes::from_static(b"x")), Err(io::Error::other("gone")), Ok(Bytes::from_static(b"y"))];
        let chunks: Vec<_> = Resized::new(Box::new(pieces.into_iter())).collect();
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].as_ref().unwrap_err().to_string(), "gone");
    }
}
