//! Errors of a pipe.

use std::io;

use thiserror::Error;

/// An error while reading or writing frames. None of them is retryable: a half-read or half-written pipe is never used
/// again.
#[derive(Debug, Error)]
pub enum ProtoError {
    /// The peer announced a frame above the maximum. Nothing was allocated for the frame.
    #[error("frame of {length} bytes exceeds the maximum of {maximum}")]
    TooLarge {
        /// The announced length in bytes.
        length: usize,
        /// The maximum in bytes.
        maximum: usize,
    },
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame")]
    Truncated,
    /// The bytes of a frame are not a message of this protocol.
    #[error("frame is not a message: {0}")]
    Malformed(String),
    /// The peer uses another version of the protocol.
    #[error("peer speaks protocol version {theirs}, this is version {ours}: the binary was replaced while running")]
    Version {
        /// The version of this side.
        ours: u32,
        /// The version of the peer.
        theirs: u32,
    },
    /// Reading or writing the pipe failed.
    #[error("pipe: {0}")]
    Io(#[from] io::Error),
}
