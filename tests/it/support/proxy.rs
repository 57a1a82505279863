//! A proxy for HTTPS whose tunnels all lead to one server, as one that inspects TLS has them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A running proxy. Ends when dropped, with all its connections.
pub struct Proxy {
    uri: String,
    hosts: Arc<Mutex<BTreeSet<String>>>,
    server: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port. All tunnels lead to the server at this address.
    pub async fn start(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let hosts = Arc::default();
        let server = tokio::spawn(run(listener, target.to_owned(), Arc::clone(&hosts)));
        Self { uri, hosts, server }
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The hosts that tunnels were wanted to since the last question.
    pub fn hosts(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.hosts.lock().unwrap())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn run(listener: TcpListener, target: String, hosts: Arc<Mutex<BTreeSet<String>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(tunnel(stream, target.clone(), Arc::clone(&hosts)));
        while connections.try_join_next().is_some() {}
    }
}

/// Reads the head of a request such as `CONNECT ec2.eu-west-1.amazonaws.com:443 HTTP/1.1`, and copies.
async fn tunnel(stream: TcpStream, target: String, hosts: Arc<Mutex<BTreeSet<String>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut first = None;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end() {
            "" => break,
            line => _ = first.get_or_insert_with(|| line.to_owned()),
        }
    }
    let first = first?;
    let host = first.strip_prefix("CONNECT ")?.split(':').next()?;
    hosts.lock().unwrap().insert(host.to_owned());
    let mut server = TcpStream::connect(target).await.ok()?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    copy_bidirectional(&mut stream, &mut server).await.ok()?;
    Some(())
}
