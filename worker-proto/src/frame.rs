//! Length-prefixed frames over any asynchronous reader and writer.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{MAX_FRAME, ProtoError};

/// The bytes of an announced frame that are allocated before any of them has arrived.
const FIRST_ALLOCATION: usize = 64 * 1024;

/// Reads frames. Must not be used after an error.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Creates a reader of frames from `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, buffer: Vec::new() }
    }

    /// Returns the bytes of the next frame, or `None` if the stream ended between two frames.
    ///
    /// Not cancel-safe: a dropped read leaves the stream inside a frame.
    ///
    /// # Errors
    /// [`ProtoError::TooLarge`] before anything is allocated, [`ProtoError::Truncated`] if the stream ended inside a
    /// frame, [`ProtoError::Io`] if reading failed.
    pub async fn read(&mut self) -> Result<Option<&[u8]>, ProtoError> {
        let Some(length) = self.length().await? else { return Ok(None) };
        if length > MAX_FRAME {
            return Err(ProtoError::TooLarge { length, maximum: MAX_FRAME });
        }
        self.buffer.clear();
        self.buffer.reserve(length.min(FIRST_ALLOCATION));
        let mut body = (&mut self.inner).take(length as u64);
        while self.buffer.len() < length {
            if body.read_buf(&mut self.buffer).await? == 0 {
                return Err(ProtoError::Truncated);
            }
        }
        Ok(Some(&self.buffer))
    }

    async fn length(&mut self) -> Result<Option<usize>, ProtoError> {
        let mut prefix = [0; 4];
        let mut filled = 0;
        while filled < prefix.len() {
            match self.inner.read(&mut prefix[filled..]).await? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(ProtoError::Truncated),
                read => filled += read,
            }
        }
        Ok(Some(u32::from_le_bytes(prefix) as usize))
    }
}

/// Writes frames. Must not be used after an error.
#[derive(Debug)]
pub struct FrameWriter<W> {
    inner: W,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Creates a writer of frames to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Writes one frame and flushes it.
    ///
    /// # Errors
    /// [`ProtoError::TooLarge`] with nothing written, [`ProtoError::Io`] if writing failed.
    pub async fn write(&mut self, body: &[u8]) -> Result<(), ProtoError> {
        let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MAX_FRAME);
        let Some(length) = length else {
            return Err(ProtoError::TooLarge { length: body.len(), maximum: MAX_FRAME });
        };
        self.inner.write_all(&length.to_le_bytes()).await?;
        self.inner.write_all(body).await?;
        self.inner.flush().await?;
        Ok(())
    }
}
