//! Whatever a peer sends: no panic, no allocation beyond the frame, and what decodes encodes to the same bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use worker_proto::{decode_from_worker, decode_to_worker, encode_from_worker, encode_to_worker};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode_from_worker(bytes) {
        assert_eq!(encode_from_worker(&message).expect("it was small enough to arrive"), bytes);
    }
    if let Ok(message) = decode_to_worker(bytes) {
        assert_eq!(encode_to_worker(&message).expect("it was small enough to arrive"), bytes);
    }
});
