//! A local Google API server with an organization in it.
//!
//! It is no part of this repository: the variable `LOCAL_GCP` names its directory, which by default is
//! `../shared/tools/gcp` beside the repository. Without it, `scripts/test` leaves out the tests that need it.

use std::{
    env,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ckworker::{
    collector_api::{BoxFuture, Waits},
    collectors::gcp::client::{Client, ClientConfig, Project, Token, TokenSource, http},
    engine::Timeouts,
};
use serde_json::{Value, json};
use worker_proto::{Failure, FailureKind};

/// How often a server is started on another port, as another process may take a port first.
const STARTS: usize = 5;

/// A running server. Dropping it ends it.
pub struct LocalGcp {
    server: Child,
    url: String,
}

impl LocalGcp {
    /// Starts a server with these options beside its port.
    pub fn start(options: &[&str]) -> Self {
        let started = (0..STARTS).find_map(|_| Self::try_start(options));
        started.expect("the local Google API server must start; LOCAL_GCP names its directory")
    }

    fn try_start(options: &[&str]) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        command.arg("-B").arg(directory().join("gcp_server.py")).args(["--port", &port.to_string()]).args(options);
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("serving ") {
            server.wait().unwrap();
            return None;
        }
        Some(Self { server, url: format!("http://127.0.0.1:{port}") })
    }

    /// Lets a command use it, without credentials.
    pub fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("CKWORKER_GCP_ENDPOINT_URL", &self.url)
    }

    /// Its address, which replaces `https://` in the addresses of Google's services.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a control call, such as `stats` or `item?link=…`.
    pub async fn control(&self, call: &str) -> Value {
        let response = reqwest::get(format!("{}/_ctl/{call}", self.url)).await.unwrap();
        let body = response.error_for_status().unwrap().text().await.unwrap();
        // Null is an empty body.
        if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() }
    }

    /// Puts a fault in force, such as `fault=disabled&op=sqladmin.*`.
    pub async fn fault(&self, rule: &str) {
        self.control(&format!("fault?{rule}")).await;
    }

    /// Takes all faults out of force.
    pub async fn mend(&self) {
        self.control("clear").await;
    }

    /// How often a method was called, such as `compute.instances.aggregatedList`.
    pub async fn calls(&self, method: &str) -> u64 {
        self.control("stats").await["calls"][method].as_u64().unwrap_or_default()
    }

    /// The resource at a link, as it is; null if there is none.
    pub async fn item(&self, link: &str) -> Value {
        self.control(&format!("item?link={link}")).await
    }

    /// Deletes a resource of the first project by the end of its link.
    pub async fn delete(&self, path: &str) {
        let tokens = Tokens::of(self);
        let project = self.project(&tokens).await.id;
        let url = format!("{}/compute.googleapis.com/compute/v1/projects/{project}/{path}", self.url);
        let token = tokens.token().await.unwrap().token;
        let response = reqwest::Client::new().delete(url).bearer_auth(token).send().await.unwrap();
        response.error_for_status().unwrap();
    }

    /// ID and number of the first project.
    pub async fn project(&self, tokens: &Tokens) -> Project {
        let url = format!("{}/cloudresourcemanager.googleapis.com/v1/projects", self.url);
        let token = tokens.token().await.unwrap().token;
        let response = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        let found: Value = response.error_for_status().unwrap().json().await.unwrap();
        let text = |name: &str| found["projects"][0][name].as_str().unwrap().to_owned();
        Project { id: text("projectId"), number: Some(text("projectNumber")) }
    }

    /// A client of the first project.
    pub async fn client(&self, tokens: &Arc<Tokens>, timeouts: Timeouts) -> Client {
        let project = Some(self.project(tokens).await);
        client(self.url(), project, Arc::clone(tokens) as _, timeouts)
    }
}

impl Drop for LocalGcp {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// The command line of a program that collects the server's projects with a user's credentials, which are in `home`.
pub fn serve<'c>(command: &'c mut Command, url: &str, home: &Path) -> &'c mut Command {
    let file = home.join("user.json");
    let user = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//refresh",
        "token_uri": format!("{url}/oauth2.googleapis.com/token")
    });
    std::fs::write(&file, user.to_string()).unwrap();
    command.env("GOOGLE_APPLICATION_CREDENTIALS", file).args(["--collector", "gcp", "--gcp-endpoint-url", url])
}

/// A client of a project at an address.
pub fn client(url: &str, project: Option<Project>, tokens: Arc<dyn TokenSource>, timeouts: Timeouts) -> Client {
    let waits = Waits::default().unit(0);
    let endpoint = Some(url.to_owned());
    Client::new(ClientConfig { project, endpoint, tokens, timeouts, waits, http: http().unwrap() })
}

/// Writes the key of a service account, for the option `--key` of the server and for the program.
pub fn write_key(path: &Path, email: &str) {
    let mut command = Command::new("python3");
    command.arg("-B").arg(directory().join("make_key.py")).arg(path).args(["--email", email, "--seed", email]);
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
}

fn directory() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/gcp");
    env::var_os("LOCAL_GCP").map_or_else(beside, PathBuf::from)
}

/// The tokens of a user of the server, who sees all projects.
pub struct Tokens {
    url: String,
    current: Mutex<Option<Token>>,
    renewals: AtomicUsize,
}

impl Tokens {
    /// Tokens of the server.
    pub fn of(server: &LocalGcp) -> Arc<Self> {
        let url = format!("{}/oauth2.googleapis.com/token", server.url);
        Arc::new(Self { url, current: Mutex::default(), renewals: AtomicUsize::new(0) })
    }

    /// How often a token was renewed.
    pub fn renewals(&self) -> usize {
        self.renewals.load(Ordering::SeqCst)
    }

    async fn fetch(&self) -> Result<Token, Failure> {
        let unavailable =
            |error: reqwest::Error| Failure { kind: FailureKind::Unavailable, message: error.to_string() };
        let form = "grant_type=refresh_token&refresh_token=1//refresh";
        let response = reqwest::Client::new().post(&self.url).body(form).send().await.map_err(unavailable)?;
        let answer: Value = response.error_for_status().map_err(unavailable)?.json().await.map_err(unavailable)?;
        let token = Token { token: answer["access_token"].as_str().unwrap().to_owned(), quota_project: None };
        *self.current.lock().unwrap() = Some(token.clone());
        Ok(token)
    }
}

impl TokenSource for Tokens {
    fn token(&self) -> BoxFuture<'_, Result<Token, Failure>> {
        Box::pin(async {
            let known = self.current.lock().unwrap().clone();
            match known {
                Some(token) => Ok(token),
                None => self.fetch().await,
            }
        })
    }

    fn renew<'a>(&'a self, _: &'a Token) -> BoxFuture<'a, Result<Token, Failure>> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        Box::pin(self.fetch())
    }
}
