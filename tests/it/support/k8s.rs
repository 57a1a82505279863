//! A local Kubernetes API server with a cluster in it.
//!
//! It is no part of this repository: the variable `LOCAL_K8S` names its directory, which by default is
//! `../shared/tools/k8s` beside the repository. Without it, `scripts/test` leaves out the tests that need it.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// How often a server is started on another port, as another process may take a port first.
const STARTS: usize = 5;

/// The longest time that a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it.
pub struct LocalK8s {
    server: Child,
    folder: TempDir,
}

impl LocalK8s {
    /// Starts a server with these options beside its port and its folder.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let started = (0..STARTS).find_map(|_| try_start(folder.path(), options));
        let server = started.expect("the local Kubernetes API server must start; LOCAL_K8S names its directory");
        Self { server, folder }
    }

    /// Starts it again with other options, with the same certificates and kubeconfig.
    pub fn restart(&mut self, options: &[&str]) {
        end(&mut self.server);
        let _ = fs::remove_file(self.folder.path().join("log"));
        let started = (0..STARTS).find_map(|_| try_start(self.folder.path(), options));
        self.server = started.expect("the local Kubernetes API server must start again");
    }

    /// Its folder, with `config` and `serviceaccount`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets a command use its kubeconfig.
    pub fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        serve(command, &self.folder.path().join("config"))
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The numbers of calls by path.
    pub fn paths(&self) -> BTreeMap<String, usize> {
        let mut paths = BTreeMap::new();
        for call in self.calls() {
            *paths.entry(call["path"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        paths
    }
}

impl Drop for LocalK8s {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

fn end(server: &mut Child) {
    server.kill().unwrap();
    server.wait().unwrap();
}

/// The command line of a program that collects with a kubeconfig.
pub fn serve<'c>(command: &'c mut Command, config: &Path) -> &'c mut Command {
    command.args(["--collector", "k8s", "--k8s-config", config.to_str().unwrap()])
}

fn try_start(folder: &Path, options: &[&str]) -> Option<Child> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new("python3");
    command.arg("-B").arg(directory().join("fake_k8s.py")).arg(port.to_string()).arg(folder);
    command.arg("--log").arg(folder.join("log")).args(options);
    let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while began.elapsed() < START_TIMEOUT && server.try_wait().unwrap().is_none() {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(server);
        }
        std::thread::yield_now();
    }
    let _ = server.kill();
    server.wait().unwrap();
    None
}

fn directory() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/k8s");
    env::var_os("LOCAL_K8S").map_or_else(beside, PathBuf::from)
}
