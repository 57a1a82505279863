//! Frames over a stream, whole and broken.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use worker_proto::{
    EdgeList, FrameReader, FrameWriter, FromWorker, MAX_FRAME, Node, PROTOCOL_VERSION, ProtoError, ToWorker,
    decode_from_worker, decode_to_worker, encode_from_worker, encode_to_worker,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    block_on(FrameWriter::new(&mut out).write(body)).unwrap();
    out
}

#[test]
fn frames_arrive_in_order_and_the_end_is_no_error() {
    let stream = [frame(b"one"), frame(b""), frame(b"three")].concat();
    block_on(async {
        let mut reader = FrameReader::new(&stream[..]);
        assert_eq!(reader.read().await.unwrap(), Some(&b"one"[..]));
        assert_eq!(reader.read().await.unwrap(), Some(&b""[..]));
        assert_eq!(reader.read().await.unwrap(), Some(&b"three"[..]));
        assert_eq!(reader.read().await.unwrap(), None);
    });
}

#[test]
fn end_inside_frame_is_named() {
    let whole = frame(b"body");
    for length in 1..whole.len() {
        let error = block_on(FrameReader::new(&whole[..length]).read().map_ok_bytes());
        assert!(matches!(error, Err(ProtoError::Truncated)), "cut to {length}: {error:?}");
    }
}

/// Detaches the frame from its reader.
trait Detach {
    async fn map_ok_bytes(self) -> Result<Option<Vec<u8>>, ProtoError>;
}

impl<'a, F: Future<Output = Result<Option<&'a [u8]>, ProtoError>>> Detach for F {
    async fn map_ok_bytes(self) -> Result<Option<Vec<u8>>, ProtoError> {
        Ok(self.await?.map(<[u8]>::to_vec))
    }
}

/// Invariant: no frame exceeds the maximum, in either direction.
#[test]
fn frame_above_maximum_is_rejected_on_both_sides() {
    let announced = u32::try_from(MAX_FRAME + 1).unwrap().to_le_bytes();
    let error = block_on(FrameReader::new(&announced[..]).read().map_ok_bytes());
    assert!(matches!(error, Err(ProtoError::TooLarge { length, .. }) if length == MAX_FRAME + 1));
    let mut out = Vec::new();
    let error = block_on(FrameWriter::new(&mut out).write(&vec![0; MAX_FRAME + 1]));
    assert!(matches!(error, Err(ProtoError::TooLarge { .. })));
    assert!(out.is_empty(), "nothing half-written");
}

#[test]
fn message_above_maximum_is_rejected() {
    let line = serde_bytes::ByteBuf::from(vec![b'x'; MAX_FRAME]);
    let node = Node { id: [0; 16], kind: String::new(), resource: String::new(), line };
    let error = encode_from_worker(&FromWorker::Nodes { unit: 0, nodes: vec![node] }).unwrap_err();
    assert!(matches!(error, ProtoError::TooLarge { .. }), "{error}");
}

/// Invariant: another version of the protocol is a named and permanent failure.
#[test]
fn another_version_is_named_despite_unknown_fields() {
    let theirs = PROTOCOL_VERSION + 1;
    let mut greeting = [0_u32.to_le_bytes(), theirs.to_le_bytes()].concat();
    greeting.extend_from_slice(b"fields of the future");
    for error in [decode_to_worker(&greeting).unwrap_err(), decode_from_worker(&greeting).unwrap_err()] {
        assert!(matches!(error, ProtoError::Version { theirs: found, .. } if found == theirs), "{error}");
    }
}

/// Invariant: no frame exceeds the maximum, in either direction.
#[test]
fn damaged_length_in_message_allocates_nothing() {
    // A batch of nodes that claims 2^64 - 1 of them.
    let mut bytes = encode_from_worker(&FromWorker::Nodes { unit: 0, nodes: Vec::new() }).unwrap();
    let at = bytes.len() - 8;
    bytes[at..].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(decode_from_worker(&bytes), Err(ProtoError::Malformed(_))));
}

#[test]
fn edge_list_of_invalid_size_is_malformed() {
    let mut edges = EdgeList::default();
    edges.push([1; 16], [2; 16]);
    let mut bytes = encode_from_worker(&FromWorker::Edges { unit: 0, edges }).unwrap();
    bytes.pop();
    let at = bytes.len() - 31 - 8;
    bytes[at..at + 8].copy_from_slice(&31_u64.to_le_bytes());
    assert!(matches!(decode_from_worker(&bytes), Err(ProtoError::Malformed(_))));
}

proptest! {
    #[test]
    fn any_bytes_survive_a_stream(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..8)) {
        let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        block_on(async {
            let mut reader = FrameReader::new(&stream[..]);
            for body in &bodies {
                prop_assert_eq!(reader.read().await.unwrap(), Some(&body[..]));
            }
            prop_assert_eq!(reader.read().await.unwrap(), None);
            Ok(())
        })?;
    }

    #[test]
    fn any_nodes_come_back(
        unit in any::<u32>(),
        id in any::<[u8; 16]>(),
        kind in ".*",
        resource in ".*",
        line in prop::collection::vec(any::<u8>(), 0..500),
        count in 0_usize..5,
    ) {
        let node = Node { id, kind, resource, line: serde_bytes::ByteBuf::from(line) };
        let message = FromWorker::Nodes { unit, nodes: vec![node; count] };
        prop_assert_eq!(decode_from_worker(&encode_from_worker(&message).unwrap()).unwrap(), message);
    }

    #[test]
    fn decoders_accept_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = decode_from_worker(&bytes) {
            prop_assert_eq!(encode_from_worker(&message).unwrap(), bytes.clone());
        }
        if let Ok(message) = decode_to_worker(&bytes) {
            prop_assert_eq!(encode_to_worker(&message).unwrap(), bytes);
        }
    }

    #[test]
    fn flipped_bit_is_an_error_or_another_message(at in 0_usize..60, bit in 0_u8..8) {
        let message = ToWorker::Hello { version: PROTOCOL_VERSION, memory_limit: 1 };
        let mut bytes = encode_to_worker(&message).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(other) = decode_to_worker(&bytes) {
            prop_assert_ne!(other, message);
        }
    }
}
