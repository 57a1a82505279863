//! The action websocket, with its way of closing after each frame.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use hyper::{Request, Response, StatusCode, body::Incoming, header, upgrade};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    Shared,
    server::{Answer, text},
    state::Outgoing,
};

/// The largest message that the core takes, in bytes.
const MESSAGE_LIMIT: usize = 4 * 1024 * 1024;

/// Answers the handshake of a subscriber.
pub(super) fn handle(shared: &Arc<Shared>, id: &str, mut request: Request<Incoming>) -> Answer {
    let state = shared.lock();
    if state.subscribers.get(id).is_none_or(|events| events.is_empty()) {
        return text(404, &format!("No subscriber with this id: {id} or no subscriptions"));
    }
    if state.connections.contains_key(id) {
        return text(429, "Only one connection per subscriber is allowed!");
    }
    drop(state);
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return text(400, "Error: HTTPBadRequest\nMessage: Bad Request");
    };
    let (number, outgoing) = shared.change(|state| state.connect(id));
    let (task_shared, id) = (Arc::clone(shared), id.to_owned());
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade::on(&mut request).await {
            let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(None);
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            task_shared.change(|state| {
                state.handshakes += 1;
                state.deliver_pending(&id);
            });
            serve(&task_shared, &id, number, socket, outgoing).await;
        }
        task_shared.change(|state| state.disconnect(&id, number));
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(http_body_util::Full::default())
        .unwrap()
}

type Socket = WebSocketStream<TokioIo<upgrade::Upgraded>>;

async fn serve(
    shared: &Arc<Shared>,
    id: &str,
    number: usize,
    mut socket: Socket,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
) {
    let code = loop {
        tokio::select! {
            message = outgoing.recv() => {
                let message = match message {
                    Some(Outgoing::Text(text)) => Message::text(text),
                    Some(Outgoing::Ping) => Message::Ping(Bytes::from_static(b"core")),
                    // The test broke the connection.
                    None => return,
                };
                if socket.send(message).await.is_err() {
                    break None;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    shared.change(|state| state.take_frame(id, &text));
                    break Some(CloseCode::Normal);
                }
                Some(Ok(Message::Binary(_))) => break Some(CloseCode::Normal),
                Some(Ok(Message::Pong(_))) => shared.change(|state| state.pongs += 1),
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Err(Error::Capacity(_))) => break Some(CloseCode::Size),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
            }
        }
    };
    // The next connection is allowed before this one is closed, so that the client never meets its own shadow.
    shared.change(|state| state.disconnect(id, number));
    if let Some(code) = code {
        let _ = socket.close(Some(CloseFrame { code, reason: "".into() })).await;
    }
    // Whatever else the client sent is lost.
    while let Some(Ok(_)) = socket.next().await {}
}
