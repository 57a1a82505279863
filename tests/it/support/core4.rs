//! The real core 4.1 on a database in memory.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::poll::becomes;

/// How long a test waits for something that must happen; the core looks at its work every second only.
pub const HANG_GUARD: Duration = Duration::from_secs(120);

/// A running core. Dropping it ends it.
pub struct LocalCore {
    process: Child,
    /// Where it is.
    pub uri: String,
    /// Where it is with TLS, if it was asked for.
    pub secure: String,
}

impl LocalCore {
    /// Starts a core with options of the script, such as `--psk`.
    pub fn start(options: &[&str]) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/core-local");
        let mut command = Command::new(script);
        command.args(["up", "--exit-with-stdin", "--fast"]).args(options);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("ready"), "the local core must start; see scripts/core-local");
        let mut next = || words.next().unwrap_or_default().to_owned();
        Self { process, uri: next(), secure: next() }
    }

    /// Ends it and starts another one with these options at the same addresses. It knows nothing of the first, and has
    /// another certificate.
    pub fn restart(self, options: &[&str]) -> Self {
        let port = |uri: &str| uri.rsplit(':').next().unwrap_or_default().to_owned();
        let ports = [port(&self.uri), port(&self.secure)];
        drop(self);
        Self::start(&[options, &["--port", &ports[0], "--tls-port", &ports[1]]].concat())
    }

    /// Pushes the core at one of its debug endpoints.
    pub async fn push(&self, path: &str, body: &Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/debug/{path}", self.uri)).json(body);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Starts a workflow, and answers its task.
    pub async fn workflow(&self, name: &str) -> String {
        self.push(&format!("start/{name}"), &Value::Null).await["task"].as_str().unwrap().to_owned()
    }

    /// Resolves the edges between accounts of a task, as the workflow `collect_and_cleanup` does after a collection.
    pub async fn merge_deferred(&self, task: &str) {
        let url = format!("{}/graph/fix/merge/deferred_edges", self.uri);
        let request = reqwest::Client::new().post(url).json(&[task]);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Looks at one of its debug endpoints.
    pub async fn look(&self, path: &str) -> Value {
        let reply = reqwest::get(format!("{}/debug/{path}", self.uri)).await.unwrap();
        reply.error_for_status().unwrap().json().await.unwrap()
    }

    /// Waits until one of its debug endpoints shows what is wanted, and answers it.
    pub async fn until(&self, path: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let found = becomes(async || {
            last = self.look(path).await;
            is_it(&last)
        });
        let found = found.await;
        assert!(found, "waited in vain for {path}, which shows {last}");
        last
    }

    /// Runs a line of its command line.
    pub async fn command(&self, line: &str) -> String {
        let request = reqwest::Client::new().post(format!("{}/debug/command", self.uri)).body(line.to_owned());
        request.send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    /// The stored nodes of the graph.
    pub async fn nodes(&self) -> Vec<Value> {
        self.look("graph/fix").await["nodes"].as_array().unwrap().clone()
    }

    /// All that happens in the core from now on.
    pub async fn events(&self) -> Events {
        let (socket, _) = connect_async(format!("{}/events", self.uri.replacen("http", "ws", 1))).await.unwrap();
        Events(socket)
    }
}

impl Drop for LocalCore {
    fn drop(&mut self) {
        // It ends with its standard input; waiting makes sure of it.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// What happens in a core.
pub struct Events(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Events {
    /// Waits for an event of this type with this text in it.
    pub async fn wait(&mut self, message_type: &str, text: &str) -> Value {
        let what = format!("{message_type} with {text:?}");
        self.wait_for(&what, |event, frame| event["message_type"] == message_type && frame.contains(text)).await
    }

    /// Waits for the end of a workflow. Returns the messages of its errors until then.
    pub async fn errors_until_end(&mut self, task: &str) -> Vec<String> {
        let mut errors = Vec::new();
        let is_end = |event: &Value, frame: &str| {
            if event["message_type"] == "error" && frame.contains(task) {
                errors.extend(event["data"]["message"].as_str().map(str::to_owned));
            }
            event["message_type"] == "task_end" && frame.contains(task)
        };
        self.wait_for(&format!("the end of {task}"), is_end).await;
        errors
    }

    async fn wait_for(&mut self, what: &str, mut is_it: impl FnMut(&Value, &str) -> bool) -> Value {
        let search = async {
            while let Some(message) = self.0.next().await {
                let Ok(frame) = message.unwrap().into_text() else { continue };
                let Ok(event) = serde_json::from_str::<Value>(&frame) else { continue };
                if is_it(&event, &frame) {
                    return event;
                }
            }
            panic!("the core ended");
        };
        match timeout(HANG_GUARD, search).await {
            Ok(event) => event,
            Err(_) => panic!("waited in vain for {what}"),
        }
    }
}
