//! What is asked of STS for `--aws-role` and the options beside it, and what is refused before anything is asked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::program::{self, Output};

/// The fields of a request.
type Form = BTreeMap<String, String>;

/// An STS that says who asks and lets nobody assume a role. Ends when dropped.
struct Sts {
    uri: String,
    asked: Arc<Mutex<Vec<Form>>>,
    server: JoinHandle<()>,
}

impl Sts {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::default();
        let kept = Arc::clone(&asked);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that goes in the middle of a request is no concern of the next one.
                let _ = answer(stream, &kept).await;
            }
        });
        Self { uri, asked, server }
    }

    /// The roles that were asked for since the last question.
    fn roles(&self) -> Vec<Form> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().filter(|form| form["Action"] == "AssumeRole").collect()
    }

    fn collect(&self, options: &[&str]) -> Output {
        let mut command =
            program::command(&["collect", "--collector", "aws", "--output", "-", "--aws-region", "us-east-1"]);
        command.env("AWS_ENDPOINT_URL", &self.uri).env("AWS_ACCESS_KEY_ID", "AKIATEST");
        program::run(command.env("AWS_SECRET_ACCESS_KEY", "testing").args(options))
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(stream: TcpStream, asked: &Mutex<Vec<Form>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let decoded = |text: &str| text.replace("%3A", ":").replace("%2F", "/");
    let form: Form = String::from_utf8(body)
        .unwrap()
        .split('&')
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.to_owned(), decoded(value)))
        .collect();
    let (status, text) = match form.get("Action").map(String::as_str) {
        Some("GetCallerIdentity") => (
            "200 OK",
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::111111111111:user/u</Arn>\
             <Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>",
        ),
        _ => (
            "403 Forbidden",
            "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>",
        ),
    };
    asked.lock().unwrap().push(form);
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n", text.len());
    stream.write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn role_options_become_the_request_to_sts() {
    let sts = Sts::start().await;
    let arn = "arn:aws:iam::222222222222:role/team/Reader";
    for (options, id) in [
        (&["--aws-role", arn][..], None),
        (&["--aws-role", "team/Reader", "--aws-account", "222222222222", "--fork"], None),
        (
            &["--aws-role", arn, "--aws-account", "222222222222", "--aws-external-id", "example-1", "--aws-fork"],
            Some("example-1"),
        ),
        (
            &[
                "--aws-role",
                "/team/Reader",
                "--aws-account",
                "222222222222",
                "--aws-external-id",
                "a:b/c",
                "--aws-session-name",
                "audit",
            ],
            Some("a:b/c"),
        ),
    ] {
        let run = sts.collect(options);
        assert_eq!(run.code, 4, "{options:?}: {}", run.stderr);
        assert!(run.stderr.contains(arn), "{options:?}: {}", run.stderr);
        assert_eq!(run.stderr.contains("give --aws-external-id"), id.is_none(), "{options:?}: {}", run.stderr);
        let roles = sts.roles();
        assert!(!roles.is_empty(), "{options:?}");
        for role in roles {
            assert_eq!(role["RoleArn"], arn, "{options:?}");
            assert_eq!(role.get("ExternalId").map(String::as_str), id, "{options:?}");
            let name = &role["RoleSessionName"];
            let is_named = options.contains(&"--aws-session-name");
            assert!(if is_named { name == "audit" } else { name.starts_with("222222222222-") }, "{options:?}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn role_options_that_cannot_be_are_refused_first() {
    let sts = Sts::start().await;
    let arn = "arn:aws:iam::222222222222:role/Reader";
    for (options, expected) in [
        (&["--aws-role", "Rea der"][..], "--aws-role Rea der"),
        (&["--aws-role", "arn:aws:iam::222222222222:user/Reader"], "expected the name of a role"),
        (&["--aws-role", arn, "--aws-scrape-org"], "account 222222222222 only"),
        (&["--aws-role", arn, "--aws-account", "333333333333"], "not of 333333333333"),
        (&["--aws-external-id", "example-1"], "--aws-external-id needs --aws-role"),
        (&["--aws-role", "R", "--aws-account", "222222222222", "--aws-external-id", "x"], "2 to 1224"),
        (&["--aws-role", "R", "--aws-account", "222222222222", "--aws-session-name", "a b"], "2 to 64"),
    ] {
        let run = sts.collect(options);
        assert_eq!(run.code, 2, "{options:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{options:?}: {}", run.stderr);
    }
    let other = sts.collect(&["--aws-role", "arn:aws-cn:iam::222222222222:role/Reader"]);
    assert_eq!(other.code, 4, "{}", other.stderr);
    assert!(other.stderr.contains("partition aws-cn"), "{}", other.stderr);
    assert_eq!(sts.roles(), [], "no role is asked for");
}
