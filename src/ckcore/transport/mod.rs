//! Requests and websockets to the core: detection, TLS, tokens, backoff and retries.

mod authority;
mod backoff;
mod discovery;
mod http;
mod response;
mod retry;
mod tls;
mod token;
mod websocket;

pub use self::http::HttpClient;
pub use backoff::Backoff;
pub use discovery::CoreInfo;
pub use response::{failure, read};
pub use retry::{KeyRejections, retry};
pub use tls::TlsOptions;
pub use websocket::{Label, Received, WebSocket};
