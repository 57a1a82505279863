//! Proofs of a certificate, valid and invalid.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::STANDARD};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

/// The bytes are arbitrary: only their fingerprint is checked.
const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAECAwQFBgc=\n-----END CERTIFICATE-----\n";
/// Python: `hashlib.sha256(bytes(range(8))).hexdigest()`
const SHA256: &str = "8a851ff82ee7048ad09ec3847f1ddf44944104d2cbd17ef4e3db22c6785a0d45";

fn psk(text: &str) -> Psk {
    Psk::new(text).unwrap()
}

fn colons(hex: &str) -> String {
    let pairs: Vec<_> = hex.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    pairs.join(":")
}

fn token(key: &str, fingerprint: &str, life: i64) -> String {
    let mut header = Header::new(Algorithm::HS256);
    header.extras.insert("salt", STANDARD.encode([7; 16]));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let claims = json!({ "sha256_fingerprint": fingerprint, "exp": now + life });
    let key = EncodingKey::from_secret(&token::derive(&psk(key), &[7; 16]));
    format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

#[test]
fn certificate_with_signed_fingerprint_is_trusted() {
    let certificate = check(PEM.as_bytes(), Some(&token("key", &colons(SHA256), 60)), &psk("key")).unwrap();
    assert_eq!(certificate.as_ref(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn unproved_certificate_is_rejected_with_the_reason() {
    let good = colons(SHA256);
    let other = colons(&SHA256.replace('8', "9"));
    for (pem, header, why) in [
        (PEM, None, "without a pre-shared key"),
        (PEM, Some(token("another", &good, 60)), "the same --psk"),
        (PEM, Some(token("key", &other, 60)), "attacker"),
        (PEM, Some(token("key", &good, -3600)), "clocks"),
        (PEM, Some("Bearer nonsense".to_owned()), "is invalid"),
        ("no certificate", Some(token("key", &good, 60)), "not a certificate"),
    ] {
        let error = check(pem.as_bytes(), header.as_deref(), &psk("key")).unwrap_err();
        assert!(error.message.contains(why) && !error.retryable, "{error}");
    }
}
