//! How requests and websockets reach the core: which core it is, TLS, tokens, waits and retries.

mod authority;
mod backoff;
mod discovery;
mod http;
mod response;
mod retry;
mod tls;
mod token;
mod websocket;

pub use self::http::Http;
pub use backoff::Backoff;
pub use discovery::Peer;
pub use response::{failure, read};
pub use retry::{KeyRefusals, until};
pub use tls::TlsOptions;
pub use websocket::{Heard, Purpose, Wire};
