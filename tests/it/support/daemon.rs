//! The built program as a daemon.

use std::{fs, path::Path, process::Command};

use super::{
    core::TestCore,
    poll::{becomes, poll},
    program::{self, Output, Running},
};

/// The id under which it subscribes.
pub const SUBSCRIBER: &str = "worker-collect_cleanup";

/// A daemon of the built program. Its log goes to a file, so that it can be read while it runs.
pub struct Daemon {
    /// The program.
    pub running: Running,
    log: tempfile::NamedTempFile,
}

impl Daemon {
    /// Starts it against a core.
    pub fn start(core: &TestCore, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        Self::at(&core.uri(), prepare)
    }

    /// Starts it against the core at this URI.
    pub fn at(uri: &str, prepare: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = program::command(&["--web-host", "127.0.0.1", "--web-port", "0", "--ckcore-uri"]);
        command.arg(uri).args(["--logfile", log.path().to_str().unwrap()]);
        Self { running: Running::start(prepare(&mut command)), log }
    }

    /// Starts it against a core, with the collector whose data is fixed.
    pub fn example(core: &TestCore) -> Self {
        Self::start(core, |command| command.args(["--collector", "example", "--fork"]))
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    /// Where it logs.
    pub fn log_file(&self) -> &Path {
        self.log.path()
    }

    /// Waits until the log has this text, and answers the rest of its line.
    pub async fn logged(&self, text: &str) -> String {
        let rest = |log: String| Some(log.split_once(text)?.1.lines().next().unwrap_or_default().to_owned());
        let found = poll(async || rest(self.log())).await;
        found.unwrap_or_else(|| panic!("waited in vain for {text:?} in: {}", self.log()))
    }

    /// Waits until the log has this text so often.
    pub async fn logged_times(&self, text: &str, times: usize) {
        let found = becomes(async || self.log().matches(text).count() >= times).await;
        assert!(found, "waited in vain for {text:?} in: {}", self.log());
    }

    /// One of its pages: status and text.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let address = self.logged("serving health, metrics and jobs address=").await;
        let reply = reqwest::get(format!("http://{}{path}", address.trim())).await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    /// Ends it as a service manager does. The core goes on meanwhile.
    pub async fn stop(self) -> (Output, String) {
        self.running.signal("TERM");
        let (running, log) = (self.running, self.log);
        let output = tokio::task::spawn_blocking(|| running.wait()).await.unwrap();
        (output, fs::read_to_string(log.path()).unwrap())
    }
}

/// Has the core run a workflow and waits for the answer to its step of this name: kind and error text.
pub async fn have(core: &TestCore, workflow: &str) -> (String, String) {
    core.connected(SUBSCRIBER).await;
    let task = core.start_workflow(workflow).expect("it does not run yet");
    answer(core, &task).await
}

/// Waits for the one answer to a task: kind and error text.
pub async fn answer(core: &TestCore, task: &str) -> (String, String) {
    core.finished(task).await;
    let (_, kind, error) = core.answer(task).await;
    assert_eq!(core.answers(task).len(), 1, "exactly one answer");
    (kind, error)
}
