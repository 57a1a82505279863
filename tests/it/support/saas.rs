//! Local servers of Slack and OneLogin, and of GitHub.
//!
//! They are no part of this repository: the variable `LOCAL_SAAS` names their directory, which by default is
//! `../shared/tools` beside the repository. Without it, `scripts/test` leaves out the tests that need it.

use std::{
    env, fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::poll::becomes;

/// A running server. Dropping it ends it.
pub struct LocalSaas {
    server: Child,
    program: &'static str,
    port: u16,
    log: tempfile::NamedTempFile,
}

impl LocalSaas {
    /// Starts a server of Slack and OneLogin with the data of a seed, and these faults.
    pub async fn start(seed: u32, faults: &[&str]) -> Self {
        Self::at("fake_apis.py", free_port(), &options(seed, faults)).await
    }

    /// Starts a server of GitHub with these options.
    pub async fn github(options: &[&str]) -> Self {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        Self::at("github/fake_github.py", free_port(), &options).await
    }

    async fn at(program: &'static str, port: u16, options: &[String]) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new("python3");
        command.arg("-B").arg(directory().join(program)).arg(port.to_string()).arg(log.path()).args(options);
        let server = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Self { server, program, port, log };
        let is_up = becomes(async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        assert!(is_up, "{program} must start; LOCAL_SAAS names its directory");
        started
    }

    /// Starts the server again at the same port, with other faults.
    pub async fn with(self, seed: u32, faults: &[&str]) -> Self {
        let (program, port) = (self.program, self.port);
        drop(self);
        Self::at(program, port, &options(seed, faults)).await
    }

    /// Its address for a collector.
    pub fn url(&self, collector: &str) -> String {
        format!("http://127.0.0.1:{}{}", self.port, if collector == "slack" { "/api" } else { "" })
    }

    /// Lets a command collect from it.
    pub fn serve<'c>(&self, command: &'c mut Command, collector: &str) -> &'c mut Command {
        command.env("CKWORKER_SLACK_BOT_TOKEN", "xoxb-test").env("ONELOGIN_CLIENT_SECRET", "hidden");
        command
            .env("CKWORKER_GITHUB_ACCESS_TOKEN", "ghp_test")
            .env("ONELOGIN_CLIENT_ID", "cid")
            .args(["--collector", collector]);
        command.args([&format!("--{collector}-endpoint-url"), &self.url(collector)])
    }

    /// How often a path was asked for so far.
    pub fn calls(&self, path: &str) -> usize {
        let asked = format!("\"path\": \"{path}\"");
        fs::read_to_string(self.log.path()).unwrap().lines().filter(|line| line.contains(&asked)).count()
    }

    /// What was asked for so far, a JSON line for each request.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }
}

impl Drop for LocalSaas {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn options(seed: u32, faults: &[&str]) -> Vec<String> {
    let faults = faults.iter().flat_map(|fault| ["--fault", fault]).map(str::to_owned);
    ["--seed".to_owned(), seed.to_string()].into_iter().chain(faults).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn directory() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/tools");
    env::var_os("LOCAL_SAAS").map_or_else(beside, PathBuf::from)
}
