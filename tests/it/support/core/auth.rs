//! The pre-shared key, as the core checks it.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

/// Decides who may come in.
pub(crate) struct Guard {
    psk: Option<String>,
}

impl Guard {
    pub(super) fn new(psk: Option<&str>) -> Self {
        Self { psk: psk.map(str::to_owned) }
    }

    /// `None` for a request that is allowed, else the status of the refusal.
    pub(super) fn refuses(&self, path: &str, headers: &HeaderMap) -> Option<u16> {
        let psk = self.psk.as_ref()?;
        if ["/metrics", "/api-doc", "/system/", "/ui"].iter().any(|open| path.starts_with(open)) {
            return None;
        }
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => check(psk, token).err(),
            _ => Some(401),
        }
    }
}

fn check(psk: &str, token: &str) -> Result<(), u16> {
    let header = decode_header(token).map_err(|_| 401_u16)?;
    if header.alg != Algorithm::HS256 {
        return Err(401);
    }
    // A token without salt, or with one that is no base64, makes this core stumble.
    let salt: String = header.extras.get("salt").ok().flatten().ok_or(500_u16)?;
    let salt = STANDARD.decode(salt).map_err(|_| 500_u16)?;
    let mut key = [0; 32];
    let rounds = NonZeroU32::new(100_000).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, psk.as_bytes(), &mut key);
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.required_spec_claims.clear();
    validation.validate_nbf = true;
    let claims = decode::<Map<String, Value>>(token, &DecodingKey::from_secret(&key), &validation);
    match claims {
        Ok(data) if !data.claims.is_empty() => Ok(()),
        _ => Err(401),
    }
}
