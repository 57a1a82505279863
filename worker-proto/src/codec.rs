//! The only module that names the serializer: bincode 1, fixed-size integers, little-endian.
//!
//! A decoder's limit is the size of its input, and trailing bytes are an error. So a damaged length can neither
//! allocate much nor pass unnoticed.

use bincode::Options;
use serde::{Serialize, de::DeserializeOwned};

use crate::{FromWorker, MAX_FRAME, PROTOCOL_VERSION, ProtoError, ToWorker};

/// The index of the first variant of both enums, the greeting with the version.
const HELLO: [u8; 4] = [0; 4];

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_limit(MAX_FRAME as u64).reject_trailing_bytes()
}

/// Encodes a message to a worker, without the length prefix.
///
/// # Errors
/// [`ProtoError::TooLarge`] if it exceeds [`MAX_FRAME`].
pub fn encode_to_worker(message: &ToWorker) -> Result<Vec<u8>, ProtoError> {
    encode(message)
}

/// Encodes a message from a worker, without the length prefix.
///
/// # Errors
/// [`ProtoError::TooLarge`] if it exceeds [`MAX_FRAME`].
pub fn encode_from_worker(message: &FromWorker) -> Result<Vec<u8>, ProtoError> {
    encode(message)
}

/// Decodes a message to a worker from the bytes of one frame.
///
/// [`ProtoError::Version`] if the message is a greeting of another version, [`ProtoError::Malformed`] if the bytes are
/// not a message.
pub fn decode_to_worker(bytes: &[u8]) -> Result<ToWorker, ProtoError> {
    check_version(bytes)?;
    decode(bytes)
}

/// Decodes a message from a worker from the bytes of one frame.
///
/// [`ProtoError::Version`] if the message is a greeting of another version, [`ProtoError::Malformed`] if the bytes are
/// not a message.
pub fn decode_from_worker(bytes: &[u8]) -> Result<FromWorker, ProtoError> {
    check_version(bytes)?;
    let message = decode(bytes)?;
    if let FromWorker::Edges { edges, .. } = &message
        && !edges.is_well_formed()
    {
        return Err(ProtoError::Malformed("an edge list is no multiple of 32 bytes".into()));
    }
    Ok(message)
}

/// Checks the version first, because a greeting of another version may have fields that this version does not know.
fn check_version(bytes: &[u8]) -> Result<(), ProtoError> {
    let Some((HELLO, rest)) = bytes.split_first_chunk::<4>().map(|(head, rest)| (*head, rest)) else {
        return Ok(());
    };
    let Some(version) = rest.first_chunk::<4>() else {
        return Err(ProtoError::Malformed("a greeting without a version".into()));
    };
    match u32::from_le_bytes(*version) {
        PROTOCOL_VERSION => Ok(()),
        theirs => Err(ProtoError::Version { ours: PROTOCOL_VERSION, theirs }),
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, ProtoError> {
    options().serialize(message).map_err(|error| match *error {
        bincode::ErrorKind::SizeLimit => {
            let length = bincode::serialized_size(message).unwrap_or(u64::MAX);
            ProtoError::TooLarge { length: usize::try_from(length).unwrap_or(usize::MAX), maximum: MAX_FRAME }
        }
        other => ProtoError::Malformed(other.to_string()),
    })
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ProtoError> {
    options().deserialize(bytes).map_err(|error| ProtoError::Malformed(error.to_string()))
}
