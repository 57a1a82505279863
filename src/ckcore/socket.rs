//! The action websocket: how it is opened and closed.

use std::time::Duration;

use futures_util::StreamExt;
use http::header::AUTHORIZATION;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        self,
        client::IntoClientRequest,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{CoreError, http::Http};

const WHAT: &str = "connection of the action websocket";

/// The largest message that is taken from the core, in bytes. Actions have a few hundred.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// How long the last words of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the websocket of a subscriber.
pub(super) async fn open(http: &Http, subscriber: &str) -> Result<Socket, CoreError> {
    let url = http.config.ws_url(&["subscriber", subscriber, "handle"]);
    let mut request =
        url.as_str().into_client_request().map_err(|error| CoreError::permanent(WHAT, &error.to_string()))?;
    if let Some(token) = http.tokens.header().await? {
        request.headers_mut().insert(AUTHORIZATION, token);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .max_message_size(Some(MESSAGE_LIMIT))
        .max_frame_size(Some(MESSAGE_LIMIT));
    // Whoever was first decides; it is the same provider everywhere.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let limit = http.config.timing.connect;
    match timeout(limit, connect_async_with_config(request, Some(config), true)).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(error)) => {
            let error = refusal(&error);
            if error.status == Some(401) {
                http.tokens.forget().await;
            }
            Err(error)
        }
        Err(_) => Err(CoreError::timeout(WHAT, limit)),
    }
}

fn refusal(error: &tungstenite::Error) -> CoreError {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            CoreError::refused(WHAT, response.status().as_u16(), &String::from_utf8_lossy(body))
        }
        other => CoreError::transport(WHAT, &super::http::causes(other)),
    }
}

/// Closes a websocket normally and waits a moment for the core to agree.
pub(super) async fn close(socket: &mut Socket) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    // A connection that is broken already is closed as well.
    let _ = timeout(FAREWELL, socket.close(Some(frame))).await;
    finish(socket).await;
}

/// Reads until the websocket is over, so that an answer to the core's close is written.
pub(super) async fn finish(socket: &mut Socket) {
    // Whoever is slower than this is cut off.
    let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = socket.next().await {} }).await;
}
