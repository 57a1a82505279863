//! The certificate authority of a core, fetched over an unverified connection and authenticated by the pre-shared key.
//!
//! The core signs the fingerprint of its root certificate with the pre-shared key, as ckworker signs its tokens.
//! Without the key, an attacker can forge neither the certificate nor the token.

use aws_lc_rs::digest;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use reqwest::Response;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::{
    response::{failure, read},
    token,
};
use crate::ckcore::{CoreError, Psk};

pub const WHAT: &str = "check of the core's certificate authority";

/// The limit of a certificate, in bytes.
const LIMIT: usize = 64 * 1024;

/// The claims of the core's token.
#[derive(Deserialize)]
struct Claims {
    sha256_fingerprint: String,
}

/// Returns the root certificate of a response, if the pre-shared key authenticates it.
pub async fn proved(
    response: Response,
    psk: &Psk,
    limit: std::time::Duration,
) -> Result<CertificateDer<'static>, CoreError> {
    let header = response.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let pem = read(response, LIMIT).await.map_err(|error| failure(WHAT, limit, &error))?;
    let psk = psk.clone();
    // Deriving the key takes tens of milliseconds.
    let check = tokio::task::spawn_blocking(move || check(&pem, header.as_deref(), &psk)).await;
    check.map_err(|_| CoreError::transport(WHAT, "ckworker is stopping"))?
}

fn check(pem: &[u8], header: Option<&str>, psk: &Psk) -> Result<CertificateDer<'static>, CoreError> {
    let Some(header) = header else {
        return Err(wrong(
            "the core was started without a pre-shared key, so nothing proves its certificate: start it with the worker's \
             --psk, or give the worker --ca-cert and no --psk",
        ));
    };
    let certificate = CertificateDer::from_pem_slice(pem)
        .map_err(|error| wrong(&format!("the core's response is not a certificate in PEM format: {error}")))?;
    let signed = signed_fingerprint(header, psk)?;
    let computed = fingerprint(&certificate);
    if !signed.eq_ignore_ascii_case(&computed) {
        return Err(wrong(&format!(
            "the core signed the fingerprint {signed}, but its certificate has {computed}: there may be an attacker between \
             ckworker and the core"
        )));
    }
    Ok(certificate)
}

/// Returns the fingerprint in the core's token, if the pre-shared key signed it.
fn signed_fingerprint(header: &str, psk: &Psk) -> Result<String, CoreError> {
    let token = header.split_once(' ').map_or(header, |(_, token)| token).trim();
    let unusable = |why: &str| wrong(&format!("the core's token is invalid: {why}"));
    let head = jsonwebtoken::decode_header(token).map_err(|error| unusable(&error.to_string()))?;
    let salt = token::salt(&head).ok_or_else(|| unusable("it has no salt"))?;
    let key = DecodingKey::from_secret(&token::derive(psk, &salt));
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &Validation::new(Algorithm::HS256));
    decoded.map(|data| data.claims.sha256_fingerprint).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => {
            wrong("the pre-shared key is not the core's: start the worker with the same --psk as the core")
        }
        ErrorKind::ExpiredSignature => unusable("it has expired; check that both clocks agree"),
        _ => unusable(&error.to_string()),
    })
}

/// Returns the SHA-256 fingerprint of a certificate as `AA:BB:…`.
fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let digest = digest::digest(&digest::SHA256, certificate);
    let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

fn wrong(why: &str) -> CoreError {
    CoreError::permanent(WHAT, why)
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
