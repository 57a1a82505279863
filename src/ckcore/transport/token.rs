//! Bearer tokens from the pre-shared key.
//!
//! A token is a JWT, signed by HS256 with a key that PBKDF2 derives from the pre-shared key and a random salt; the
//! header of the token has the salt. Deriving a key takes tens of milliseconds of CPU, so a token is used for half of
//! its lifetime.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{pbkdf2, rand};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use tokio::sync::Mutex;

use crate::ckcore::{CoreError, Psk};

const WHAT: &str = "authentication with the pre-shared key";

/// The lifetime of a token.
const LIFE: Duration = Duration::from_secs(300);

/// The rounds of the key derivation, as in the core.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// The claims of a token. Without a user name the core treats it as that of a service with all rights.
#[derive(Serialize)]
struct Claims {
    exp: u64,
}

/// The source of `Authorization` headers.
#[derive(Debug)]
pub struct Tokens {
    psk: Option<Psk>,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    /// Marked as sensitive, so that `Debug` does not show it.
    header: HeaderValue,
    made: Instant,
}

impl Tokens {
    pub fn new(psk: Option<Psk>) -> Self {
        Self { psk, current: Mutex::default() }
    }

    /// Returns the header's value; `None` without a key.
    pub async fn header(&self) -> Result<Option<HeaderValue>, CoreError> {
        let Some(psk) = &self.psk else { return Ok(None) };
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_ref().filter(|current| current.made.elapsed() < LIFE / 2) {
            return Ok(Some(current.header.clone()));
        }
        let psk = psk.clone();
        let made = tokio::task::spawn_blocking(move || make(&psk)).await;
        let header = made.map_err(|_| CoreError::transport(WHAT, "ckworker is stopping"))??;
        *current = Some(Current { header: header.clone(), made: Instant::now() });
        Ok(Some(header))
    }

    /// Discards the token, because the core rejected it.
    pub async fn forget(&self) {
        *self.current.lock().await = None;
    }
}

fn make(psk: &Psk) -> Result<HeaderValue, CoreError> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|_| CoreError::permanent(WHAT, "the system gave no random bytes"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let token = sign(psk, &salt, (now + LIFE).as_secs())?;
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CoreError::permanent(WHAT, "the token is not a valid header value"))?;
    header.set_sensitive(true);
    Ok(header)
}

fn sign(psk: &Psk, salt: &[u8], exp: u64) -> Result<String, CoreError> {
    let mut header = Header::new(Algorithm::HS256);
    header.extras.insert("salt", STANDARD.encode(salt));
    let key = EncodingKey::from_secret(&derive(psk, salt));
    jsonwebtoken::encode(&header, &Claims { exp }, &key)
        .map_err(|error| CoreError::permanent(WHAT, &format!("the token could not be signed: {error}")))
}

/// Returns the salt in the header of a token.
pub fn salt(header: &Header) -> Option<Vec<u8>> {
    let salt: String = header.extras.get("salt").ok()??;
    STANDARD.decode(salt).ok()
}

/// Derives the key that signs tokens with this salt. Takes tens of milliseconds.
pub fn derive(psk: &Psk, salt: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, psk.bytes(), &mut key);
    key
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn psk() -> Psk {
        Psk::new("schlüssel").unwrap()
    }

    #[test]
    fn derived_key_equals_that_of_core() {
        let salt: Vec<u8> = (0..16).collect();
        let hex: String = derive(&psk(), &salt).iter().map(|byte| format!("{byte:02x}")).collect();
        // Python: hashlib.pbkdf2_hmac("sha256", "schlüssel".encode(), bytes(range(16)), 100000, 32).hex()
        assert_eq!(hex, "7db32c4907166ef54b300927cda7b0bce8736db08cd14ae21d50b35ee39fcde2");
    }

    #[test]
    fn token_header_has_salt_in_standard_base64() {
        let token = sign(&psk(), &[0xfb; 16], 1_700_000_000).unwrap();
        let parts: Vec<_> = token.split('.').collect();
        let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_str(&text(parts[0])).unwrap();
        let expected = serde_json::json!({"typ": "JWT", "alg": "HS256", "salt": "+/v7+/v7+/v7+/v7+/v7+w=="});
        assert_eq!(header, expected);
        assert_eq!(text(parts[1]), r#"{"exp":1700000000}"#);
    }

    #[tokio::test]
    async fn token_is_reused_until_rejected() {
        let tokens = Tokens::new(Some(psk()));
        let first = tokens.header().await.unwrap();
        assert_eq!(tokens.header().await.unwrap(), first);
        tokens.forget().await;
        assert_ne!(tokens.header().await.unwrap(), first);
        assert!(!format!("{tokens:?}").contains("Bearer"));
        assert_eq!(Tokens::new(None).header().await.unwrap(), None);
    }
}
