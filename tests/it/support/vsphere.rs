//! A local vSphere API server with twelve machines, which fails when it is told to.
//!
//! The server is no part of this repository: the variable `LOCAL_VSPHERE` names its directory, which by default is
//! `../shared/tools/vsphere` beside the repository. Without it, `scripts/test` leaves out the tests that need it.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::program::command;

/// The name of the server in the graph.
pub const HOST: &str = "127.0.0.1";

/// A running server. Dropping it ends it.
pub struct LocalVsphere {
    server: Child,
    folder: TempDir,
    url: String,
}

impl LocalVsphere {
    /// Starts a server with these options.
    pub fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/vsphere");
        let directory = env::var_os("LOCAL_VSPHERE").map_or_else(beside, PathBuf::from);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/vsphere/server.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(directory).arg(folder.path()).args(options);
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port: u16 = line.trim().parse().expect("the server must start; LOCAL_VSPHERE names its directory");
        Self { server, folder, url: format!("http://127.0.0.1:{port}") }
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets it fail; see `tests/it/vsphere/server.py`.
    pub fn fail(&self, faults: &str) {
        fs::write(self.path("faults"), faults).unwrap();
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().filter(|call| *call == method).count()
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Adds what a command needs to collect it.
    pub fn serve<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.args(["--collector", "vsphere", "--vsphere-host", HOST, "--vsphere-user", "user"]);
        command.args(["--vsphere-endpoint-url", &self.url]).env("CKWORKER_VSPHERE_PASSWORD", "pass")
    }

    /// A collection into the file `graph.ndjson`.
    pub fn collect(&self) -> Command {
        let mut command = command(&["collect", "--output"]);
        command.arg(self.path("graph.ndjson"));
        self.serve(&mut command);
        command
    }
}

impl Drop for LocalVsphere {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}
