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
pub(super) fn handle(shared: &Arc<Shared>, id: &str, request: Request<Incoming>) -> Answer {
    let state = shared.lock();
    if state.subscribers.get(id).is_none_or(|events| events.is_empty()) {
        return text(404, &format!("No subscriber with this id: {id} or no subscriptions"));
    }
    if state.connections.contains_key(id) {
        return text(429, "Only one connection per subscriber is allowed!");
    }
    drop(state);
    if !request.headers().contains_key(header::SEC_WEBSOCKET_KEY) {
        return text(400, "Error: HTTPBadRequest\nMessage: Bad Request");
    }
    let (number, outgoing) = shared.change(|state| state.connect(id));
    let id = id.to_owned();
    accept(shared, request, move |shared, mut socket| async move {
        shared.change(|state| {
            state.handshakes += 1;
            state.deliver_pending(&id);
        });
        let code =
            serve(&shared, &mut socket, outgoing, |text| shared.change(|state| state.take_frame(&id, text))).await;
        // The next connection is allowed before this one is closed, so that the client never meets its own shadow.
        shared.change(|state| state.disconnect(&id, number));
        end(socket, code).await;
    })
}

/// How the use of a websocket ended.
pub(super) enum Over {
    /// The core closes it.
    Close(CloseCode),
    /// The client closed or lost it.
    Gone,
    /// The test broke it.
    Broken,
}

/// Agrees to a websocket and has `run` do with it what it wants.
pub(super) fn accept<F: Future<Output = ()> + Send>(
    shared: &Arc<Shared>,
    mut request: Request<Incoming>,
    run: impl FnOnce(Arc<Shared>, Socket) -> F + Send + 'static,
) -> Answer {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return text(400, "Error: HTTPBadRequest\nMessage: Bad Request");
    };
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade::on(&mut request).await {
            let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT)).max_frame_size(None);
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
            run(shared, socket).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "upgrade")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(http_body_util::Full::default())
        .unwrap()
}

pub(super) type Socket = WebSocketStream<TokioIo<upgrade::Upgraded>>;

/// Sends what is to be sent, until the first frame of the client was taken or the connection is over.
pub(super) async fn serve(
    shared: &Shared,
    socket: &mut Socket,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    take: impl Fn(&str),
) -> Over {
    loop {
        tokio::select! {
            message = outgoing.recv() => {
                let message = match message {
                    Some(Outgoing::Text(text)) => Message::text(text),
                    Some(Outgoing::Ping) => Message::Ping(Bytes::from_static(b"core")),
                    // The test broke the connection.
                    None => return Over::Broken,
                };
                if socket.send(message).await.is_err() {
                    return Over::Gone;
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    take(&text);
                    return Over::Close(CloseCode::Normal);
                }
                Some(Ok(Message::Binary(_))) => return Over::Close(CloseCode::Normal),
                Some(Ok(Message::Pong(_))) => shared.change(|state| state.pongs += 1),
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Err(Error::Capacity(_))) => return Over::Close(CloseCode::Size),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Over::Gone,
            }
        }
    }
}

/// Closes a websocket; whatever else the client sent is lost.
pub(super) async fn end(mut socket: Socket, over: Over) {
    match over {
        Over::Broken => return,
        Over::Gone => {}
        Over::Close(code) => {
            let _ = socket.close(Some(CloseFrame { code, reason: "".into() })).await;
        }
    }
    while let Some(Ok(_)) = socket.next().await {}
}
