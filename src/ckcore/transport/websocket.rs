//! A websocket of the core: opening, keepalive, reading, writing and closing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::AUTHORIZATION;
use reqwest::Url;
use tokio::{
    net::TcpStream,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{
        self, Bytes, Message, Utf8Bytes,
        client::IntoClientRequest,
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{discovery::CoreInfo, http::HttpClient, response::causes, tls};
use crate::ckcore::{CoreError, Timing, error::bounded};

/// The limit of a received message, in bytes. Actions have a few hundred, tasks the size of a node.
const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;

/// The timeout of each step of closing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of a websocket in errors.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// The name of its opening.
    pub connecting: &'static str,
    /// The name of the open websocket.
    pub connected: &'static str,
}

/// An open websocket.
pub struct WebSocket {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    label: Label,
    timing: Timing,
    last_received: Instant,
    ping_due: Interval,
}

/// A received event.
pub enum Received {
    /// A text frame.
    Text(Utf8Bytes),
    /// The core closed the websocket: whether with a normal code, and the error.
    Closed(bool, CoreError),
}

impl WebSocket {
    /// Opens a websocket of the core.
    pub async fn open(
        http: &HttpClient,
        core: &CoreInfo,
        path: &[&str],
        query: &[(&str, &str)],
        label: Label,
    ) -> Result<Self, CoreError> {
        let what = label.connecting;
        let mut url = http.config.ws_url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request =
            url.as_str().into_client_request().map_err(|error| CoreError::permanent(what, &error.to_string()))?;
        if let Some(token) = http.tokens.header().await? {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let timing = http.config.timing.clone();
        let stream = connected(what, &url, &timing).await?;
        let opening = client_async_tls_with_config(request, stream, Some(config), Some(Connector::Rustls(core.tls())));
        let socket = match timeout(timing.connect, opening).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(error)) => {
                let error = refusal(what, &error);
                if error.status == Some(401) {
                    http.tokens.forget().await;
                }
                return Err(error);
            }
            Err(_) => {
                let message = format!(
                    "{} accepted the connection and did not complete the websocket handshake within {:.1} s: check that \
                     --ckcore-ws-uri is the address of a core, and that nothing in between blocks websockets",
                    http.config.ws_uri,
                    timing.connect.as_secs_f64()
                );
                return Err(CoreError::transport(what, &message));
            }
        };
        let mut ping_due = interval_at(Instant::now() + timing.ping, timing.ping);
        ping_due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { socket, label, timing, last_received: Instant::now(), ping_due })
    }

    /// Waits for a text frame or the end, and sends pings meanwhile. Cancel-safe.
    ///
    /// The library responds to the core's pings while this waits.
    pub async fn next(&mut self) -> Result<Received, CoreError> {
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    self.last_received = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => return Ok(Received::Text(text)),
                        Some(Ok(Message::Close(frame))) => return Ok(self.closed(frame).await),
                        Some(Ok(_)) => {}
                        Some(Err(error)) => return Err(self.lost(&error.to_string())),
                        None => return Err(self.lost("the connection ended")),
                    }
                }
                _ = self.ping_due.tick() => self.ping().await?,
            }
        }
    }

    async fn closed(&mut self, frame: Option<CloseFrame>) -> Received {
        self.drain().await;
        let normal = frame.as_ref().is_none_or(|frame| u16::from(frame.code) == 1000);
        let why = frame.map_or_else(String::new, |f| format!(" with code {} {}", f.code, bounded(&f.reason)));
        Received::Closed(normal, self.lost(&format!("the core closed the websocket{why}")))
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: String) -> Result<(), CoreError> {
        self.write(Message::text(text)).await
    }

    async fn ping(&mut self) -> Result<(), CoreError> {
        if self.last_received.elapsed() >= self.timing.silence {
            return Err(self.lost("the core sent neither frames nor pongs"));
        }
        self.write(Message::Ping(Bytes::from_static(b"ckworker"))).await
    }

    async fn write(&mut self, message: Message) -> Result<(), CoreError> {
        match timeout(self.timing.request, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(&error.to_string())),
            Err(_) => Err(self.lost("the core does not read from the websocket")),
        }
    }

    /// Returns the error of a lost connection.
    pub fn lost(&self, why: &str) -> CoreError {
        CoreError::transport(self.label.connected, why)
    }

    /// Closes the websocket with a normal code and waits briefly for the core's close frame.
    pub async fn close(&mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        // A broken connection is closed as well.
        let _ = timeout(CLOSE_TIMEOUT, self.socket.close(Some(frame))).await;
        self.drain().await;
    }

    /// Reads until the websocket ends, so that the reply to the core's close frame is written.
    async fn drain(&mut self) {
        // A slower core is cut off.
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = self.socket.next().await {} }).await;
    }
}

/// Connects to the host of a websocket's URL.
async fn connected(what: &'static str, url: &Url, timing: &Timing) -> Result<TcpStream, CoreError> {
    let failed = |why: &str| CoreError::transport(what, &format!("cannot connect to {}: {why}", authority(url)));
    let host = url.host_str().unwrap_or_default();
    // An IPv6 address has brackets in a URL only.
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = url.port_or_known_default().unwrap_or(80);
    match timeout(timing.connect, TcpStream::connect((host, port))).await {
        Ok(Ok(stream)) => {
            // Small frames must not wait for the next one. The connection works without this option too.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(failed(&error.to_string())),
        Err(_) => Err(failed(&format!("no connection within {:.1} s", timing.connect.as_secs_f64()))),
    }
}

/// Returns host and port of a URL.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(80);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn refusal(what: &'static str, error: &tungstenite::Error) -> CoreError {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            CoreError::answered(what, response.status(), response.headers(), &String::from_utf8_lossy(body))
        }
        other => CoreError::transport(what, &tls::explained(causes(other))),
    }
}
