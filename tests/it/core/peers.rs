//! Peers that misbehave: cores that flood, that accept and never answer, and that redirect; streams that are closed.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use ckworker::ckcore::{CoreConfig, Timing};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{
    client::Client,
    core::TestCore,
    daemon::{Daemon, SUBSCRIBER},
    program,
};

/// A server that answers each request with a text, by its first line; `None` is silence.
struct Odd {
    uri: String,
    task: JoinHandle<()>,
}

impl Odd {
    async fn start(answer: fn(&str) -> Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                match answer(head.lines().next().unwrap_or_default()) {
                    Some(text) => drop(stream.write_all(text.as_bytes()).await),
                    None => open.push(stream),
                }
            }
        });
        Self { uri, task }
    }

    /// A configuration for it, with short waits.
    fn config(&self) -> CoreConfig {
        let mut config = CoreConfig::new(&self.uri, &self.uri.replace("http", "ws")).unwrap();
        let (connect, limit) = (Duration::from_millis(300), Duration::from_millis(50));
        config.timing = Timing { connect, backoff_first: limit, backoff_limit: limit, ..Timing::default() };
        config
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn redirect(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nlocation: {location}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}

/// A core up to its websockets.
fn core_but_websockets(line: &str, websocket: Option<String>) -> Option<String> {
    match line {
        _ if line.starts_with("GET /system/ready ") => Some(ok("200: OK")),
        _ if line.starts_with("POST /subscriber/") => Some(ok("{}")),
        _ if line.contains("/handle ") => websocket,
        _ => Some(ok("")),
    }
}

#[tokio::test]
async fn core_that_never_answers_is_named() {
    let silent = Odd::start(|_| None).await;
    let reason = Client::with(silent.config(), 16).disconnected().await;
    assert!(reason.contains("accepted the connection and sent no response within 0.3 s"), "{reason}");
    assert!(reason.contains(&silent.uri) && reason.contains("--ckcore-uri"), "{reason}");
    let silent = Odd::start(|line| core_but_websockets(line, None)).await;
    let reason = Client::with(silent.config(), 16).disconnected().await;
    assert!(reason.contains("did not complete the websocket handshake within 0.3 s"), "{reason}");
    assert!(reason.contains(&silent.uri.replace("http", "ws")) && reason.contains("--ckcore-ws-uri"), "{reason}");
}

#[tokio::test]
async fn redirect_by_core_is_named_with_its_destination() {
    let everything = Odd::start(|_| Some(redirect(302, "https://login.example/start?token=geheim"))).await;
    let registration = Odd::start(|line| match line.starts_with("POST ") {
        true => Some(redirect(307, "https://login.example/start?token=geheim")),
        false => core_but_websockets(line, None),
    })
    .await;
    let websocket = |line: &str| core_but_websockets(line, Some(redirect(301, "https://login.example/start")));
    let websocket = Odd::start(websocket).await;
    for (server, what) in
        [(everything, "detection of the core"), (registration, "subscription"), (websocket, "action websocket")]
    {
        let reason = Client::with(server.config(), 16).disconnected().await;
        for part in [what, "redirects to https://login.example/start", "--ckcore-uri"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        assert!(!reason.contains("gave no reason") && !reason.contains("geheim"), "{reason}");
    }
}

/// Invariant: no peer can flood the log.
#[tokio::test]
async fn core_that_floods_adds_few_log_lines() {
    const FRAMES: usize = 5000;
    let core = TestCore::start(None).await;
    let daemon = Daemon::start(&core, |command| command.args(["-v", "--collector", "example"]));
    core.connected(SUBSCRIBER).await;
    let action = |kind: &str, number: usize| {
        let data = json!({ "task": format!("t{number}"), "step": "collect" });
        json!({ "kind": kind, "message_type": "collect", "data": data }).to_string()
    };
    for number in 0..FRAMES {
        core.send_text(SUBSCRIBER, &format!("no frame {number}"));
        core.send_text(SUBSCRIBER, &action("action_abort", number));
    }
    core.ping(SUBSCRIBER).await;
    daemon.logged("suppressed log lines: too many of this kind peer=core").await;
    let (output, log) = daemon.stop().await;
    assert_eq!(output.code, 0, "{log}");
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert!(log.len() < 300_000, "{}", log.len());
    assert_eq!(lines("  ignoring invalid frame from the core"), 20, "{log}");
    assert_eq!(lines("  core aborted action"), 200);
    let suppressed = log.lines().filter(|line| line.contains("such as: ignoring invalid frame from the core"));
    let suppressed = suppressed.map(|line| line.split_once("lines=").unwrap().1.split(' ').next().unwrap());
    assert_eq!(suppressed.map(|lines| lines.parse::<usize>().unwrap()).sum::<usize>(), FRAMES - 20, "{log}");
}

/// Runs the program by way of a shell that closes or redirects its streams.
fn redirected(arguments: &str, streams: &str) -> program::Output {
    let line = format!("exec \"$0\" {arguments} {streams}");
    let binary = program::command(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).arg(binary).env("CKWORKER_CKCORE_URI", "").stdin(Stdio::null());
    program::run(&mut command)
}

const TO_STDOUT: &str = "collect --collector example --output -";

/// Invariant: no output is lost silently.
#[test]
fn standard_output_that_cannot_be_written_is_an_error() {
    for (streams, why) in [
        (">&-", "it is closed"),
        ("1</dev/null", "reading only"),
        (">/dev/full", "No space left"),
        ("<&- >&-", "it is closed"),
    ] {
        for arguments in [TO_STDOUT, "collect --collector example --fork --quiet --output /dev/stdout"] {
            let output = redirected(arguments, streams);
            assert_eq!(output.code, 5, "{streams}: {}", output.stderr);
            assert!(
                output.stderr.contains("cannot write") && output.stderr.contains(why),
                "{streams}: {}",
                output.stderr
            );
        }
    }
    let output = redirected("--help", ">/dev/full");
    assert!(output.code == 5 && output.stderr.contains("No space left"), "{}", output.stderr);
    assert_eq!(redirected(&format!("{TO_STDOUT} --quiet"), ">/dev/null").code, 0, "whoever redirects there means it");
}

/// Invariant: no output is lost silently.
#[test]
fn pipe_without_reader_is_an_error() {
    let mut command = program::command(&["collect", "--collector", "example", "--output", "-"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = command.env("CKWORKER_CKCORE_URI", "").stdout(writer).output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(5) && error.contains("Broken pipe"), "{error}");
}

#[test]
fn closed_streams_do_not_harm_the_graph() {
    let folder = tempfile::tempdir().unwrap();
    // Its times are those of the run.
    let ids = |graph: &str| -> Vec<String> {
        graph.lines().map(|line| line.split("\"reported\"").next().unwrap_or_default().to_owned()).collect()
    };
    let whole = ids(&redirected(TO_STDOUT, "").stdout);
    assert_eq!(whole.len(), 17);
    for streams in ["2>&-", "2>/dev/full", "<&- 2>&-"] {
        assert_eq!(ids(&redirected(TO_STDOUT, streams).stdout), whole, "{streams}");
        assert_eq!(ids(&redirected(&format!("{TO_STDOUT} --fork"), streams).stdout), whole, "{streams}");
    }
    let file = folder.path().join("graph");
    let to_file = format!("collect --collector example --fork --output {}", file.display());
    assert_eq!(redirected(&to_file, "<&- >&- 2>&-").code, 0);
    assert_eq!(ids(&fs::read_to_string(file).unwrap()), whole);
}

#[test]
fn log_file_that_takes_no_lines_is_named_once() {
    let output = redirected(&format!("{TO_STDOUT} -v --logfile /dev/full"), ">/dev/null");
    assert_eq!(
        output.stderr.matches("cannot write the log to /dev/full: No space left").count(),
        1,
        "{}",
        output.stderr
    );
}

/// Runs the program with a limit of open files.
fn limited(files: usize, arguments: &str) -> program::Output {
    let line = format!("ulimit -n {files} && exec \"$0\" {arguments}");
    let binary = program::command(&[]).get_program().to_owned();
    let mut command = Command::new("sh");
    command.arg("-c").arg(line).arg(binary).env("CKWORKER_CKCORE_URI", "").stdin(Stdio::null());
    command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x").env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9").env("AWS_REGION", "us-east-1");
    program::run(&mut command)
}

#[test]
fn limit_of_open_files_is_reported_with_what_it_allows() {
    for files in [10, 30] {
        let output = limited(files, &format!("{TO_STDOUT} --fork"));
        assert_eq!(output.code, 1, "{}", output.stderr);
        let said = format!("cannot start with at most {files} open files");
        assert!(output.stderr.contains(&said) && output.stderr.contains("ulimit -n"), "{}", output.stderr);
    }
    assert_eq!(limited(80, &format!("{TO_STDOUT} --fork")).code, 0, "enough for one worker");
    let aws = "collect --collector aws --fork --aws-fork --output /dev/null --aws-account-pool-size";
    let output = limited(256, &format!("{aws} 400"));
    let lowered = output.stderr.lines().find(|line| line.contains("the pool of aws is lowered from 400 to"));
    let lowered = lowered.unwrap_or_else(|| panic!("{}", output.stderr));
    assert!(lowered.contains("limit of 256 open files") && lowered.contains("LimitNOFILE="), "{lowered}");
    let enough = limited(256, &format!("{aws} 4"));
    assert!(!enough.stderr.contains("is lowered"), "{}", enough.stderr);
}
